"""The market: two owners with a dataset each, two scientists with a model for either, three
verifiers in one panel, all on one devnet whose node they reach through an unruly one.

Each home is a real one with keys and money of its own. What everybody has is read before any pod
runs, to be compared at the end.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from fitchain.pod.jobs.home import Home
from fitchain.pod.parties.scientist import publish_model
from fitchain.pod.ports import settings
from fitchain.pod.ports.chain import devnet
from fitchain.pod.ports.chain.deploy import deploy
from fitchain.pod.ports.registry import Role
from fitchain.pod.ports.settings import DevnetRecord
from fitchain.pod.values.ids import DatasetId, ModelId, PanelId
from tests.audited_workshop import AUDITABLE, panel_of
from tests.chain_fixtures import ETHER, MONEY, Devnet
from tests.faults.market.disks import Disk, disk
from tests.faults.market.moods import UnrulyNode, unruly
from tests.faults.market.plan import ON_SMALL_DISKS, OWNERS, PODS, SCIENTISTS, VERIFIERS, role_of
from tests.pods import Party, module_file, offer_table, opened_party, private_table, staked
from tests.policies import open_policy

STORE_MB, HOME_MB = 96, 48
WEI, UNITS = 100 * ETHER, 5 * MONEY


@dataclass(frozen=True)
class Offer:
    """What a scientist can ask for: the dataset of an owner and its model for it."""

    dataset: DatasetId
    model: ModelId


@dataclass(frozen=True)
class Market:
    """Everybody, and everything that can be disturbed.

    Args:
        folder: holds the devnet, the homes and the logs.
        devnet: with the contracts deployed.
        parties: by name; their homes are closed.
        offers: by scientist and owner.
        panel: of all verifiers.
        node: the unruly one before the devnet's.
        url: of that.
        store: the disk of the store that all share.
        homes: disks of some homes, by whose they are.
        block: nothing that the pods do is in a block up to it.
    """

    folder: Path
    devnet: Devnet
    parties: Mapping[str, Party]
    offers: Mapping[tuple[str, str], Offer]
    panel: PanelId
    node: UnrulyNode
    url: str
    store: Disk
    homes: Mapping[str, Disk]
    block: int

    @property
    def disks(self) -> list[Disk]:
        """All small disks."""
        return [self.store, *self.homes.values()]

    def log(self, name: str) -> Path:
        """Where a party's pods and commands write to."""
        return self.folder / "logs" / f"{name}.log"

    def reader(self) -> Home:
        """Somebody who only looks, at the node itself; whoever asks closes it."""
        return Home.open(self.devnet.settings(self.folder / "reader"))

    def node_up(self) -> DevnetRecord:
        """Start the devnet's node, where it does not run."""
        return devnet.up(self.devnet.folder, port=self.devnet.record.port)


@contextmanager
def market(folder: Path, seed: int) -> Iterator[Market]:
    """Set a market up as long as the block lasts; the folder is there already, and stays."""
    with ExitStack() as stack:
        place = folder / "devnet"
        store = stack.enter_context(disk(place / "store", STORE_MB))
        homes = {name: stack.enter_context(disk(folder / name, HOME_MB)) for name in ON_SMALL_DISKS}
        stack.callback(devnet.down, place)
        chain = Devnet(
            place,
            record := devnet.up(place, port=0),
            deploy(settings.load(home=place / "nobody", devnet=place, environ={})),
        )
        (folder / "logs").mkdir()
        url, node = stack.enter_context(unruly(record.rpc, seed))
        with ExitStack() as opened:
            parties = {name: _party(chain, folder / name, opened) for name in PODS}
            panel = panel_of(
                parties[SCIENTISTS[0]].home.chain, "the market's", [staked(parties[name]) for name in VERIFIERS]
            )
            offers = _offers(folder, parties, panel)
            block = parties[OWNERS[0]].home.chain.head()
        closed = {name: _through(party, url) for name, party in parties.items()}
        yield Market(folder, chain, closed, offers, panel, node, url, store, homes, block)


def _party(chain: Devnet, folder: Path, opened: ExitStack) -> Party:
    party = opened_party(chain.settings(folder), role_of(folder.name), WEI, UNITS)
    opened.callback(party.home.close)
    return party


def _offers(folder: Path, parties: Mapping[str, Party], panel: PanelId) -> dict[tuple[str, str], Offer]:
    """Let each owner offer a table, and each scientist publish a model for it."""
    policy, offers = open_policy(panels=(str(panel),), **AUDITABLE), {}
    for number, owner in enumerate(OWNERS):
        table = private_table(folder / "tables" / f"{owner}.csv", seed=number)
        dataset = offer_table(parties[owner], table, policy=policy, name=f"findings of {owner}")
        for name in SCIENTISTS:
            home = parties[name].home
            home.registry.register_pod(Role.SCIENTIST, home.keys.recipient)
            model = publish_model(home, module_file(home.settings.home), dataset.id, name="Tiny")
            offers[name, owner] = Offer(dataset.id, model.id)
    return offers


def _through(party: Party, url: str) -> Party:
    """A party whose commands and pods reach the node through another."""
    return replace(party, side=replace(party.side, settings=replace(party.side.settings, rpc=url)))
