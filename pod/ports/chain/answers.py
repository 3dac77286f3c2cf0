"""What a node is asked, each with the codec of its answer.

A `Query` is a method, its parameters and how its answer is read. A codec takes JSON that anybody
may have written and gives a value that cannot be wrong in form, or raises ValueError with what the
answer is not; `rpc.Node` turns that into the error of a node that cannot be understood. Nothing
else in this package reads a node's JSON.

Source: Ethereum JSON-RPC specification (https://ethereum.github.io/execution-apis)
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Generic, TypeVar

from fitchain.pod.ports.chain.base import checksum
from fitchain.pod.values.digest import Digest

T = TypeVar("T")

COUNT_BITS = 64
SHOWN = 80
_QUANTITY = re.compile(r"0x[0-9a-fA-F]{1,64}")
_DATA = re.compile(r"0x(?:[0-9a-fA-F]{2})*")
_HASH = re.compile(r"0x[0-9a-fA-F]{64}")
_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")
MOST_TOPICS = 4


@dataclass(frozen=True)
class Query(Generic[T]):
    """Something that a node is asked.

    Args:
        method, params: as the Ethereum JSON-RPC specification has them.
        decode: reads the `result` of the answer; raises ValueError where it is none of this method.
    """

    method: str
    params: list[Any]
    decode: Callable[[Any], T]


@dataclass(frozen=True)
class Header:
    """A block, without its transactions.

    Args:
        number, hash, parent, timestamp, state_root: as its header has them; seconds since 1970.
        base_fee: wei that a unit of gas costs at least; None on a chain that has no such fee
            (before EIP-1559).
    """

    number: int
    hash: Digest
    parent: Digest
    timestamp: int
    state_root: Digest
    base_fee: int | None = field(compare=False)


@dataclass(frozen=True)
class Log:
    """One raw log.

    Args:
        address: of the contract, with checksum.
        topics: in small hex digits.
        data: what is not indexed.
        block, block_hash, transaction, index: where it stands.
        timestamp: of its block, where the node tells it; nodes that do not are no other mind.
    """

    address: str
    topics: tuple[str, ...]
    data: bytes
    block: int
    block_hash: Digest
    transaction: Digest
    index: int
    timestamp: int | None = field(compare=False)


@dataclass(frozen=True)
class Mined:
    """A receipt: what became of a transaction that is in a block."""

    transaction: Digest
    sender: str
    block: int
    succeeded: bool
    gas_used: int
    gas_price: int
    logs: tuple[Log, ...]
    contract_address: str | None


@dataclass(frozen=True)
class Sent:
    """What a transaction asked for: the fields of a call that repeats it."""

    fields: Mapping[str, str]


# What is asked


def chain_id() -> Query[int]:
    """The chain's id."""
    return Query("eth_chainId", [], count)


def block_number() -> Query[int]:
    """The number of the newest block."""
    return Query("eth_blockNumber", [], count)


def block(number: int | str) -> Query[Header | None]:
    """A block by number or tag; None where the node has none such."""
    return Query("eth_getBlockByNumber", [tag(number), False], lambda answer: _header(answer, number))


def balance(address: str, at: int | str = "latest") -> Query[int]:
    """An account's ETH in wei."""
    return Query("eth_getBalance", [address, tag(at)], quantity)


def transaction_count(address: str, at: int | str | Digest) -> Query[int]:
    """How many transactions an account has sent by a block, or with those that wait (`pending`)."""
    return Query("eth_getTransactionCount", [address, _place(at)], count)


def code(address: str) -> Query[bytes]:
    """The code at an address in the newest block."""
    return Query("eth_getCode", [address, "latest"], data)


def call(fields: Mapping[str, str], at: int | str | Digest, decode: Callable[[bytes], T]) -> Query[T]:
    """What a call returns.

    Args:
        fields: of the call.
        at: the block on whose state it runs; by its hash, where it must be of the chain.
        decode: reads the bytes that it returns; raises ValueError where they are none such.
    """
    return Query("eth_call", [dict(fields), _place(at)], lambda answer: decode(data(answer)))


