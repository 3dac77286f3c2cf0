"""Senders: whoever gets transactions of one account to the node, with a key of ours (`queue.Queue`)
or with one of the node's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from fitchain.pod.ports.chain import answers
from fitchain.pod.ports.chain.base import Pending
from fitchain.pod.ports.chain.rpc import Node
from fitchain.pod.values.digest import Digest

NO_NONCE = -1


@dataclass(frozen=True)
class Message:
    """What a transaction does, before it has a nonce and a price.

    Args:
        to: the address called; None creates a contract.
        data: call data, or creation code with its arguments.
        value: wei sent along.
        gas: the limit.
        what: `Contract.function`, for messages.
    """

    to: str | None
    data: bytes
    value: int
    gas: int
    what: str


class Sender(Protocol):
    """Whoever gets transactions of one account to the node."""

    @property
    def address(self) -> str:
        """The account."""
        ...

    def submit(self, message: Message) -> Pending:
        """Send without waiting."""
        ...

    def pending(self) -> list[Pending]:
        """What was sent before and not yet seen mined, in the order sent."""
        ...

    def attempts(self, pending: Pending) -> list[Digest]:
        """The transactions that have used up, or still may, the pending one's nonce; none if a
        stranger's did."""
        ...

    def settle(self, pending: Pending) -> None:
        """Note that one of the attempts was mined."""
        ...

    def hear(self, pending: Pending) -> None:
        """Note that whoever sent it has heard what came of it."""
        ...

    def unheard(self, what: str) -> list[tuple[Pending, bytes]]:
        """Calls of a function (`queue.ADDING`) of which nobody who sent them has heard what came:
        each with its call data, in the order sent."""
        ...

    def nonces(self) -> int:
        """How many nonces are used up once all that was sent is mined, as far as is written down."""
        ...

    def was_taken_back(self) -> bool:
        """Whether something that was mined is not any more."""
        ...

    def rebroadcast(self) -> list[str]:
        """Send again what the node may have forgotten, and what was mined and, since the chain was
        reorganised, is not any more; the latter as `Contract.function`."""
        ...


class Unlocked:
    """An account whose key the node itself holds, as a devnet's does.

    Args:
        node: the node.
        address: the account.
    """

    def __init__(self, node: Node, address: str) -> None:
        self.node = node
        self.address = address

    def submit(self, message: Message) -> Pending:
        """Let the node sign and send."""
        fields = {"from": self.address, "data": "0x" + message.data.hex(), "value": hex(message.value)}
        fields |= {"gas": hex(message.gas)} | ({"to": message.to} if message.to else {})
        # Never sent twice: the node would sign a second transaction.
        transaction = self.node.ask(answers.send_unlocked(fields), repeat=False)
        return Pending(transaction, self.address, NO_NONCE, message.what)

    def pending(self) -> list[Pending]:
        """None: nothing is written down for a key that the node holds."""
        return []

    def attempts(self, pending: Pending) -> list[Digest]:
        """The transaction itself: the node replaces none."""
        return [pending.transaction]

    def settle(self, pending: Pending) -> None:
        """Nothing is written down for a key that the node holds."""

    def hear(self, pending: Pending) -> None:
        """Nothing is written down for a key that the node holds."""

    def unheard(self, what: str) -> list[tuple[Pending, bytes]]:
        """None that is known: nothing is written down."""
        return []

    def nonces(self) -> int:
        """None that is known: nothing is written down."""
        return 0

    def was_taken_back(self) -> bool:
        """Not known: nothing is written down."""
        return False

    def rebroadcast(self) -> list[str]:
        """Nothing: the node keeps what it signed."""
        return []
