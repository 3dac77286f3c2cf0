"""The registry: pods, datasets, models and panels by name, as typed calls.

Identities are set once; owners may retire them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from fitchain.pod.ports.chain.base import ChainEnum, Event
from fitchain.pod.ports.chain.client import Chain
from fitchain.pod.ports.chain.reads import ReadCall
from fitchain.pod.ports.store.base import Cid
from fitchain.pod.ports.verifiers import PAGE, Member, Verifiers, no_panel
from fitchain.pod.values.digest import ZERO, Digest, Root
from fitchain.pod.values.errors import InputRefused, NodeUnreachable, NotFound, Reverted
from fitchain.pod.values.ids import NO_MODEL, DatasetId, ModelId, PanelId
from fitchain.pod.values.privacy.ledger import add, within


class Role(ChainEnum):
    """What a pod does; set once."""

    OWNER = 1
    SCIENTIST = 2
    VERIFIER = 3


@dataclass(frozen=True)
class Pod:
    """A registered pod: its account, its age recipient, where it can be reached (at most 512
    bytes)."""

    address: str
    role: Role
    recipient: str
    endpoint: bytes


@dataclass(frozen=True)
class DatasetEntry:
    """A registered dataset: `root` over `count` records, `card` the CID of its card, `active` until
    it is retired, `ledger` the number of the owner's privacy ledger that its trainings are charged
    to (0: none)."""

    id: DatasetId
    owner: str
    root: Root
    count: int
    card: Cid
    active: bool
    ledger: int = 0


@dataclass(frozen=True)
class Ledger:
    """A privacy ledger of an account, as the contract keeps it: words of eight lanes
    (`fitchain.pod.values.privacy.ledger`).

    Args:
        owner: whose.
        number: from 1 on.
        budget: what may be spent; it may only fall.
        spent: what acceptances were charged, with a unit in each lane from the beginning.
    """

    owner: str
    number: int
    budget: int
    spent: int

    def fits(self, charge: int) -> bool:
        """Whether the contract would take an acceptance that is charged so much."""
        return within(add(self.spent, charge), self.budget)


@dataclass(frozen=True)
class ModelEntry:
    """A registered model.

    Args:
        id: of the registry.
        author: who registered it.
        graph: digest of its graph.
        root: over its tensors.
        base: the registered model that states and deliveries of a training are deltas over; zero:
            none.
        parents: the registered models that it grew out of.
        derivation: digest of how it follows from them, a function that anybody can compute again;
            zero: it is not said.
        active: until it is retired.
    """

    id: ModelId
    author: str
    graph: Digest
    root: Root
    base: ModelId
    parents: tuple[ModelId, ...]
    derivation: Digest
    active: bool


@dataclass(frozen=True)
class PanelEntry:
    """A panel: verifiers by name, of which audits are drawn.

    Args:
        id: of the registry.
        number: what contracts call it.
        creator: who made it, and alone invites and expels.
        name: for people; each account has its own names.
        members: by the places that they hold.
        joined: the block in which each of them joined.
    """

    id: PanelId
    number: int
    creator: str
    name: str
    members: tuple[str, ...]
    joined: tuple[int, ...] = ()


@dataclass(frozen=True)
class PanelRecord:
    """How a panel came about.

    Args:
        id: the panel.
        number: what contracts call it.
        creator: who made it, and alone invites and expels.
        name: for people; each account has its own names.
        time: of its creation; seconds since 1970.
        block: of its creation; None where only the contract was asked, which does not keep it.
    """

    id: PanelId
    number: int
    creator: str
    name: str
    time: int
    block: int | None = None


class Registry:
    """The contract Registry of one chain.

    Args:
        chain: the connection; without a signer it only reads.
    """

    def __init__(self, chain: Chain) -> None:
        self.chain = chain

    def register_pod(self, role: Role, recipient: str, endpoint: bytes = b"") -> None:
        """Register this account as a pod, or bring its entry up to date; harmless where all stands
        already.

        Args:
            role: set once.
            recipient: age recipient.
            endpoint: where the pod can be reached, at most 512 bytes.

        Raises:
            ChainUnusable: the contract refuses, or the account cannot pay.
            InputRefused: the account is registered in another role.
            NodeUnreachable: the node contradicts itself, or does not answer.
        """
        try:
            entry = self.pod(self.chain.address)
        except NotFound:
            try:
                self.chain.send("Registry", "registerPod", role, recipient, endpoint)
                return
            except Reverted as refusal:
                if refusal.error != "PodAlreadyRegistered":
                    raise
                entry = self._registered_meanwhile()
        if entry.role != role:
            raise InputRefused(
                f"the account {entry.address} is registered as {entry.role.name.lower()}, not as {role.name.lower()}",
                "a pod's role never changes: use another key",
            )
        if (entry.recipient, entry.endpoint) != (recipient, endpoint):
            self.update_pod(recipient, endpoint)

    def _registered_meanwhile(self) -> Pod:
        """This account's entry, of which the contract said just now that it is there: another
        process of this home was quicker.

        Raises:
            NodeUnreachable: another answer of the node says that it is not; of the nodes behind one
                address some lag.
        """
        try:
            return self.pod(self.chain.address)
        except NotFound as lagging:
            message = f"the node contradicts itself: the account is registered, and {lagging.message}"
            raise NodeUnreachable(message, "wait until the node has caught up") from None

    def update_pod(self, recipient: str, endpoint: bytes = b"") -> None:
        """Change this pod's recipient and endpoint."""
        self.chain.send("Registry", "updatePod", recipient, endpoint)

    def pod(self, address: str) -> Pod:
        """One pod.

        Raises:
            NotFound: no pod of that address is registered.
        """
        entry = self.chain.call("Registry", "pod", address)
        if not entry["role"]:
            raise NotFound(f"no pod is registered for the account {address}", "its owner registers it by starting it")
        return Pod(address, Role(entry["role"]), entry["recipient"], entry["endpoint"])

    def register_dataset(self, root: Root, count: int, card: Cid, ledger: int = 0) -> DatasetId:
        """Register a dataset as its owner.

        Args:
            root: its published root.
            count: records.
            card: CID of its card.
            ledger: number of this account's privacy ledger; 0 only while it has none.

        Returns:
            its id; of a dataset that stands already, the same.

        Raises:
            ChainUnusable: the contract refuses (it was retired, say), or the account cannot pay.
        """
        return DatasetId(self._registered("Dataset", root, count, ledger, bytes(card)))

    def open_ledger(self, budget: int) -> int:
        """Open a privacy ledger of this account, for good.

        Args:
            budget: what may be spent under it, a word of eight lanes.

        Returns:
            its number.
        """
        receipt = self.chain.send("Registry", "openLedger", budget)
        number: int = receipt.event("LedgerOpened").args["ledger"]
        return number

    def lower_budget(self, number: int, budget: int) -> None:
        """Lower the budget of one of this account's ledgers; it never rises again."""
        self.chain.send("Registry", "lowerBudget", number, budget)

    def ledger_count(self, owner: str) -> int:
        """How many privacy ledgers an account has opened."""
        return int(self.chain.call("Registry", "ledgerCount", owner))

    def ledger(self, owner: str, number: int) -> Ledger:
        """A privacy ledger.

        Raises:
            NotFound: the account has none of that number.
        """
        entry = self.chain.call("Registry", "ledger", owner, number)
        if not entry["spent"]:
            raise NotFound(f"the account {owner} has no privacy ledger {number}")
        return Ledger(owner, number, entry["budget"], entry["spent"])

    def retire_dataset(self, id: DatasetId) -> None:
        """Let no new request name the dataset."""
        self.chain.send("Registry", "retireDataset", id)

    def dataset(self, id: DatasetId) -> DatasetEntry:
        """One dataset.

        Raises:
            NotFound: none of that id is registered.
            InputRefused: its owner registered it with a card that is no CID.
        """
        entry = self.chain.call("Registry", "dataset", id)
        if not entry["count"]:
            raise NotFound(f"no dataset {id.short} is registered in this deployment", "see `fitchain data list`")
        return dataset_entry(id, entry)

    def datasets(self, owner: str | None = None) -> list[DatasetEntry]:
        """Every dataset, oldest first, of one owner where given; without those whose card is no
        CID."""
        entries = self._all("Dataset", {"owner": owner} if owner else {})
        return [dataset_entry(DatasetId(id), entry) for id, entry in entries if _is_cid(entry["cardCid"])]

    def outlived(self, datasets: Sequence[DatasetEntry]) -> set[DatasetId]:
        """Of datasets those that nobody can ask for any more since their owner opened a privacy
        ledger later, to which their trainings would not be charged."""
        uncharged = [dataset for dataset in datasets if not dataset.ledger]
        owners = sorted({dataset.owner for dataset in uncharged})
        counts = self.chain.call_many([("Registry", "ledgerCount", (owner,)) for owner in owners])
        later = {owner for owner, count in zip(owners, counts, strict=True) if count}
        return {dataset.id for dataset in uncharged if dataset.owner in later}

    def is_outlived(self, dataset: DatasetEntry) -> bool:
        """Whether a dataset is, as `outlived` says."""
        return bool(self.outlived([dataset]))

    def ledger_of(self, dataset: DatasetEntry) -> Ledger | None:
        """The privacy ledger that a dataset's trainings are charged to; None where it has none."""
        return self.ledger(dataset.owner, dataset.ledger) if dataset.ledger else None

    def ledgers_of(self, datasets: Sequence[DatasetEntry]) -> list[Ledger | None]:
        """The same of several, in few round trips."""
        charged = sorted({(dataset.owner, dataset.ledger) for dataset in datasets if dataset.ledger})
        kept = self.chain.call_many([("Registry", "ledger", pair) for pair in charged])
        ledgers = {
            pair: Ledger(*pair, entry["budget"], entry["spent"]) for pair, entry in zip(charged, kept, strict=True)
        }
        return [ledgers.get((dataset.owner, dataset.ledger)) for dataset in datasets]

    def endpoints(self, addresses: Sequence[str]) -> list[bytes]:
        """Where pods can be reached, in few round trips; empty for what is no pod."""
        kept = self.chain.call_many([("Registry", "pod", (address,)) for address in addresses])
        return [entry["endpoint"] for entry in kept]

    def register_model(
        self,
        graph: Digest,
        root: Root,
        *,
        base: ModelId = NO_MODEL,
        parents: Sequence[ModelId] = (),
        derivation: Digest = ZERO,
    ) -> ModelId:
        """Register a model as its author.

        Args:
            graph: digest of its graph.
            root: over its tensors.
            base: the registered model that a training's states are deltas over; zero for none.
            parents: the registered models it grew out of, at most 64.
            derivation: digest of how it follows from them; zero where that is not said.

        Returns:
            its id; of a model that stands already, the same.

        Raises:
            ChainUnusable: the contract refuses (it was retired, say), or the account cannot pay.
        """
        return ModelId(self._registered("Model", graph, root, base, list(parents), derivation))

    def retire_model(self, id: ModelId) -> None:
        """Let no new request name the model."""
        self.chain.send("Registry", "retireModel", id)

    def model(self, id: ModelId) -> ModelEntry:
        """One model.

        Raises:
            NotFound: none of that id is registered.
        """
        return self.models_of([id])[0]

    def models_of(self, ids: Sequence[ModelId]) -> list[ModelEntry]:
        """Several models by their ids, in few round trips. Raises as `model`."""
        kept = self.chain.call_many([("Registry", "model", (id,)) for id in ids])
        entries = [model_entry(id, entry) for id, entry in zip(ids, kept, strict=True)]
        if None in entries:
            missing = ids[entries.index(None)]
            raise NotFound(f"no model {missing.short} is registered in this deployment", "see `fitchain model list`")
        return [entry for entry in entries if entry]

    def base_root(self, model: ModelEntry) -> Root | None:
        """The root of the model that another is a delta over; None where it has none. Raises as
        `model`."""
        return None if model.base == NO_MODEL else self.model(model.base).root

    def models(self, author: str | None = None) -> list[ModelEntry]:
        """Every model, oldest first, of one author where given."""
        kept = self._all("Model", {"author": author} if author else {})
        entries = [model_entry(ModelId(id), entry) for id, entry in kept]
        return [entry for entry in entries if entry]

    def registered_at(self, kind: Literal["Dataset", "Model"]) -> dict[Digest, int]:
        """When each dataset, or each model, was registered, in seconds since 1970."""
        events = self.chain.events("Registry", f"{kind}Registered")
        self.chain.read_times(event.block for event in events)
        return {event.args["id"]: event.timestamp for event in events}

    def create_panel(self, name: str) -> PanelId:
        """Name a panel, into which this account may then invite verifiers (`Verifiers.invite`).

        Args:
            name: for people, 1 to 64 bytes; each account has its own names.

        Returns:
            the panel's id.
        """
        id = self.chain.send("Registry", "createPanel", name).event("PanelCreated").args["id"]
        assert isinstance(id, Digest)
        return PanelId(id)

    def panel(self, id: PanelId, block: int | None = None) -> PanelEntry:
        """One panel.

        Args:
            id: which.
            block: as it stood after that block; None reads it as it stands.

        Raises:
            NotFound: there is none of that id.
        """
        entry = self.panels_of([id], block)[0]
        if entry is None:
            raise no_panel(id)
        return entry

    def panels_of(self, ids: Sequence[PanelId], block: int | None = None) -> list[PanelEntry | None]:
        """Several panels in few round trips; None for one that was never created.

        Args:
            ids: which.
            block: as they stood after that block; None reads them as they stand.
        """
        records = self._records(ids, block)
        created = [record for record in records if record]
        pages = self._first_pages([record.number for record in created], block)
        entries = _entries(created, pages, self.chain, block)
        by_id = {entry.id: entry for entry in entries}
        return [by_id.get(id) for id in ids]

    def panel_record(self, id: PanelId) -> PanelRecord:
        """How a panel came about.

        Raises:
            NotFound: there is none of that id.
        """
        created = self.chain.events("Registry", "PanelCreated", id=id)
        if not created:
            raise no_panel(id)
        return _record(created[0])

    def _records(self, ids: Sequence[PanelId], block: int | None = None) -> list[PanelRecord | None]:
        """How several panels came about; None for one that was not created by then."""
        answers = self.chain.batch([read for id in ids for read in panel_reads(id, block)])
        return [panel_record_of(id, *answers[2 * i : 2 * i + 2]) for i, id in enumerate(ids)]

    def panel_ids(self) -> list[PanelId]:
        """The ids of all panels, oldest first; nothing of the panels themselves is read."""
        return [event.args["id"] for event in self.chain.events("Registry", "PanelCreated")]

    def panel_names(self, numbers: Collection[int]) -> dict[int, tuple[PanelId, str]]:
        """Ids and names of panels by their numbers."""
        created = [event.args for event in self.chain.events("Registry", "PanelCreated")] if numbers else []
        return {args["number"]: (args["id"], args["name"]) for args in created if args["number"] in numbers}

    def newest_panels(self, most: int, creator: str | None = None) -> tuple[list[PanelRecord], int]:
        """How the newest panels came about, oldest first, and how many older ones there are.

        Args:
            most: how many are read.
            creator: only panels of that account.
        """
        indexed: dict[str, Any] = {"creator": creator} if creator else {}
        created = self.chain.events("Registry", "PanelCreated", **indexed)
        newest = created[-most:]
        self.chain.read_times(event.block for event in newest)
        return [_record(event) for event in newest], len(created) - len(newest)

    def panels(self) -> list[PanelEntry]:
        """Every panel, oldest first."""
        return [panel for panel in self.panels_of(self.panel_ids()) if panel]

    def _first_pages(self, numbers: Sequence[int], block: int | None = None) -> list[tuple[int, list[Member]]]:
        """Of several panels, by their numbers, how many places there are and who holds the first of
        them."""
        names = [
            call
            for number in numbers
            for call in (("Verifiers", "placesOf", (number,)), ("Verifiers", "members", (number, 0, PAGE)))
        ]
        answers = self.chain.call_many(names, block)
        pages = zip(answers[::2], answers[1::2], strict=True)
        return [
            (places["length"], [Member(*pair) for pair in zip(*page, strict=True)][: places["length"]])
            for places, page in pages
        ]

    def _registered(self, kind: str, *args: Any) -> Digest:
        try:
            receipt = self.chain.send("Registry", f"register{kind}", *args)
        except Reverted as refusal:
            id = refusal.values.get("id")
            if refusal.error != f"{kind}AlreadyRegistered" or not isinstance(id, Digest):
                raise
            if not self.chain.call("Registry", kind.lower(), id)["active"]:
                raise
            return id
        id = receipt.event(f"{kind}Registered").args["id"]
        assert isinstance(id, Digest)
        return id

    def _all(self, kind: str, indexed: dict[str, Any]) -> list[tuple[Digest, dict[str, Any]]]:
        """Every entry of a kind, with what stands in the contract now."""
        ids = [event.args["id"] for event in self.chain.events("Registry", f"{kind}Registered", **indexed)]
        return list(zip(ids, self.chain.call_many([("Registry", kind.lower(), (id,)) for id in ids]), strict=True))