def estimate_gas(fields: Mapping[str, str]) -> Query[int]:
    """Units of gas that a call takes."""
    return Query("eth_estimateGas", [dict(fields)], count)


def tip() -> Query[int]:
    """What the node suggests to offer above the base fee, in wei for a unit of gas."""
    return Query("eth_maxPriorityFeePerGas", [], quantity)


def gas_price() -> Query[int]:
    """What the node suggests to pay for a unit of gas, in wei."""
    return Query("eth_gasPrice", [], quantity)


def send_raw(raw: bytes) -> Query[Digest]:
    """Send a signed transaction; its hash."""
    return Query("eth_sendRawTransaction", ["0x" + raw.hex()], digest)


def send_unlocked(fields: Mapping[str, str]) -> Query[Digest]:
    """Have the node sign and send with a key of its own; the transaction's hash."""
    return Query("eth_sendTransaction", [dict(fields)], digest)


def accounts() -> Query[tuple[str, ...]]:
    """Accounts whose keys the node holds."""
    return Query("eth_accounts", [], lambda answer: tuple(map(address, _list(answer))))


def receipt(transaction: Digest) -> Query[Mined | None]:
    """The receipt of a transaction; None while it is not mined."""
    return Query("eth_getTransactionReceipt", [str(transaction)], lambda answer: _mined(answer, transaction))


def transaction(hash: Digest) -> Query[Sent | None]:
    """A transaction by its hash; None where the node does not know it."""
    return Query("eth_getTransactionByHash", [str(hash)], _sent)


def logs(addresses: Sequence[str], topics: Sequence[Any], first: int, last: int | None) -> Query[tuple[Log, ...]]:
    """Logs of contracts in a range of blocks, in the order of the chain.

    Args:
        addresses: of the contracts, with checksum.
        topics: for each place a topic, several of which one will do, or None for any.
        first, last: the range; without a last one, up to the newest block.
    """
    to_block = "latest" if last is None else hex(last)
    wanted = {"address": list(addresses), "topics": list(topics), "fromBlock": hex(first), "toBlock": to_block}
    return Query("eth_getLogs", [wanted], lambda answer: _asked_for(_logs(answer), addresses, topics, first, last))


def client_version() -> Query[str]:
    """What program the node is."""
    return Query("web3_clientVersion", [], _text)


def undecoded(method: str, *params: Any) -> Query[Any]:
    """Anything else, whose answer is taken as it is: what a devnet's node understands beside."""
    return Query(method, list(params), lambda answer: answer)


# Codecs


def quantity(value: Any) -> int:
    """An unsigned number of up to 256 bits, in hex."""
    if not isinstance(value, str) or not _QUANTITY.fullmatch(value):
        raise ValueError(f"{_excerpt(value)} is no quantity")
    return int(value, 16)


def count(value: Any) -> int:
    """A number of blocks, seconds, units of gas or the like, which has 64 bits."""
    number = quantity(value)
    if number >> COUNT_BITS:
        raise ValueError(f"{_excerpt(value)} is beyond {COUNT_BITS} bits")
    return number


def data(value: Any) -> bytes:
    """Bytes in hex."""
    if not isinstance(value, str) or not _DATA.fullmatch(value):
        raise ValueError(f"{_excerpt(value)} is no data in hex")
    return bytes.fromhex(value[2:])


def digest(value: Any) -> Digest:
    """32 bytes in hex."""
    if not isinstance(value, str) or not _HASH.fullmatch(value):
        raise ValueError(f"{_excerpt(value)} is no hash of 32 bytes")
    return Digest(bytes.fromhex(value[2:]))


def address(value: Any) -> str:
    """An address, with its checksum whatever the answer's letters."""
    if not isinstance(value, str) or not _ADDRESS.fullmatch(value):
        raise ValueError(f"{_excerpt(value)} is no address")
    return checksum(value)


def tag(block: int | str) -> str:
    """A block as a parameter: a number in hex, or a tag as it is."""
    return hex(block) if isinstance(block, int) else block


