"""The registry: pods, datasets, models and panels by name, as typed calls.

Identities are set once; owners may retire them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from fitchain.pod.ports.chain.client import Chain
from fitchain.pod.ports.store.base import Cid
from fitchain.pod.values.digest import ZERO, Digest, Root
from fitchain.pod.values.errors import InputRefused, NotFound, Reverted
from fitchain.pod.values.ids import NO_MODEL, DatasetId, ModelId, PanelId


class Role(IntEnum):
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
    it is retired."""

    id: DatasetId
    owner: str
    root: Root
    count: int
    card: Cid
    active: bool


@dataclass(frozen=True)
class ModelEntry:
    """A registered model: digest of its graph, root of its initial tensors, the model it descends
    from (zero: none)."""

    id: ModelId
    author: str
    graph: Digest
    initial_root: Root
    parent: ModelId
    active: bool


@dataclass(frozen=True)
class PanelEntry:
    """A panel: verifiers by name, of which audits are drawn; members are only ever added."""

    id: PanelId
    creator: str
    name: str
    members: tuple[str, ...]


@dataclass(frozen=True)
class PanelRecord:
    """How a panel came about, by the event of its creation.

    Args:
        id: the panel.
        creator: who made it, and alone may append to it.
        name: for people; each account has its own names.
        block, time: of its creation; seconds since 1970.
    """

    id: PanelId
    creator: str
    name: str
    block: int
    time: int


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
                entry = self.pod(self.chain.address)  # another process of this home was quicker
        if entry.role != role:
            raise InputRefused(
                f"the account {entry.address} is registered as {entry.role.name.lower()}, not as {role.name.lower()}",
                "a pod's role never changes: use another key",
            )
        if (entry.recipient, entry.endpoint) != (recipient, endpoint):
            self.update_pod(recipient, endpoint)

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

    def register_dataset(self, root: Root, count: int, card: Cid) -> DatasetId:
        """Register a dataset as its owner.

        Args:
            root: its published root.
            count: records.
            card: CID of its card.

        Returns:
            its id; of a dataset that stands already, the same.

        Raises:
            ChainUnusable: the contract refuses (it was retired, say), or the account cannot pay.
        """
        return DatasetId(self._registered("Dataset", root, count, bytes(card)))

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
            raise NotFound(f"no dataset {id} is registered in this deployment", "see `fitchain data list`")
        return _dataset(id, entry)

    def datasets(self, owner: str | None = None) -> list[DatasetEntry]:
        """Every dataset, oldest first, of one owner where given; without those whose card is no
        CID."""
        entries = self._all("Dataset", {"owner": owner} if owner else {})
        return [_dataset(DatasetId(id), entry) for id, entry in entries if _is_cid(entry["cardCid"])]

    def register_model(self, graph: Digest, initial_root: Root, parent: ModelId = NO_MODEL) -> ModelId:
        """Register a model as its author.

        Args:
            graph: digest of its graph.
            initial_root: root over its initial tensors.
            parent: the registered model it grew out of; zero for none.

        Returns:
            its id; of a model that stands already, the same.

        Raises:
            ChainUnusable: the contract refuses (it was retired, say), or the account cannot pay.
        """
        return ModelId(self._registered("Model", graph, initial_root, parent))

    def retire_model(self, id: ModelId) -> None:
        """Let no new request name the model."""
        self.chain.send("Registry", "retireModel", id)

    def model(self, id: ModelId) -> ModelEntry:
        """One model.

        Raises:
            NotFound: none of that id is registered.
        """
        entry = self.chain.call("Registry", "model", id)
        if entry["graph"] == ZERO:
            raise NotFound(f"no model {id} is registered in this deployment", "see `fitchain model list`")
        return _model(id, entry)

    def models(self, author: str | None = None) -> list[ModelEntry]:
        """Every model, oldest first, of one author where given."""
        return [_model(ModelId(id), entry) for id, entry in self._all("Model", {"author": author} if author else {})]

    def create_panel(self, name: str, members: Sequence[str]) -> PanelId:
        """Name verifiers of whom audits may be drawn.

        Args:
            name: for people; each account has its own names.
            members: their addresses, in the order in which they are drawn from.

        Returns:
            the panel's id.
        """
        receipt = self.chain.send("Registry", "createPanel", name, list(members))
        id = receipt.event("PanelCreated").args["id"]
        assert isinstance(id, Digest)
        return PanelId(id)

    def extend_panel(self, id: PanelId, members: Sequence[str]) -> None:
        """Add members as the panel's creator; audits that are open already do not draw them."""
        self.chain.send("Registry", "extendPanel", id, list(members))

    def panel(self, id: PanelId, block: int | None = None) -> PanelEntry:
        """One panel.

        Args:
            id: which.
            block: as it stood after that block; None reads it as it stands.

        Raises:
            NotFound: there is none of that id.
        """
        entry = self.chain.call("Registry", "panel", id, block=block)
        if not entry["name"]:
            raise _no_panel(id)
        return _panel(id, entry)

    def panels_of(self, ids: Sequence[PanelId]) -> list[PanelEntry | None]:
        """Several panels in one round trip; None for one that was never created."""
        entries = self.chain.call_many([("Registry", "panel", (id,)) for id in ids])
        return [_panel(id, entry) if entry["name"] else None for id, entry in zip(ids, entries, strict=True)]

    def panel_record(self, id: PanelId) -> PanelRecord:
        """How a panel came about.

        Raises:
            NotFound: there is none of that id.
        """
        created = self.chain.events("Registry", "PanelCreated", id=id)
        if not created:
            raise _no_panel(id)
        args = created[0].args
        return PanelRecord(id, args["creator"], args["name"], created[0].block, created[0].timestamp)

    def panel_size(self, id: PanelId) -> int:
        """How many members a panel has.

        Raises:
            Reverted: there is none of that id.
        """
        return int(self.chain.call("Registry", "panelLength", self.chain.call("Registry", "panelNumber", id)))

    def panel_ids(self) -> list[PanelId]:
        """The ids of all panels, oldest first; nothing of the panels themselves is read."""
        return [event.args["id"] for event in self.chain.events("Registry", "PanelCreated")]

    def panels(self) -> list[PanelEntry]:
        """Every panel, oldest first."""
        return [panel for panel in self.panels_of(self.panel_ids()) if panel is not None]

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


def _dataset(id: DatasetId, entry: dict[str, Any]) -> DatasetEntry:
    card = Cid.decode(entry["cardCid"])
    return DatasetEntry(id, entry["owner"], entry["root"], entry["count"], card, entry["active"])


def _model(id: ModelId, entry: dict[str, Any]) -> ModelEntry:
    return ModelEntry(id, entry["author"], entry["graph"], entry["initialRoot"], entry["parent"], entry["active"])


def _panel(id: PanelId, entry: dict[str, Any]) -> PanelEntry:
    return PanelEntry(id, entry["creator"], entry["name"], tuple(entry["members"]))


def _no_panel(id: PanelId) -> NotFound:
    return NotFound(f"no panel {id} was created in this deployment", "its creator knows its id")


def _is_cid(data: bytes) -> bool:
    try:
        Cid.decode(data)
    except InputRefused:
        return False
    return True
