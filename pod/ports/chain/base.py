"""Values that the chain's parts exchange: a deployment, a block, an event, a receipt, a pending
transaction, a signer."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from typing import Any, NoReturn, Protocol
from uuid import uuid4

from fitchain.pod.values.digest import Digest, parse_json
from fitchain.pod.values.errors import InputRefused, NodeUnreachable, NotFound, Unusable, host_errors
from fitchain.pod.values.limits import DEPLOYMENT
from fitchain.pod.values.reading import read_at_most
from fitchain.pod.values.versions import require_version

CONTRACTS = ("FitCoin", "Registry", "Verifiers", "Agreements", "ProofOfTrain", "Audits")
DIRECTORY = "Directory"
"""The contract that told the others of one another when they were created; it plays no part
afterwards."""
DEPLOYMENT_VERSION = "fitchain/deployment/v2"
FINAL_BLOCKS = 16
"""How many blocks must lie on an event before anything is deleted because of it: a reorganisation
of the chain could undo it, and keys and states would be wanted again."""


class ChainEnum(IntEnum):
    """A choice that the contracts keep as a number.

    What is none of its numbers can only come from a node: the contracts of a deployment are known
    by their code before anything is asked of them.
    """

    @classmethod
    def _missing_(cls, value: object) -> NoReturn:
        raise NodeUnreachable(
            f"the node says {value!r:.40} for a {cls.__name__}, which has the numbers {min(cls)} to {max(cls)}",
            "it may be out of order: name another with --rpc or FITCHAIN_RPC",
        )


class Signer(Protocol):
    """Whoever can sign for one account.

    `fitchain.pod.ports.keys.Keys` is one; a hardware wallet would be another. The chain asks for no
    more, and so needs to know no keystore.
    """

    @property
    def address(self) -> str:
        """The account's address with its EIP-55 checksum."""
        ...

    def sign_transaction(self, fields: Mapping[str, Any]) -> bytes:
        """The raw signed transaction (EIP-1559 fields as eth-account takes them)."""
        ...

    def sign_digest(self, digest: Digest) -> bytes:
        """A 65-byte signature r || s || v over the digest, v being 27 or 28."""
        ...


@dataclass(frozen=True)
class Deployment:
    """Where the contracts of one deployment stand.

    Args:
        chain_id: the chain.
        addresses: contract name -> address with checksum.
        directory: where the contracts' directory stands.
        number: which of its deployer's deployments of these contracts it is, from 0; their
            addresses follow from it.
        block: the block in which the directory was filled; no event of these contracts is older,
            but for the coin's creation.
    """

    chain_id: int
    addresses: Mapping[str, str]
    directory: str
    number: int
    block: int

    def encode(self) -> bytes:
        """The deployment's file."""
        body = {
            "version": DEPLOYMENT_VERSION,
            "chain_id": self.chain_id,
            "block": self.block,
            "contracts": dict(self.addresses),
            "directory": self.directory,
            "number": self.number,
        }
        return (json.dumps(body, indent=2) + "\n").encode()

    @classmethod
    def read(cls, path: Path) -> Deployment | None:
        """Read a deployment's file; None where there is none.

        Raises:
            InputRefused: the file is not a deployment's.
        """
        try:
            body = parse_json(read_at_most(path, DEPLOYMENT.text_bytes), DEPLOYMENT)
        except NotFound:
            return None
        except Unusable as error:
            raise InputRefused(f"{path} is not a deployment's record: {error.message}") from None
        try:
            if body["version"] == "fitchain/deployment/v1":
                raise InputRefused(
                    f"{path} is a deployment of Fitchain 0.2, whose contracts protocol 2 does not read",
                    "on a devnet `fitchain deploy` replaces it; elsewhere move it away and deploy anew, or get the "
                    "file of a deployment of protocol 2",
                )
            require_version(f"the deployment's record {path}", body, DEPLOYMENT_VERSION)
            if body["version"] != DEPLOYMENT_VERSION:
                raise ValueError("its version is no text")
            addresses = {name: read_address(body["contracts"][name]) for name in CONTRACTS}
            number = int(body["number"])
            if not 0 <= number < 2**256:
                raise ValueError(f"its number is {number}")
            directory = read_address(body["directory"])
            return cls(int(body["chain_id"]), addresses, directory, number, int(body["block"]))
        except (ValueError, KeyError, TypeError) as error:
            raise InputRefused(f"{path} is not a deployment's record: {error!r}") from None


