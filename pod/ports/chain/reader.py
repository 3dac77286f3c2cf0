"""Reading one deployment: calls, events and blocks, together in as few requests as it takes."""

from __future__ import annotations

import copy
import re
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Self

from fitchain.pod.ports.chain import answers
from fitchain.pod.ports.chain.abi import decode_revert, interface
from fitchain.pod.ports.chain.answers import Header, Log, Query
from fitchain.pod.ports.chain.base import DIRECTORY, Block, Constants, Deployment, Event
from fitchain.pod.ports.chain.reads import Read, ReadBalance, ReadBlock, ReadCall, ReadEvents
from fitchain.pod.ports.chain.rpc import Node
from fitchain.pod.ports.settings import Settings
from fitchain.pod.values.digest import Digest
from fitchain.pod.values.errors import (
    ChainUnusable,
    InputRefused,
    NodeRefused,
    NodeUnreachable,
    NotFound,
    NotMinedYet,
    NotOnChain,
    Reverted,
)

RANGE_BLOCKS, MOST_RANGES = 50_000, 100_000
"""Blocks that one request for logs names, and requests beyond which the number of blocks is not
believed: a node that says any other would have a pod make them until its memory is full."""
_LOGS_HINT = (
    "the logs of one block were asked for: name a node that keeps them all, an archive or one that has not pruned"
)
STOP_S = 3.0
"""What the chain is waited for yet by who was asked to stop."""
_REVERT = re.compile(r"0x((?:[0-9a-fA-F]{2})*)\Z")