def _place(block: int | str | Digest) -> str | dict[str, Any]:
    """A block as a parameter; one that is named by its hash must be of the chain (EIP-1898)."""
    return {"blockHash": str(block), "requireCanonical": True} if isinstance(block, Digest) else tag(block)


def _header(answer: Any, asked: int | str) -> Header | None:
    if answer is None:
        return None
    fields = _object(answer, "block")
    fee = fields.get("baseFeePerGas")
    header = Header(
        number=count(fields.get("number")),
        hash=digest(fields.get("hash")),
        parent=digest(fields.get("parentHash")),
        timestamp=count(fields.get("timestamp")),
        state_root=digest(fields.get("stateRoot")),
        base_fee=None if fee is None else quantity(fee),
    )
    if isinstance(asked, int) and header.number != asked:
        raise ValueError(f"the block {header.number} is not the block {asked}")
    return header


def _log(answer: Any) -> Log:
    fields = _object(answer, "log")
    topics = [str(digest(topic)) for topic in _list(fields.get("topics"))]
    if len(topics) > MOST_TOPICS:
        raise ValueError(f"a log with {len(topics)} topics is none")
    time = fields.get("blockTimestamp")
    return Log(
        address=address(fields.get("address")),
        topics=tuple(topics),
        data=data(fields.get("data")),
        block=count(fields.get("blockNumber")),
        block_hash=digest(fields.get("blockHash")),
        transaction=digest(fields.get("transactionHash")),
        index=count(fields.get("logIndex")),
        timestamp=None if time is None else count(time),
    )


def _logs(answer: Any) -> tuple[Log, ...]:
    logs = tuple(map(_log, _list(answer)))
    for before, after in pairwise(logs):
        if (before.block, before.index) >= (after.block, after.index):
            raise ValueError(
                f"the log {after.index} of block {after.block} comes behind {before.index} of {before.block}"
            )
    return logs


def _asked_for(
    logs: tuple[Log, ...], addresses: Sequence[str], topics: Sequence[Any], first: int, last: int | None
) -> tuple[Log, ...]:
    """The logs, if all of them are what was asked for."""
    for log in logs:
        if log.address not in addresses or log.block < first or (last is not None and log.block > last):
            raise ValueError(f"a log of {log.address} in block {log.block} was not asked for")
        for position, wanted in enumerate(topics):
            allowed = wanted if isinstance(wanted, list) else [wanted]
            if wanted is not None and (position >= len(log.topics) or log.topics[position] not in allowed):
                raise ValueError(f"a log with the topics {list(log.topics)} was not asked for")
    return logs


def _mined(answer: Any, asked: Digest) -> Mined | None:
    if answer is None:
        return None
    fields = _object(answer, "receipt")
    created, status = fields.get("contractAddress"), count(fields.get("status"))
    if status > 1:
        raise ValueError(f"{status} is no status of a receipt")
    if (named := digest(fields.get("transactionHash"))) != asked:
        raise ValueError(f"the receipt is of {named}, not of {asked}")
    return Mined(
        transaction=named,
        sender=address(fields.get("from")),
        block=count(fields.get("blockNumber")),
        succeeded=status == 1,
        gas_used=count(fields.get("gasUsed")),
        gas_price=quantity(fields.get("effectiveGasPrice")),
        logs=_logs(fields.get("logs")),
        contract_address=None if created is None else address(created),
    )


def _sent(answer: Any) -> Sent | None:
    if answer is None:
        return None
    fields = _object(answer, "transaction")
    call = {
        "from": address(fields.get("from")),
        "data": "0x" + data(fields.get("input")).hex(),
        "value": hex(quantity(fields.get("value"))),
        "gas": hex(count(fields.get("gas"))),
    }
    return Sent(call | ({"to": address(fields["to"])} if fields.get("to") is not None else {}))


def _object(value: Any, what: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{_excerpt(value)} is no {what}")
    return value


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError(f"{_excerpt(value)} is no list")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{_excerpt(value)} is no text")
    return value


def _excerpt(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 3]}..."