@dataclass(frozen=True)
class Constants:
    """What was chosen for a deployment and never changes, read out of its contracts' code.

    Args:
        deployer: the account that filled the directory and was given the supply of FIT.
        fee_floor: the least fee of a seat, in base units.
        turn_blocks: blocks in which only whoever asked for an audit draws its verifiers.
        minimum_window_s: the shortest window that terms may name, in seconds.
    """

    deployer: str
    fee_floor: int
    turn_blocks: int
    minimum_window_s: int


def checksum(address: str) -> str:
    """The address with its EIP-55 checksum."""
    from eth_utils.address import to_checksum_address

    return str(to_checksum_address(address))


def read_address(value: Any) -> str:
    """An address out of a file, or as a person types it, with its checksum.

    Where its letters are neither all small nor all capital, they are a checksum (EIP-55), which one
    mistyped digit breaks with a chance of 99.98%.

    Raises:
        ValueError: it is none, or its checksum does not hold.
    """
    from eth_utils.address import is_address

    if not isinstance(value, str) or not is_address(value):
        raise ValueError(f"{value!r:.80} is not an address")
    digits = value[-40:]
    if digits not in (digits.lower(), digits.upper(), checksum(value)[-40:]):
        raise ValueError(f"the address {value} is mistyped: its capital letters are a checksum that does not hold")
    return checksum(value)


def write_file(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Write a small file so that a reader, or a power cut, sees the old one or the new one.

    Raises:
        HostUnusable: the disk is full, say; the old one is there as before.
    """
    part = path.with_name(f".{path.name}.{uuid4().hex}.part")
    with host_errors(f"{path} cannot be written"):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
        except BaseException:
            part.unlink(missing_ok=True)
            raise


@dataclass(frozen=True)
class Block:
    """A block's number, hash and time (seconds since 1970)."""

    number: int
    hash: Digest
    timestamp: int


@dataclass(frozen=True)
class Event:
    """One decoded event.

    Args:
        contract: name of the contract that emitted it.
        name: name of the event.
        args: argument name -> value: int, bool, str (texts and addresses with checksum), bytes,
            Digest for bytes32, dict for a struct, list for an array.
        block: number of its block.
        transaction: hash of its transaction.
        log_index: its place among the block's logs.
    """

    contract: str
    name: str
    args: dict[str, Any]
    block: int
    transaction: Digest
    log_index: int
    clock: Callable[[int], int] = field(repr=False, compare=False)

    @property
    def timestamp(self) -> int:
        """Time of the event's block, in seconds since 1970; read from the node when first asked
        for."""
        return self.clock(self.block)


def newest(events: Sequence[Event], what: str) -> Event:
    """The newest of events of which there must be one.

    Args:
        events: in the order of the chain.
        what: whose, for the message.

    Raises:
        NodeUnreachable: there is none, so the node lags behind, or has given logs up.
    """
    if not events:
        raise NodeUnreachable(f"the node gives no event of {what}", "wait until it has caught up, or name another")
    return events[-1]


@dataclass(frozen=True)
class Pending:
    """A transaction that was journaled and sent, and not yet seen mined.

    Args:
        transaction: its hash.
        sender: the account.
        nonce: the account's transaction count that it uses up.
        what: `Contract.function`, for messages.
    """

    transaction: Digest
    sender: str
    nonce: int
    what: str


@dataclass(frozen=True)
class Receipt:
    """A mined transaction that succeeded.

    Args:
        transaction: its hash.
        sender: the account that sent it.
        block: number of its block.
        gas_used: units of gas.
        gas_price: wei paid for a unit.
        events: the events of the deployment's contracts, in order.
        contract_address: where a creation put its contract.
    """

    transaction: Digest
    sender: str
    block: int
    gas_used: int
    gas_price: int
    events: tuple[Event, ...]
    contract_address: str | None = None

    def event(self, name: str) -> Event:
        """The one event of that name.

        Raises:
            InputRefused: there is none, or more than one.
        """
        matching = [event for event in self.events if event.name == name]
        if len(matching) != 1:
            raise InputRefused(f"the transaction {self.transaction} emitted {len(matching)} events {name}, not one")
        return matching[0]