class ChainReader:
    """A connection to one deployment, as far as it reads.

    Args:
        node: the node.
        settings: with the chain's own defaults in place.
        deployment: where the contracts stand.
        constants: what the contracts' code says was chosen for the deployment.
    """

    def __init__(
        self, node: Node, settings: Settings, deployment: Deployment, constants: Constants | None = None
    ) -> None:
        self.node = node
        self.settings = settings
        self.deployment = deployment
        self.addresses = {**deployment.addresses, DIRECTORY: deployment.directory}
        self._stop = threading.Event()
        self._constants = constants
        self._head: int | None = None
        self._pinned: Digest | None = None
        self._times: dict[int, int] = {}
        self._names = {address: name for name, address in self.addresses.items()}

    @property
    def chain_id(self) -> int:
        """The chain's id."""
        return self.deployment.chain_id

    @property
    def constants(self) -> Constants:
        """What was chosen for the deployment and never changes.

        Raises:
            NotFound: the connection was made without looking at the contracts' code.
        """
        if self._constants is None:
            raise NotFound("this connection did not read the contracts' code")
        return self._constants

    def batch(self, reads: Sequence[Read]) -> list[Any]:
        """Read any mixture of calls, events, blocks and balances together.

        It is one HTTP request for a hundred of them, if the node takes batches, and one more for
        the head where confirmations are waited for. Events of very many blocks count for several.

        Args:
            reads: what to read.

        Returns:
            one value each, as the read says.

        Raises:
            Reverted: a contract refuses a call, by name and with its values.
            NotOnChain: the node has no such block.
            ChainUnusable: the node does not give its logs.
        """
        named = self.settings.confirmations > 0 or self._head is not None
        head = self.head() if named and any(map(_at_head, reads)) else None
        requests = [self._requests(read, head) for read in reads]
        answered = iter(self.node.answers([request for some in requests for request in some]))
        return [
            self._value(read, [(request, next(answered)) for request in some])
            for read, some in zip(reads, requests, strict=True)
        ]

    def call(self, contract: str, function: str, *args: Any, block: int | str | None = None) -> Any:
        """Read a view function.

        Args:
            contract, function: by name.
            args: one value for each parameter.
            block: number or tag; None reads at `head()`.

        Returns:
            the value, or a tuple of several; a struct as a dict by its Solidity names, bytes32 as
            Digest.

        Raises:
            Reverted: the contract refuses, by name and with its values.
        """
        return self.batch([ReadCall(contract, function, args, block)])[0]

    def call_many(self, calls: Sequence[tuple[str, str, Sequence[Any]]], block: int | str | None = None) -> list[Any]:
        """Read several view functions of the same block together; arguments, values and errors as
        `call`'s."""
        return self.batch([ReadCall(contract, function, args, block) for contract, function, args in calls])

    def events(
        self,
        contract: str,
        name: str | None = None,
        from_block: int | None = None,
        to_block: int | None = None,
        **indexed: Any,
    ) -> list[Event]:
        """Decoded events in the order of the chain.

        Args:
            contract: by name.
            name: which event; None takes every event of the contract.
            from_block: first block; None begins with the deployment.
            to_block: last block; None ends at `head()`.
            indexed: wanted values of indexed arguments, by name; they need a `name`.

        Raises:
            ChainUnusable: the node does not give its logs.
        """
        read = ReadEvents((contract,), name, indexed, from_block=from_block, to_block=to_block)
        return self.events_many([read])[0]

    def events_many(self, reads: Sequence[ReadEvents]) -> list[list[Event]]:
        """Several searches for events together; each as `events`."""
        return self.batch(reads)

    def events_of(
        self, contracts: Sequence[str], id: Digest | None, from_block: int | None = None, to_block: int | None = None
    ) -> list[Event]:
        """Every event of several contracts in the order of the chain.

        Args:
            contracts: by name.
            id: wanted value of the first indexed argument; None takes all.
            from_block, to_block: as in `events`.
        """
        return self.events_many([ReadEvents(contracts, id=id, from_block=from_block, to_block=to_block)])[0]

    def sent_args(self, transaction: Digest, contract: str, function: str) -> tuple[Any, ...] | None:
        """The arguments with which a transaction called a function; None where the node does not
        know it any more, or it called something else.

        Args:
            transaction: its hash.
            contract, function: by name.
        """
        if (sent := self.node.ask(answers.transaction(transaction))) is None:
            return None
        try:
            return interface(contract).function(function).decode_call(bytes.fromhex(sent.fields["data"][2:]))
        except InputRefused:
            return None

    def head(self) -> int:
        """Number of the newest block that has enough confirmations."""
        if self._head is not None:
            return self._head
        return max(0, self.node.ask(answers.block_number()) - self.settings.confirmations)

    def snapshot(self) -> Self:
        """The same connection for reads that are to agree with each other: all of them see the
        chain as its head is now, which is asked for once."""
        still = copy.copy(self)
        still._head = self.head()
        return still

    def at(self, header: Header) -> Self:
        """The same connection for reads on the state of one block, known by its hash: a node that
        does not have it in its chain refuses them (EIP-1898)."""
        still = copy.copy(self)
        still._head, still._pinned = header.number, header.hash
        return still

    def block(self, number: int | str) -> Block:
        """A block by number or tag.

        Raises:
            NotOnChain: the node has no such block.
        """
        block: Block = self.batch([ReadBlock(number)])[0]
        return block

    def blocks(self, numbers: Iterable[int]) -> dict[int, Block]:
        """Several blocks by number, in few round trips."""
        wanted = sorted(set(numbers))
        blocks = dict(zip(wanted, self.batch([ReadBlock(number) for number in wanted]), strict=True))
        self.know_times(blocks.values())
        return blocks

    def know_times(self, blocks: Iterable[Block]) -> None:
        """Take the times of blocks that were read, so that `time_of` need not read them."""
        self._times |= {block.number: block.timestamp for block in blocks}

    def read_times(self, numbers: Iterable[int]) -> None:
        """Read the times of several blocks in few round trips, so that `time_of` knows them."""
        self.blocks(set(numbers) - set(self._times))

    def time_of(self, number: int) -> int:
        """Time of a block, in seconds since 1970; each is read once."""
        if number not in self._times:
            self._times[number] = self.block(number).timestamp
        return self._times[number]

    def forget_times(self) -> None:
        """Read the times of blocks anew: some of them are others."""
        self._times.clear()

    @contextmanager
    def ends_with(self, stop: threading.Event) -> Iterator[None]:
        """Wait for nothing that the chain has not brought some seconds after an event is set, as
        long as the block lasts."""
        before, self._stop = self._stop, stop
        try:
            yield
        finally:
            self._stop = before

    def wait_for(self, number: int) -> None:
        """Wait until a block has its confirmations."""
        for _ in self._looks(f"block {number} is not confirmed"):
            if self.head() >= number:
                return

    def wait_beyond(self, number: int) -> None:
        """Wait until a block has a successor: its hash is known from the next one on."""
        for _ in self._looks(f"block {number} has no successor"):
            if self.block("latest").number > number:
                return

    def _looks(self, without: str) -> Iterator[None]:
        """A turn for each look at what the chain may never bring.

        Args:
            without: what is said where it has not been brought.

        Raises:
            NotMinedYet: whoever waits was asked to end some seconds ago.
        """
        stopped_at: float | None = None
        while True:
            yield
            if self._stop.is_set():
                stopped_at = stopped_at or time.monotonic()
                if time.monotonic() - stopped_at > STOP_S:
                    raise NotMinedYet(
                        f"{without}, and it is not waited for: this pod stops", "it goes on at its next start"
                    )
            time.sleep(self.settings.poll_s)

    def code(self, address: str) -> bytes:
        """The code at an address in the newest block; empty where no contract stands."""
        return self.node.ask(answers.code(address))

    def balance(self, address: str) -> int:
        """ETH in wei."""
        return int(self.batch([ReadBalance(address)])[0])

    def fit_balance(self, address: str) -> int:
        """FIT in base units."""
        return int(self.call("FitCoin", "balanceOf", address, block="latest"))

    # Below the surface

    def _requests(self, read: Read, head: int | None) -> list[Query[Any]]:
        """What the node is asked for a read; `head` is None where that is its newest block."""
        newest: int | str | Digest = self._pinned or ("latest" if head is None else head)
        match read:
            case ReadCall(contract, function, args, block, _):
                item = interface(contract).function(function)
                fields = {"to": self.addresses[contract], "data": as_hex(item.encode(args))}
                return [answers.call(fields, newest if block is None else block, item.decode_result)]
            case ReadBlock(number, _):
                return [answers.block(number)]
            case ReadBalance(address):
                return [answers.balance(address)]
            case ReadEvents():
                return self._log_requests(read, head)

    def _log_requests(self, read: ReadEvents, head: int | None) -> list[Query[Any]]:
        """Requests for logs, none of more blocks than most providers give at once."""
        wanted = [self.addresses[contract] for contract in read.contracts], _topics_of(read)
        first = self.deployment.block if read.from_block is None else read.from_block
        last = head if read.to_block is None else read.to_block
        if last is None:
            return [answers.logs(*wanted, first, None)]
        if last - first > MOST_RANGES * RANGE_BLOCKS:
            raise NodeUnreachable(
                f"the node at {self.node.shown} says that the chain has {last} blocks, which no chain has",
                "it may be out of order: name another with --rpc or FITCHAIN_RPC",
            )
        return [
            answers.logs(*wanted, start, min(start + RANGE_BLOCKS - 1, last))
            for start in range(first, last + 1, RANGE_BLOCKS)
        ]

    def _value(self, read: Read, answered: Sequence[tuple[Query[Any], Any]]) -> Any:
        """What a read gives, from the answers to its requests."""
        refused = any(answer is None or isinstance(answer, NodeRefused) for _, answer in answered)
        if refused and not isinstance(read, ReadBalance) and read.optional:
            return None
        if isinstance(read, ReadEvents):
            return self._decoded(log for logs in self._granted(answered) for log in logs)
        ((_, answer),) = answered
        if isinstance(answer, NodeRefused):
            raise translated(f"{read.contract}.{read.function}", answer) if isinstance(read, ReadCall) else answer
        if isinstance(read, ReadBlock):
            if answer is None:
                raise NotOnChain(f"the node at {self.node.shown} has no block {read.number}")
            return Block(answer.number, answer.hash, answer.timestamp)
        return answer

    def _granted(self, answered: Sequence[tuple[Query[Any], Any]]) -> list[Sequence[Log]]:
        """Raw logs for each request, where the node refused one in pieces that it is willing to
        give."""
        # Providers limit blocks or logs a request, each in its own words: ask for less until one
        # block is too much.
        halves = [
            self._halves(request, answer) if isinstance(answer, NodeRefused) else [] for request, answer in answered
        ]
        asked = [half for some in halves for half in some]
        granted = iter(self._granted(list(zip(asked, self.node.answers(asked), strict=True))) if asked else [])
        return [
            [log for _ in some for log in next(granted)] if isinstance(answer, NodeRefused) else answer
            for some, (_, answer) in zip(halves, answered, strict=True)
        ]

    def _halves(self, request: Query[Any], refusal: NodeRefused) -> list[Query[Any]]:
        """A refused request for logs as two of half the blocks; none where it asked for blocks that
        are not there yet.

        Raises:
            NodeRefused: it asked for one block.
        """
        wanted = request.params[0]
        first = int(wanted["fromBlock"], 16)
        last = self.head() if wanted["toBlock"] == "latest" else int(wanted["toBlock"], 16)
        if first == last:
            raise NodeRefused(refusal.message, _LOGS_HINT, refusal.code, refusal.data)
        middle = (first + last) // 2
        asked = wanted["address"], wanted["topics"]
        return [answers.logs(*asked, *half) for half in ((first, middle), (middle + 1, last)) if half[0] <= half[1]]

    def _decoded(self, logs: Iterable[Log]) -> list[Event]:
        return [event for log in logs if (event := self._event(log)) is not None]

    def _event(self, log: Log) -> Event | None:
        """An event of the deployment's contracts; None for anybody else's.

        Raises:
            NodeUnreachable: the log is none that the contract can have left.
        """
        contract = self._names.get(log.address)
        item = interface(contract).by_topic.get(log.topics[0]) if contract and log.topics else None
        if item is None:
            return None
        try:
            args = item.decode_log(log.topics, log.data)
        except InputRefused as error:
            raise NodeUnreachable(
                f"the node at {self.node.shown} gives a log that {contract} cannot have left: {error.message:.200}",
                "it may be out of order: name another with --rpc or FITCHAIN_RPC",
            ) from None
        if log.timestamp is not None:
            self._times[log.block] = log.timestamp
        return Event(
            contract=item.contract,
            name=item.name,
            args=args,
            block=log.block,
            transaction=log.transaction,
            log_index=log.index,
            clock=self.time_of,
        )