def dataset_entry(id: DatasetId, entry: dict[str, Any]) -> DatasetEntry:
    """A dataset as the contract has it.

    Raises:
        InputRefused: its owner registered it with a card that is no CID.
    """
    card = Cid.decode(entry["cardCid"])
    return DatasetEntry(id, entry["owner"], entry["root"], entry["count"], card, entry["active"], entry["ledger"])


def model_entry(id: ModelId, entry: dict[str, Any]) -> ModelEntry | None:
    """A model as the contract has it; None where it has none of that id."""
    if entry["graph"] == ZERO:
        return None
    return ModelEntry(
        id=id,
        author=entry["author"],
        graph=entry["graph"],
        root=entry["root"],
        base=ModelId(entry["base"]),
        parents=tuple(map(ModelId, entry["parents"])),
        derivation=entry["derivation"],
        active=entry["active"],
    )


def _record(event: Event) -> PanelRecord:
    args = event.args
    return PanelRecord(args["id"], args["number"], args["creator"], args["name"], event.timestamp, event.block)


def panel_reads(id: PanelId, block: int | None = None) -> list[ReadCall]:
    """What `panel_record_of` needs to be read, as it stood after a block; None reads at the head."""
    return [
        ReadCall("Registry", "panel", (id,), block),
        ReadCall("Registry", "panelNumber", (id,), block, optional=True),  # it reverts where there is none
    ]


def panel_record_of(id: PanelId, entry: Mapping[str, Any], number: int | None) -> PanelRecord | None:
    """How a panel came about, from what was read of it; None where there is none."""
    return PanelRecord(id, number, entry["creator"], entry["name"], entry["since"]) if number else None


def _entries(
    records: Sequence[PanelRecord],
    pages: Sequence[tuple[int, list[Member]]],
    chain: Chain,
    block: int | None = None,
) -> list[PanelEntry]:
    """Panels with all of their members; of a panel beyond one page the rest is read here."""
    entries: list[PanelEntry] = []
    for record, (length, first) in zip(records, pages, strict=True):
        rest = Verifiers(chain).members(record.number, length, block) if length > len(first) else first
        accounts, joined = tuple(each.account for each in rest), tuple(each.joined for each in rest)
        entries.append(PanelEntry(record.id, record.number, record.creator, record.name, accounts, joined))
    return entries


def _is_cid(data: bytes) -> bool:
    try:
        Cid.decode(data)
    except InputRefused:
        return False
    return True
