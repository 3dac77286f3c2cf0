"""The client: typed calls, transactions and events of one deployment.

Reading needs no key. A transaction's gas is estimated before it is signed, so that a refusal is
told by name and costs nothing.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from fitchain.pod.ports.chain.abi import decode_revert, interface
from fitchain.pod.ports.chain.base import (
    DIRECTORY,
    Block,
    Constants,
    Deployment,
    Event,
    Pending,
    Receipt,
    Signer,
    amount_text,
    checksum,
)
from fitchain.pod.ports.chain.queue import funding_hint
from fitchain.pod.ports.chain.rpc import Node
from fitchain.pod.ports.chain.sender import Message, Sender
from fitchain.pod.ports.settings import Settings
from fitchain.pod.values.digest import Digest
from fitchain.pod.values.errors import ChainUnusable, NodeRefused, NodeUnreachable, NotFound, Reverted

WAIT_S = 900.0
NUDGE_S = 3.0
RANGE_BLOCKS = 50_000


class Chain:
    """A connection to one deployment; made by `connect`.

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
        self.node = node
        self.settings = settings
        self.deployment = deployment
        self.sender = sender
        self.account = account
        self.addresses = {**deployment.addresses, DIRECTORY: deployment.directory}
        self._constants = constants
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

    @property
    def address(self) -> str:
        """The sending account.

        Raises:
            NotFound: the connection was made without one.
        """
        return self._sending().address

    # Reads

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
        return self.call_many([(contract, function, args)], block)[0]

    def call_many(self, calls: Sequence[tuple[str, str, Sequence[Any]]], block: int | str | None = None) -> list[Any]:
        """Read several view functions of the same block in one round trip; arguments, values and
        errors as `call`'s."""
        if not calls:
            return []
        tag = self._tag(block)
        items = [interface(contract).function(name) for contract, name, _ in calls]
        requests = [
            ("eth_call", [{"to": self.addresses[item.contract], "data": _hex(item.encode(args))}, tag])
            for item, (_, _, args) in zip(items, calls, strict=True)
        ]
        try:
            answers = self.node.batch(requests)
        except NodeRefused as refusal:
            raise _translated(" or ".join(sorted({f"{i.contract}.{i.name}" for i in items})), refusal) from None
        return [item.decode_result(answer) for item, answer in zip(items, answers, strict=True)]

    def head(self) -> int:
        """Number of the newest block that has enough confirmations."""
        return max(0, int(self.node.request("eth_blockNumber"), 16) - self.settings.confirmations)

    def block(self, number: int | str) -> Block:
        """A block by number or tag.

        Raises:
            NotFound: the node has no such block.
        """
        header = self.node.request("eth_getBlockByNumber", self._tag(number), False)
        if header is None:
            raise NotFound(f"the node at {self.node.shown} has no block {number}")
        return _block(header)

    def wait_for(self, number: int) -> None:
        """Wait until a block has its confirmations."""
        while self.head() < number:
            time.sleep(self.settings.poll_s)

    def code(self, address: str) -> bytes:
        """The code at an address in the newest block; empty where no contract stands."""
        return bytes.fromhex(self.node.request("eth_getCode", address, "latest").removeprefix("0x"))

    def wait_beyond(self, number: int) -> None:
        """Wait until a block has a successor: its hash is known from the next one on."""
        while self.block("latest").number <= number:
            time.sleep(self.settings.poll_s)

    def blocks(self, numbers: Iterable[int]) -> dict[int, Block]:
        """Several blocks by number, in few round trips."""
        wanted = sorted(set(numbers))
        answers = self.node.batch([("eth_getBlockByNumber", [hex(number), False]) for number in wanted])
        if None in answers:
            raise NotFound(f"the node at {self.node.shown} has no block {wanted[answers.index(None)]}")
        blocks = {number: _block(answer) for number, answer in zip(wanted, answers, strict=True)}
        self._times |= {number: block.timestamp for number, block in blocks.items()}
        return blocks

    def read_times(self, numbers: Iterable[int]) -> None:
        """Read the times of several blocks in few round trips, so that `time_of` knows them."""
        self.blocks(set(numbers) - set(self._times))

    def time_of(self, number: int) -> int:
        """Time of a block, in seconds since 1970; each is read once."""
        if number not in self._times:
            self._times[number] = self.block(number).timestamp
        return self._times[number]

    def balance(self, address: str) -> int:
        """ETH in wei."""
        return int(self.node.request("eth_getBalance", address, "latest"), 16)

    def fit_balance(self, address: str) -> int:
        """FIT in base units."""
        return int(self.call("FitCoin", "balanceOf", address, block="latest"))

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

    # Transactions

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
        """Wait until a transaction is mined and confirmed.

        Raises:
            Reverted: it was mined and the contract refused.
            ChainUnusable: another transaction took its nonce, or it is not mined for a quarter of
                an hour.
        """
        started = nudged = time.monotonic()
        attempts = self._attempts(pending)
        while (mined := self._mined(attempts)) is None:
            now = time.monotonic()
            if now - started > WAIT_S:
                raise ChainUnusable(
                    f"{pending.what} ({pending.transaction}) is not mined after {WAIT_S:.0f} s",
                    "it stays in the queue of this home and is sent again at the next start",
                )
            if now - nudged > NUDGE_S and self.sender is not None:
                self.sender.nudge()
                attempts, nudged = self._attempts(pending), now
            time.sleep(self.settings.poll_s)
        if self.sender is not None:
            self.sender.settle(pending)
        if mined["status"] != "0x1":
            raise self._why_reverted(pending.what, mined)
        return self._receipt(mined)

    def catch_up(self) -> list[tuple[Pending, Receipt | ChainUnusable]]:
        """Wait for every transaction that this home sent before and has not seen mined.

        A pod that was cut off does this first: what it then reads of the chain holds all that it
        did.

        Returns:
            each of them with its receipt, or with what was refused (a mined revert, a nonce that a
            stranger took).

        Raises:
            NodeUnreachable: the node does not answer.
        """
        return [(pending, self._outcome(pending)) for pending in self._sending().pending()]

    def receipt(self, transaction: Digest) -> Receipt | None:
        """The receipt of a transaction; None while it is not mined.

        Raises:
            Reverted: it was mined and the contract refused.
        """
        mined = self.node.request("eth_getTransactionReceipt", str(transaction))
        if mined is None:
            return None
        if mined["status"] != "0x1":
            raise self._why_reverted(f"the transaction {transaction}", mined)
        return self._receipt(mined)

    # Events

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
        topics = interface(contract).event(name).topics(indexed) if name else []
        first = self.deployment.block if from_block is None else from_block
        last = self.head() if to_block is None else to_block
        wanted = {"address": self.addresses[contract], "topics": topics}
        return self._decoded(self._logs(wanted, first, last))

    def events_of(
        self, contracts: Sequence[str], id: Digest | None, from_block: int | None = None, to_block: int | None = None
    ) -> list[Event]:
        """Every event of several contracts in the order of the chain.

        Args:
            contracts: by name.
            id: wanted value of the first indexed argument; None takes all.
            from_block, to_block: as in `events`.
        """
        first = self.deployment.block if from_block is None else from_block
        last = self.head() if to_block is None else to_block
        addresses = [self.addresses[contract] for contract in contracts]
        return self._decoded(self._logs({"address": addresses, "topics": [None, str(id)] if id else []}, first, last))

    # Below the surface

    def _sending(self) -> Sender:
        if self.sender is None:
            raise NotFound("this connection has no key to send with", "choose one with --key; see `fitchain keys list`")
        return self.sender

    def _tag(self, block: int | str | None) -> str:
        if block is None:
            return "latest" if self.settings.confirmations == 0 else hex(self.head())
        return hex(block) if isinstance(block, int) else block

    def _estimate(self, sender: str, to: str | None, data: bytes, what: str, value: int) -> int:
        """Gas for a call, with a quarter to spare for what changes before it is mined."""
        fields = {"from": sender, "data": _hex(data), "value": hex(value)} | ({"to": to} if to else {})
        try:
            return int(self.node.request("eth_estimateGas", fields), 16) * 5 // 4
        except NodeRefused as refusal:
            raise _translated(what, refusal) from None

    def _outcome(self, pending: Pending) -> Receipt | ChainUnusable:
        try:
            return self.wait(pending)
        except NodeUnreachable:
            raise
        except ChainUnusable as refusal:
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

    def _mined(self, attempts: Sequence[Digest]) -> Any:
        """The receipt of whichever attempt was mined and has its confirmations."""
        for transaction in attempts:
            receipt = self.node.request("eth_getTransactionReceipt", str(transaction))
            if receipt is not None and (
                self.settings.confirmations == 0 or int(receipt["blockNumber"], 16) <= self.head()
            ):
                return receipt
        return None

    def _receipt(self, mined: Mapping[str, Any]) -> Receipt:
        created = mined.get("contractAddress")
        return Receipt(
            transaction=Digest.parse(mined["transactionHash"]),
            sender=checksum(mined["from"]),
            block=int(mined["blockNumber"], 16),
            gas_used=int(mined["gasUsed"], 16),
            gas_price=int(mined["effectiveGasPrice"], 16),
            events=tuple(self._decoded(mined["logs"])),
            contract_address=checksum(created) if created else None,
        )

    def _why_reverted(self, what: str, mined: Mapping[str, Any]) -> ChainUnusable:
        """Ask the node to run a refused transaction again, on the state its block left, for the
        reason."""
        sent = self.node.request("eth_getTransactionByHash", mined["transactionHash"])
        fields = {"from": sent["from"], "data": sent["input"], "value": sent["value"], "gas": sent["gas"]}
        fields |= {"to": sent["to"]} if sent.get("to") else {}
        where = f"{what} (mined in block {int(mined['blockNumber'], 16)})"
        try:
            self.node.request("eth_call", fields, mined["blockNumber"])
        except NodeRefused as refusal:
            reason = _translated(where, refusal)
            if isinstance(reason, Reverted):
                return reason
        return Reverted(f"{where} reverted, for a reason that the node can no longer tell", "do it again to see it")

    def _logs(self, wanted: dict[str, Any], first: int, last: int) -> list[dict[str, Any]]:
        """Raw logs of a range of blocks, in pieces that the node is willing to give."""
        logs: list[dict[str, Any]] = []
        piece = RANGE_BLOCKS
        while first <= last:
            upto = min(first + piece - 1, last)
            try:
                logs += self.node.request("eth_getLogs", wanted | {"fromBlock": hex(first), "toBlock": hex(upto)})
            except NodeRefused:
                # Providers limit blocks or logs a request, each in its own words: ask for less
                # until one block is too much.
                if first == upto:
                    raise
                piece = (upto - first + 1) // 2
                continue
            first = upto + 1
        return logs

    def _decoded(self, logs: Iterable[Mapping[str, Any]]) -> list[Event]:
        return [event for log in logs if (event := self._event(log)) is not None]

    def _event(self, log: Mapping[str, Any]) -> Event | None:
        """An event of the deployment's contracts; None for anybody else's."""
        contract = self._names.get(checksum(log["address"]))
        item = interface(contract).by_topic.get(log["topics"][0]) if contract and log["topics"] else None
        if item is None:
            return None
        number = int(log["blockNumber"], 16)
        if log.get("blockTimestamp"):
            self._times[number] = int(log["blockTimestamp"], 16)
        return Event(
            contract=item.contract,
            name=item.name,
            args=item.decode_log(log),
            block=number,
            transaction=Digest.parse(log["transactionHash"]),
            log_index=int(log["logIndex"], 16),
            clock=self.time_of,
        )


def _translated(what: str, refusal: NodeRefused) -> ChainUnusable:
    """A revert by the contract's own words; any other refusal as it is."""
    data = refusal.data.get("data") if isinstance(refusal.data, dict) else refusal.data
    if refusal.code != 3 and "revert" not in refusal.message.lower():
        return refusal
    revert = bytes.fromhex(data[data.index("0x") + 2 :]) if isinstance(data, str) and "0x" in data else b""
    name, values, sentence = decode_revert(revert)
    return Reverted(f"{what} reverted {sentence}", error=name, values=values)


def _block(header: Mapping[str, Any]) -> Block:
    return Block(int(header["number"], 16), Digest.parse(header["hash"]), int(header["timestamp"], 16))


def _hex(data: bytes) -> str:
    return "0x" + data.hex()
