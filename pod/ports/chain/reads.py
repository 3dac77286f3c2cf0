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
    """

    contract: str
    function: str
    args: Sequence[Any] = ()
    block: int | str | None = None


@dataclass(frozen=True)
class ReadEvents:
    """Decoded events in the order of the chain.

    Args:
        contracts: by name.
        event: which event, by its name in the first of the contracts; None takes every one.
        indexed: wanted values of the event's indexed arguments, by name.
        id: wanted value of the first indexed argument, whatever the event; None takes all. It goes
            with no `event`.
        from_block: first block; None begins with the deployment.
        to_block: last block; None ends at the head.
    """

    contracts: Sequence[str]
    event: str | None = None
    indexed: Mapping[str, Any] = field(default_factory=dict)
    id: Digest | None = None
    from_block: int | None = None
    to_block: int | None = None


@dataclass(frozen=True)
class ReadBlock:
    """A block's number, hash and time, by number or tag."""

    number: int | str


@dataclass(frozen=True)
class ReadBalance:
    """An account's ETH in wei, in the newest block."""

    address: str


Read = ReadCall | ReadEvents | ReadBlock | ReadBalance
