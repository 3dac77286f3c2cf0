"""The contracts' interfaces: Python values to call data and back, logs to events, revert data to
words.

Reads the artifacts that ship beside this file. Structs are dicts by their Solidity field names,
bytes32 are `Digest`, addresses are texts with checksum; integers, bools, texts and bytes are
themselves.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib import resources
from typing import Any

from fitchain.pod.ports.chain.base import CONTRACTS, DIRECTORY
from fitchain.pod.values.amounts import amount_text
from fitchain.pod.values.digest import Digest
from fitchain.pod.values.errors import InputRefused

Parameter = dict[str, Any]
"""One parameter as the ABI's JSON has it: name, type, components of a tuple, indexed for an
event's."""

_PANICS = {
    0x01: "an assertion is false",
    0x11: "an arithmetic result is out of range",
    0x12: "a division by zero",
    0x21: "a number is no value of its enum",
    0x31: "a pop from an empty array",
    0x32: "an index is out of bounds",
    0x41: "too much memory is asked for",
}

AMOUNTS = {
    "AmountTooLarge": ("amount", "limit"),
    "BondBelowFees": ("bond", "fees"),
    "ERC20InsufficientAllowance": ("allowance", "needed"),
    "ERC20InsufficientBalance": ("balance", "needed"),
    "FeeBelowFloor": ("feePerSeat", "floor"),
    "PoolNeedsStake": ("stake", "needed"),
    "SeatStakeRefused": ("seatStake", "least", "most"),
    "StakeTooSmall": ("free", "needed"),
}
"""The arguments of errors that are base units of FIT, which people read as FIT."""


@dataclass(frozen=True)
class Item:
    """A function, an event or an error of a contract."""

    contract: str
    name: str
    inputs: Sequence[Parameter]
    outputs: Sequence[Parameter] = ()

    @cached_property
    def hash(self) -> bytes:
        """Keccak-256 of the signature: an event's topic; its first four bytes are a function's or
        error's selector."""
        from eth_utils.crypto import keccak

        signature = f"{self.name}({','.join(type_text(parameter) for parameter in self.inputs)})"
        return bytes(keccak(text=signature))

    @cached_property
    def selector(self) -> bytes:
        """The first four bytes of a call or of revert data."""
        return self.hash[:4]

    def encode(self, args: Sequence[Any]) -> bytes:
        """Call data: selector and arguments.

        Raises:
            InputRefused: the arguments do not fit the parameters.
        """
        return self.selector + encode(f"{self.contract}.{self.name}", self.inputs, args)

    def decode_call(self, data: bytes) -> tuple[Any, ...]:
        """The arguments of call data.

        Raises:
            InputRefused: it is not that of such a call.
        """
        if not data.startswith(self.selector):
            raise InputRefused(f"0x{data[:4].hex()} is not the selector of {self.contract}.{self.name}")
        return tuple(decode(self.inputs, data[len(self.selector) :]))

    def decode_result(self, data: bytes) -> Any:
        """What a call returned: its one value, or a tuple of several.

        Raises:
            InputRefused: the bytes are no such result.
        """
        values = decode(self.outputs, data)
        return values[0] if len(values) == 1 else tuple(values)

    def topics(self, indexed: Mapping[str, Any]) -> list[str | None]:
        """An event's topics to search for.

        Args:
            indexed: wanted values of indexed arguments, by name.

        Raises:
            InputRefused: an argument of that name is not indexed, or a value does not fit.
        """
        parameters = [parameter for parameter in self.inputs if parameter["indexed"]]
        if unknown := sorted(set(indexed) - {parameter["name"] for parameter in parameters}):
            raise InputRefused(f"the event {self.name} has no indexed argument {unknown[0]!r}")
        words = [
            encode(self.name, [parameter], [indexed[parameter["name"]]]) if parameter["name"] in indexed else None
            for parameter in parameters
        ]
        return ["0x" + word.hex() if word is not None else None for word in [self.hash, *words]]

    def decode_log(self, topics: Sequence[str], data: bytes) -> dict[str, Any]:
        """An event's arguments by name.

        Args:
            topics: of a log, in hex, the event's own first.
            data: of that log.

        Raises:
            InputRefused: they are not those of such an event.
        """
        indexed = [parameter for parameter in self.inputs if parameter["indexed"]]
        body = [parameter for parameter in self.inputs if not parameter["indexed"]]
        if len(topics) != 1 + len(indexed):
            raise InputRefused(f"a log of {self.name} has {1 + len(indexed)} topics, not {len(topics)}")
        values = dict(zip((p["name"] for p in body), decode(body, data), strict=True))
        for parameter, topic in zip(indexed, topics[1:], strict=True):
            values[parameter["name"]] = decode([parameter], _bytes(topic))[0]
        return {parameter["name"]: values[parameter["name"]] for parameter in self.inputs}