def translated(what: str, refusal: NodeRefused) -> ChainUnusable:
    """A revert by the contract's own words; any other refusal as it is."""
    data = refusal.data.get("data") if isinstance(refusal.data, dict) else refusal.data
    if refusal.code != 3 and "revert" not in refusal.message.lower():
        return refusal
    # Some nodes write words before the digits ("Reverted 0x...").
    digits = _REVERT.search(data) if isinstance(data, str) else None
    name, values, sentence = decode_revert(bytes.fromhex(digits[1]) if digits else b"")
    return Reverted(f"{what} reverted {sentence}", error=name, values=values)


def _at_head(read: Read) -> bool:
    """Whether a read ends at the newest confirmed block."""
    return (isinstance(read, ReadCall) and read.block is None) or (
        isinstance(read, ReadEvents) and read.to_block is None
    )


def _topics_of(read: ReadEvents) -> list[str | list[str] | None]:
    """The topics of the events that a read asks for."""
    if read.event is not None:
        return [*interface(read.contracts[0]).event(read.event).topics(read.indexed)]
    items = [item for contract in read.contracts for item in interface(contract).events.values()]
    wanted = {"0x" + item.hash.hex() for item in items if item.name not in read.without}
    first = sorted(wanted) if read.without else None
    return [first, str(read.id)] if read.id is not None else [first] if first else []


def as_hex(data: bytes) -> str:
    """Bytes as JSON-RPC writes them."""
    return "0x" + data.hex()
