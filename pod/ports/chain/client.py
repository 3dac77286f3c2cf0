"""The client: typed calls, transactions and events of one deployment.

Reading needs no key. A transaction's gas is estimated before it is signed, so that a refusal is
told by name and costs nothing.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from fitchain.pod.ports.chain import answers
from fitchain.pod.ports.chain.abi import interface
from fitchain.pod.ports.chain.answers import Mined
from fitchain.pod.ports.chain.base import Constants, Deployment, Pending, Receipt, Signer
from fitchain.pod.ports.chain.queue import funding_hint
from fitchain.pod.ports.chain.reader import ChainReader, as_hex, translated
from fitchain.pod.ports.chain.rpc import Node
from fitchain.pod.ports.chain.sender import Message, Sender
from fitchain.pod.ports.settings import Settings
from fitchain.pod.values.amounts import amount_text
from fitchain.pod.values.digest import Digest
from fitchain.pod.values.errors import ChainUnusable, NodeRefused, NodeUnreachable, NotFound, NotMinedYet, Reverted

WAIT_S = 900.0
REBROADCAST_S = 3.0


class Chain(ChainReader):
    """A connection to one deployment that may also send; made by `connect`.

    Args:
        node: the node.
        settings: with the chain's own defaults in place.
        deployment: where the contracts stand.
        sender: who sends transactions; None reads only.
        account: the signer, where the key is ours.
        constants: what the contracts' code says was chosen for the deployment.
    """

    def __init__(
        self,
        node: Node,
        settings: Settings,
        deployment: Deployment,
        sender: Sender | None = None,
        account: Signer | None = None,
        constants: Constants | None = None,
    ) -> None:
        super().__init__(node, settings, deployment, constants)
        self.sender = sender
        self.account = account

    @property
    def address(self) -> str:
        """The sending account.

        Raises:
            NotFound: the connection was made without one.
        """
        return self._sending().address

    def require_fit(self, amount: int, what: str) -> None:
        """Check that the sending account holds an amount of FIT before anything is sent.

        Raises:
            ChainUnusable: it holds less.
        """
        if (have := self.fit_balance(self.address)) < amount:
            raise ChainUnusable(
                f"the account {self.address} has {amount_text(have)} FIT and {what} needs {amount_text(amount)} FIT",
                funding_hint(self.chain_id, self.address),
            )

    def send(self, contract: str, function: str, *args: Any, gas: int | None = None, value: int = 0) -> Receipt:
        """Submit a transaction and wait for it; arguments and errors as `submit` and `wait` have
        them."""
        return self.wait(self.submit(contract, function, *args, gas=gas, value=value))

    def submit(self, contract: str, function: str, *args: Any, gas: int | None = None, value: int = 0) -> Pending:
        """Sign, write down and broadcast a transaction without waiting.

        Args:
            contract, function: by name.
            args: one value for each parameter.
            gas: a limit, where an estimate would fail because an earlier transaction is not mined
                yet; None estimates.
            value: wei sent along.

        Raises:
            Reverted: the contract would refuse; nothing was sent.
            ChainUnusable: the account cannot pay, or the node refuses.
            NotFound: the connection has no key.
        """
        data = interface(contract).function(function).encode(args)
        return self.submit_raw(self.addresses[contract], data, f"{contract}.{function}", gas, value)

    def submit_raw(self, to: str | None, data: bytes, what: str, gas: int | None = None, value: int = 0) -> Pending:
        """As `submit`, for ready-made call data or (`to` None) creation code."""
        sender = self._sending()
        if gas is None:
            gas = self._estimate(sender.address, to, data, what, value)
        return sender.submit(Message(to, data, value, gas, what))

    def wait(self, pending: Pending) -> Receipt:
        """Wait, as whoever sent it, until a transaction is mined and confirmed.

        Raises:
            Reverted: it was mined and the contract refused.
            NotMinedYet: it is not for a quarter of an hour, or whoever waits was asked to end.
            NodeUnreachable: the node went away; what was sent is on its way, or mined.
            ChainUnusable: another transaction took its nonce.
        """
        try:
            mined = self._settled(pending)
        except NodeUnreachable as gone:
            way_on = (
                f"{pending.what} ({pending.transaction}) was sent: look whether it was mined before you do it again"
            )
            raise NodeUnreachable(gone.message, f"{gone.hint}; {way_on}" if gone.hint else way_on) from gone
        if self.sender is not None:
            self.sender.hear(pending)
        return self._succeeded(pending, mined)

    def take_up(self, contract: str, function: str) -> list[tuple[Any, ...]]:
        """Wait for calls of a function that was sent from this home and moves as much once more
        each time (`queue.ADDING`), where whoever sent them never heard that they went through.

        Returns:
            the arguments of each that did, in the order sent; they are told of once.

        Raises:
            NodeUnreachable, NotMinedYet: whether they did cannot be said now.
        """
        taken, call = list[tuple[Any, ...]](), interface(contract).function(function)
        for pending, data in self._sending().unheard(f"{contract}.{function}"):
            try:
                self.wait(pending)
            except (NodeUnreachable, NotMinedYet):
                raise
            except ChainUnusable:
                continue  # it did nothing, and whoever repeats it does it for the first time
            taken.append(call.decode_call(data))
        return taken

    def _settled(self, pending: Pending) -> Mined:
        """Wait for a transaction, and note that it is mined, whatever came of it."""
        mined = self._await(pending)
        if self.sender is not None:
            self.sender.settle(pending)
        return mined

    def _succeeded(self, pending: Pending, mined: Mined) -> Receipt:
        if not mined.succeeded:
            raise self._why_reverted(pending.what, mined)
        return self._receipt(mined)

    def _await(self, pending: Pending) -> Mined:
        """As `wait`, whatever came of it."""
        started = rebroadcast = time.monotonic()
        attempts = self._attempts(pending)
        for _ in self._looks(f"{pending.what} ({pending.transaction}) is not mined yet"):
            if (mined := self._mined(attempts)) is not None:
                return mined
            now = time.monotonic()
            if now - started > WAIT_S:
                break
            if now - rebroadcast > REBROADCAST_S and self.sender is not None:
                self.sender.rebroadcast()
                attempts, rebroadcast = self._attempts(pending), now
        raise NotMinedYet(
            f"{pending.what} ({pending.transaction}) is not mined after {WAIT_S:.0f} s",
            "it stays in the queue of this home and is sent again at the next start",
        )

    def unseen(self) -> list[Pending]:
        """What this home sent before and has not seen mined, in the order sent."""
        return self._sending().pending()

    def catch_up(self) -> list[tuple[Pending, Receipt | ChainUnusable]]:
        """Wait for every transaction that this home sent before and has not seen mined.

        A pod that was cut off does this first: what it then reads of the chain holds all that it
        did.

        Returns:
            each of them with its receipt, or with what was refused (a mined revert, a nonce that a
            stranger took).

        Raises:
            NodeUnreachable: the node does not answer.
            NotMinedYet: one is not mined yet, and whoever waits was asked to end.
        """
        return [(pending, self._outcome(pending)) for pending in self._sending().pending()]

    def has_all_sent(self) -> bool:
        """Whether the state that is read here has all that this home sent. A node that still
        catches up, and whose newest block is an old one, has not.

        Raises:
            NodeUnreachable: the node does not answer.
        """
        sender = self._sending()
        count = answers.transaction_count(sender.address, self._pinned or "latest")
        return self.node.ask(count) >= sender.nonces()

    def was_taken_back(self) -> bool:
        """Whether the chain has taken something back that this home had mined.

        Raises:
            NodeUnreachable: the node does not answer.
        """
        return self._sending().was_taken_back()

    def rebroadcast(self) -> list[str]:
        """Send again what this home sent and the node may have forgotten, and what it had mined and
        the chain has taken back since, where it means the same now (`queue.BOUND`).

        Returns:
            what had been mined, as `Contract.function`, in the order sent.

        Raises:
            ChainUnusable: the node does not answer, or the account cannot pay.
        """
        return self._sending().rebroadcast()

    def receipt(self, transaction: Digest) -> Receipt | None:
        """The receipt of a transaction; None while it is not mined.

        Raises:
            Reverted: it was mined and the contract refused.
        """
        mined = self.node.ask(answers.receipt(transaction))
        if mined is None:
            return None
        if not mined.succeeded:
            raise self._why_reverted(f"the transaction {transaction}", mined)
        return self._receipt(mined)

    # Below the surface

    def _sending(self) -> Sender:
        if self.sender is None:
            raise NotFound("this connection has no key to send with", "choose one with --key; see `fitchain keys list`")
        return self.sender

    def _estimate(self, sender: str, to: str | None, data: bytes, what: str, value: int) -> int:
        """Gas for a call, with a quarter to spare for what changes before it is mined."""
        fields = {"from": sender, "data": as_hex(data), "value": hex(value)} | ({"to": to} if to else {})
        try:
            return self.node.ask(answers.estimate_gas(fields)) * 5 // 4
        except NodeRefused as refusal:
            raise translated(what, refusal) from None

    def _outcome(self, pending: Pending) -> Receipt | ChainUnusable:
        try:
            return self._succeeded(pending, self._settled(pending))
        except NodeUnreachable:
            raise
        except ChainUnusable as refusal:
            if isinstance(refusal, NotMinedYet) and self._stop.is_set():
                raise
            return refusal

    def _attempts(self, pending: Pending) -> list[Digest]:
        """The transactions one of which should be mined in the end."""
        attempts = self.sender.attempts(pending) if self.sender is not None else [pending.transaction]
        if not attempts:
            raise ChainUnusable(
                f"another transaction of {pending.sender} took the nonce {pending.nonce} of {pending.what}",
                "let only this home send from the account, then do it again",
            )
        return attempts

    def _mined(self, attempts: Sequence[Digest]) -> Mined | None:
        """The receipt of whichever attempt was mined and has its confirmations."""
        for transaction in attempts:
            receipt = self.node.ask(answers.receipt(transaction))
            if receipt is not None and (self.settings.confirmations == 0 or receipt.block <= self.head()):
                return receipt
        return None

    def _receipt(self, mined: Mined) -> Receipt:
        return Receipt(
            transaction=mined.transaction,
            sender=mined.sender,
            block=mined.block,
            gas_used=mined.gas_used,
            gas_price=mined.gas_price,
            events=tuple(self._decoded(mined.logs)),
            contract_address=mined.contract_address,
        )

    def _why_reverted(self, what: str, mined: Mined) -> ChainUnusable:
        """Ask the node to run a refused transaction again, on the state its block left, for the
        reason."""
        where = f"{what} (mined in block {mined.block})"
        try:
            if (sent := self.node.ask(answers.transaction(mined.transaction))) is not None:
                self.node.ask(answers.call(sent.fields, mined.block, bytes))
        except NodeRefused as refusal:
            reason = translated(where, refusal)
            if isinstance(reason, Reverted):
                return reason
        return Reverted(f"{where} reverted, for a reason that the node can no longer tell", "do it again to see it")
