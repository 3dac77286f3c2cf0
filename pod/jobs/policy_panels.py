"""The panels that a dataset's policy names, as they stood when it was registered.

    <home>/datasets/<id>/panels.json   the trust list's form, read and written likewise

To name a panel is to trust it as it stands then: who joins it later is looked at by a person, which
`fitchain trust add` is for. The card that is published names panels by their ids alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fitchain.pod.jobs.home import Home
from fitchain.pod.ports.chain.base import write_file
from fitchain.pod.ports.trust import TrustedPanel, TrustList, look_at_panels
from fitchain.pod.values.digest import Digest
from fitchain.pod.values.ids import WHOLE_POOL, DatasetId, PanelId

if TYPE_CHECKING:
    from fitchain.pod.compute.dataset import Policy  # its numpy would be waited for by `fitchain job show`

PANELS_FILE = "panels.json"


def look_at_policy(home: Home, policy: Policy) -> list[TrustedPanel]:
    """The panels that a policy names, as they stand.

    Raises:
        NotFound: one was never created.
        InputRefused: one has too many members, or a name that cannot be shown.
        ChainUnusable: the node does not answer.
    """
    ids = [PanelId(Digest.parse(panel)) for panel in policy.panels or ()]
    return look_at_panels(home.chain, [id for id in ids if id != WHOLE_POOL])


def keep_policy_panels(home: Home, dataset: DatasetId, panels: Sequence[TrustedPanel]) -> None:
    """Write down how the panels stood that a dataset's policy names."""
    write_file(home.dataset_folder(dataset) / PANELS_FILE, TrustList(tuple(panels)).encode(), 0o600)


def policy_panels(home: Home, dataset: DatasetId) -> tuple[TrustedPanel, ...]:
    """How the panels stood that the policy of a dataset of this home names; none of another
    home's, nor on another chain.

    Raises:
        InputRefused: what was written down is no such list.
    """
    folder = home.settings.home / "datasets" / str(dataset)  # which looking does not make
    return TrustList.read(folder, PANELS_FILE).of(home.chain).panels