@dataclass(frozen=True)
class Interface:
    """What one contract understands.

    Args:
        contract: its name.
        functions, events: by name.
        errors: by selector.
        constructor: the constructor's parameters.
        bytecode: creation code.
        runtime: the code that it leaves on the chain, zeros where immutables stand.
        immutables: name -> the offsets in that code at which its 32 bytes stand.
        source: name of its source for the compiler.
        compiler: the compiler's version.
    """

    contract: str
    functions: Mapping[str, Item]
    events: Mapping[str, Item]
    errors: Mapping[bytes, Item]
    constructor: Sequence[Parameter]
    bytecode: bytes
    runtime: bytes
    immutables: Mapping[str, Sequence[int]]
    source: str
    compiler: str

    def init_code(self, args: Sequence[Any]) -> bytes:
        """What creates the contract: creation code and the constructor's arguments.

        Raises:
            InputRefused: the arguments do not fit the constructor.
        """
        return self.bytecode + self.constructor_words(args)

    def constructor_words(self, args: Sequence[Any]) -> bytes:
        """The constructor's arguments, ABI-encoded. Raises as `init_code`."""
        return encode(f"{self.contract}'s constructor", self.constructor, args)

    @cached_property
    def by_topic(self) -> dict[str, Item]:
        """Events by their topic in hex."""
        return {"0x" + event.hash.hex(): event for event in self.events.values()}

    def function(self, name: str) -> Item:
        """A function by name.

        Raises:
            InputRefused: the contract has none of that name.
        """
        if name not in self.functions:
            raise InputRefused(f"the contract {self.contract} has no function {name!r}")
        return self.functions[name]

    def event(self, name: str) -> Item:
        """An event by name.

        Raises:
            InputRefused: the contract has none of that name.
        """
        if name not in self.events:
            raise InputRefused(f"the contract {self.contract} has no event {name!r}")
        return self.events[name]


@lru_cache
def interface(contract: str) -> Interface:
    """The interface of one of our contracts.

    Raises:
        InputRefused: there is no artifact of that name.
    """
    if contract not in (*CONTRACTS, DIRECTORY):
        raise InputRefused(f"there is no contract {contract!r}; there are {', '.join(CONTRACTS)}")
    artifact = json.loads((resources.files("fitchain.pod.ports.chain") / "artifacts" / f"{contract}.json").read_bytes())
    by_kind: dict[str, list[Item]] = {"function": [], "event": [], "error": []}
    constructor: Sequence[Parameter] = ()
    for entry in artifact["abi"]:
        if entry["type"] == "constructor":
            constructor = entry["inputs"]
        if entry["type"] in by_kind:
            item = Item(contract, entry["name"], entry["inputs"], entry.get("outputs", ()))
            by_kind[entry["type"]].append(item)
    return Interface(
        contract,
        {item.name: item for item in by_kind["function"]},
        {item.name: item for item in by_kind["event"]},
        {item.selector: item for item in by_kind["error"]},
        constructor,
        _bytes(artifact["bytecode"]),
        _bytes(artifact["runtime"]),
        artifact["immutables"],
        artifact["source"],
        artifact["compiler"],
    )


# What Solidity itself reverts with: require with a text, and its own checks.
_ERROR = Item("Solidity", "Error", [{"name": "message", "type": "string"}])
_PANIC = Item("Solidity", "Panic", [{"name": "code", "type": "uint256"}])


@lru_cache
def _errors() -> dict[bytes, Item]:
    ours = {
        selector: item for contract in (*CONTRACTS, DIRECTORY) for selector, item in interface(contract).errors.items()
    }
    return ours | {item.selector: item for item in (_ERROR, _PANIC)}


