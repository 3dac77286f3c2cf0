"""`fitchain trust`: whom this home relies on when it reads a certificate."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from fitchain.cli.answers import require_yes
from fitchain.cli.command import Session, command, group
from fitchain.cli.ids import find_address, match_panel
from fitchain.cli.views.amounts import counted, day
from fitchain.cli.views.output import KeyValues, Report, Rows, print_views
from fitchain.cli.views.panels import age_of

if TYPE_CHECKING:
    from fitchain.pod.ports.chain import Chain
    from fitchain.pod.ports.trust import PanelChange, TrustedAccount, TrustedPanel, TrustList
    from fitchain.pod.values.ids import PanelId

app = group("trust", "Name the panels and verifiers that you rely on.")

Named = Annotated[
    str, typer.Argument(metavar="PANEL|ADDRESS", help="A panel's id, or its first six digits; or an account.")
]
ADDRESS_LENGTH = 42


@command(app, "add")
def add(session: Session, named: Named) -> Report:
    """Trust a panel as it stands, or a verifier's account.

    A panel is shown, with who made it and its members, and you are asked: no option answers for
    you. Who joins it later does not count until you say this again. An account, typed in full,
    counts wherever it sits.
    """
    from fitchain.pod.ports.trust import TrustedAccount, TrustedAt, look_at_panel, trust

    chain, subject = _find(session, named)
    if isinstance(subject, str):
        entry = TrustedAccount(TrustedAt.now(chain), subject)
        trust(chain.settings.home, entry)
        return Report(_account_values(entry), [f"trusts {subject} from block {entry.at.block} on"])
    panel = look_at_panel(chain, subject)
    print_views(_shown(chain, panel), stderr=True)
    require_yes(
        f"trust these {counted(len(panel.members), 'account')} in draws from this panel? type yes: ",
        "nobody was trusted",
        "type yes, in full, once you know who they are",
    )
    trust(chain.settings.home, panel)
    line = f"trusts {panel.name!r} as it stood at block {panel.at.block}: {counted(len(panel.members), 'member')}"
    return Report(_panel_values(panel), [line])


@command(app, "list")
def list_(session: Session) -> Report:
    """List whom this home trusts, and who joined or left a panel since."""
    from fitchain.pod.ports.chain import connect
    from fitchain.pod.ports.trust import PanelChange, TrustList, changed_since

    chain = connect(session.settings)
    standing = TrustList.read(chain.settings.home)
    counting = standing.of(chain)
    changes = changed_since(chain, counting.panels)
    since = {panel.id: changes.get(panel.id, PanelChange()) for panel in standing.panels}
    values = {
        "panels": [_panel_values(panel, since[panel.id]) | _counts(panel, counting) for panel in standing.panels],
        "accounts": [_account_values(entry) | _counts(entry, counting) for entry in standing.accounts],
    }
    chain.read_times({panel.at.block for panel in counting.panels} | {each.at.block for each in counting.accounts})

    def since_when(entry: TrustedPanel | TrustedAccount) -> str:
        counts = entry in counting.panels or entry in counting.accounts
        return f"{entry.at.block}, {day(chain.time_of(entry.at.block))}" if counts else str(entry.at.block)

    rows: list[tuple[object, ...]] = [
        (
            panel.id.short,
            panel.name,
            len(panel.members),
            since_when(panel),
            _note(panel, counting, since[panel.id]),
        )
        for panel in standing.panels
    ]
    rows += [(entry.account, None, 1, since_when(entry), _note(entry, counting)) for entry in standing.accounts]
    heads = ("trusted", "name", "accounts", "since block", "mind")
    table = Rows(heads, rows, right=("accounts",), empty="nobody yet: fitchain trust add PANEL")
    return Report(values, [table])


@command(app, "remove")
def remove(session: Session, named: Named) -> Report:
    """Trust a panel or an account no longer."""
    from fitchain.pod.ports.trust import distrust

    chain, subject = _find(session, named)
    distrust(chain, subject)
    return Report({"removed": subject}, [f"trusts {subject} no longer"])


def _find(session: Session, text: str) -> tuple[Chain, PanelId | str]:
    """The chain, and what a person means: a panel, or an account by its address in full."""
    from fitchain.pod.ports.chain import connect
    from fitchain.pod.ports.registry import Registry

    chain = connect(session.settings)
    return chain, find_address(text) if len(text) == ADDRESS_LENGTH else match_panel(Registry(chain), text)


def _shown(chain: Chain, panel: TrustedPanel) -> list[KeyValues]:
    from fitchain.pod.ports.registry import Registry

    record = Registry(chain).panel_record(panel.id)
    head = [
        ("panel", panel.id),
        ("name", panel.name),
        ("made by", panel.creator),
        ("created", age_of(record.time, chain.block("latest").timestamp)),
        ("as of", f"block {panel.at.block} of chain {panel.at.chain_id}"),
    ]
    return [KeyValues([*head, *((f"member {number}", member) for number, member in enumerate(panel.members))])]


def _panel_values(panel: TrustedPanel, since: PanelChange | None = None) -> dict[str, Any]:
    return {
        "panel": panel.id,
        "name": panel.name,
        "creator": panel.creator,
        "members": list(panel.members),
        "joined_later": list(since.joined) if since else [],
        "left_later": list(since.left) if since else [],
        "chain_id": panel.at.chain_id,
        "block": panel.at.block,
    }


def _account_values(entry: TrustedAccount) -> dict[str, Any]:
    return {"account": entry.account, "chain_id": entry.at.chain_id, "block": entry.at.block}


def _counts(entry: TrustedPanel | TrustedAccount, counting: TrustList) -> dict[str, Any]:
    return {"counts": entry in counting.panels or entry in counting.accounts}


def _note(entry: TrustedPanel | TrustedAccount, counting: TrustList, since: PanelChange | None = None) -> str | None:
    """What a person should know of an entry: it does not count on this chain, or others joined."""
    if entry not in counting.panels and entry not in counting.accounts:
        return f"of another deployment or chain ({entry.at.chain_id}): does not count here"
    notes = []
    if since and since.joined:
        notes.append(f"{counted(len(since.joined), 'account')} joined later: not trusted until you add it again")
    if since and since.left:
        notes.append(f"{counted(len(since.left), 'account')} left")
    return "; ".join(notes) or None
