"""The registry: pods, datasets and models by name, as typed calls.

Stands after `keys` and before `agreement` in the flow. Identities are set once; owners may retire them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from pod.chain.client import Chain
from pod.digest import ZERO, Digest
from pod.store.base import Cid


class Role(IntEnum):
    """What a pod does."""

    OWNER = 0
    SCIENTIST = 1
    VERIFIER = 2


@dataclass(frozen=True)
class Pod:
    """A registered pod: its account, its age recipient, where it can be reached (at most 512 bytes)."""

    address: str
    role: Role
    recipient: str
    endpoint: bytes


@dataclass(frozen=True)
class DatasetEntry:
    """A registered dataset: `root` over `count` records, `card` the CID of its card, `active` until it is retired."""

    id: Digest
    owner: str
    root: Digest
    count: int
    card: Cid
    active: bool


@dataclass(frozen=True)
class ModelEntry:
    """A registered model: digest of its graph, root of its initial tensors, the model it descends from (zero: none)."""

    id: Digest
    author: str
    graph: Digest
    initial_root: Digest
    parent: Digest
    active: bool


class Registry:
    """The contract Registry of one chain.

    Args:
        chain: the connection; without a signer it only reads.
    """

    def __init__(self, chain: Chain) -> None:
        self.chain = chain

    def register_pod(self, role: Role, recipient: str, endpoint: bytes = b"") -> None:
        """Register this account as a pod; registering what already stands is harmless."""
        raise NotImplementedError

    def update_pod(self, recipient: str, endpoint: bytes = b"") -> None:
        """Change this pod's recipient and endpoint."""
        raise NotImplementedError

    def pod(self, address: str) -> Pod:
        """One pod.

        Raises:
            NotFound: no pod of that address is registered.
        """
        raise NotImplementedError

    def register_dataset(self, root: Digest, count: int, card: Cid) -> Digest:
        """Register a dataset as its owner; the id."""
        raise NotImplementedError

    def retire_dataset(self, id: Digest) -> None:
        """Let no new request name the dataset."""
        raise NotImplementedError

    def dataset(self, id: Digest) -> DatasetEntry:
        """One dataset.

        Raises:
            NotFound: none of that id is registered.
        """
        raise NotImplementedError

    def datasets(self, owner: str | None = None) -> list[DatasetEntry]:
        """Every dataset, oldest first, of one owner where given."""
        raise NotImplementedError

    def register_model(self, graph: Digest, initial_root: Digest, parent: Digest = ZERO) -> Digest:
        """Register a model as its author; the id. Registering the same again returns the same id."""
        raise NotImplementedError

    def retire_model(self, id: Digest) -> None:
        """Let no new request name the model."""
        raise NotImplementedError

    def model(self, id: Digest) -> ModelEntry:
        """One model.

        Raises:
            NotFound: none of that id is registered.
        """
        raise NotImplementedError

    def models(self, author: str | None = None) -> list[ModelEntry]:
        """Every model, oldest first, of one author where given."""
        raise NotImplementedError