def decode_revert(data: bytes) -> tuple[str, dict[str, Any], str]:
    """Read revert data.

    Args:
        data: what the call returned.

    Returns:
        (error name, its values by name, a sentence for people); an unknown error has no name.
    """
    if not data:
        return "", {}, "without giving a reason"
    item = _errors().get(data[:4])
    try:
        values = decode(item.inputs, data[4:]) if item else []
    except InputRefused:
        item = None
    if item is None:
        return "", {}, f"with the unknown error 0x{data[:4].hex()}"
    named = dict(zip((parameter["name"] for parameter in item.inputs), values, strict=True))
    if item is _ERROR:
        return item.name, named, f"saying {named['message']!r}"
    if item is _PANIC:
        return item.name, named, f"because {_PANICS.get(named['code'], 'of panic {code:#x}'.format(**named))}"
    shown = {name: _for_people(item.name, name, value) for name, value in named.items()}
    return item.name, named, f"with {item.name}({', '.join(f'{name}={value}' for name, value in shown.items())})"


def _for_people(error: str, name: str, value: Any) -> Any:
    return f"{amount_text(value)} FIT" if name in AMOUNTS.get(error, ()) else value


def encode(what: str, parameters: Sequence[Parameter], args: Sequence[Any]) -> bytes:
    """ABI-encode arguments.

    Args:
        what: whose arguments, for the message.
        parameters: the parameters.
        args: one value each; a struct as a dict by field name or as a sequence.

    Raises:
        InputRefused: number, type or range differ.
    """
    from eth_abi.abi import encode as encode_words
    from eth_abi.exceptions import EncodingError

    names = ", ".join(f"{type_text(parameter)} {parameter.get('name', '')}".strip() for parameter in parameters)
    if len(args) != len(parameters):
        raise InputRefused(f"{what} takes ({names}), which are {len(parameters)} arguments, and was given {len(args)}")
    try:
        values = [_outward(parameter, value) for parameter, value in zip(parameters, args, strict=True)]
        return encode_words([type_text(parameter) for parameter in parameters], values)
    except (EncodingError, KeyError, TypeError, ValueError) as error:
        raise InputRefused(f"the arguments of {what} do not fit ({names}): {error}") from None


def decode(parameters: Sequence[Parameter], data: bytes) -> list[Any]:
    """Decode ABI data.

    Raises:
        InputRefused: the data is not of these parameters.
    """
    from eth_abi.abi import decode as decode_words
    from eth_abi.exceptions import DecodingError

    # Texts are decoded as bytes: a stranger's invalid UTF-8 on the chain must not stop a reader.
    types = [type_text(parameter).replace("string", "bytes") for parameter in parameters]
    try:
        words = decode_words(types, data)
    except (DecodingError, OverflowError) as error:
        raise InputRefused(f"the data is not ABI-encoded ({', '.join(types)}): {error}") from None
    return [_inward(parameter, word) for parameter, word in zip(parameters, words, strict=True)]


def type_text(parameter: Parameter) -> str:
    """The parameter's type as signatures write it: a tuple by its components."""
    kind = str(parameter["type"])
    if not kind.startswith("tuple"):
        return kind
    return f"({','.join(type_text(component) for component in parameter['components'])}){kind[len('tuple') :]}"


def _element(parameter: Parameter) -> Parameter | None:
    """The parameter of an array's elements; None where it is no array."""
    kind = str(parameter["type"])
    return {**parameter, "type": kind[: kind.rindex("[")]} if kind.endswith("]") else None


def _outward(parameter: Parameter, value: Any) -> Any:
    if (element := _element(parameter)) is not None:
        return [_outward(element, part) for part in value]
    if parameter["type"] == "tuple":
        components = parameter["components"]
        if isinstance(value, Mapping):
            if value.keys() != {component["name"] for component in components}:
                raise ValueError(f"the struct has {[c['name'] for c in components]}, not {list(value)}")
            value = [value[component["name"]] for component in components]
        return tuple(_outward(component, part) for component, part in zip(components, value, strict=True))
    if str(parameter["type"]).startswith("bytes"):
        if isinstance(value, int | str):  # bytes(3) would be three zeros
            raise TypeError(f"{value!r} is not bytes")
        return bytes(value)
    return int(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _inward(parameter: Parameter, word: Any) -> Any:
    if (element := _element(parameter)) is not None:
        return [_inward(element, part) for part in word]
    match parameter["type"]:
        case "tuple":
            parts = zip(parameter["components"], word, strict=True)
            return {component["name"]: _inward(component, part) for component, part in parts}
        case "bytes32":
            return Digest(bytes(word))
        case "address":
            from eth_utils.address import to_checksum_address

            return str(to_checksum_address(word))
        case "string":
            return bytes(word).decode(errors="replace")
        case _:
            return word


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))
