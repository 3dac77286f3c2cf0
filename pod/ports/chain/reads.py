"""What can be read of a deployment, as values: any mixture of them goes to the node together
(`Chain.batch`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fitchain.pod.values.digest import Digest


@dataclass(frozen=True)
class ReadCall:
    """What a view function returns: its value, or a tuple of several.

    Args:
        contract, function: by name.
        args: one value for each parameter.
        block: number or tag; None reads at the head.
        optional: gives None where it is refused: by the contract, or by a node that no longer keeps
            the state of that block.
    """

    contract: str
    function: str
    args: Sequence[Any] = ()
    block: int | str | None = None
    optional: bool = False


@dataclass(frozen=True)
class ReadEvents:
    """Decoded events in the order of the chain.

    Args:
        contracts: by name.
        event: which event, by its name in the first of the contracts; None takes every one.
        indexed: wanted values of the event's indexed arguments, by name.
        id: wanted value of the first indexed argument, whatever the event; None takes all. It goes
            with no `event`.
        without: events that are not asked for, by name, where `event` names none: such as strangers
            can make any number of.
        from_block: first block; None begins with the deployment.
        to_block: last block; None ends at the head.
        optional: gives None where the node refuses, which is then not asked for less.
    """

    contracts: Sequence[str]
    event: str | None = None
    indexed: Mapping[str, Any] = field(default_factory=dict)
    id: Digest | None = None
    without: Sequence[str] = ()
    from_block: int | None = None
    to_block: int | None = None
    optional: bool = False


@dataclass(frozen=True)
class ReadBlock:
    """A block's number, hash and time, by number or tag.

    Args:
        number: or tag.
        optional: gives None where the node has no such block.
    """

    number: int | str
    optional: bool = False


@dataclass(frozen=True)
class ReadBalance:
    """An account's ETH in wei, in the newest block."""

    address: str


Read = ReadCall | ReadEvents | ReadBlock | ReadBalance
