"""The nonce queue: transactions are signed and written down before they are sent.

Several processes of one home may send from one account at once. A lock on
`<home>/transactions.lock` orders them: under it a process takes the next nonce, signs, writes the
raw transaction into `<home>/transactions.db` and sends it. What was cut off between writing and
sending is sent by whoever comes next, so an account's nonces have no gap. Rows belong to one
network, named by the hash of its genesis block: a devnet that was started afresh has the same chain
id and the same contract addresses, and must not be given yesterday's transactions.

A row is an attempt at using up one nonce: `signed` (written), `sent` (the node has taken it),
`mined`, `dropped` (refused for good, or another transaction took the nonce), or `undone`. A nonce
has several attempts when gas became dearer than the first one offered.

A reorganisation of the chain takes transactions back, and few nodes send them again. What was mined
and is no more is sent again as it was, under its nonce, so that nothing happens twice. What would
mean something else now (`BOUND`, where the block on which it was signed is gone) is undone: its
nonce is used up by a transaction that does nothing, and outbids the copy that a node may have.
"""

from __future__ import annotations

import fcntl
import json
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from fitchain.pod.ports.chain import answers
from fitchain.pod.ports.chain.answers import Header
from fitchain.pod.ports.chain.base import Pending, Signer
from fitchain.pod.ports.chain.known import KNOWN_FILE
from fitchain.pod.ports.chain.rpc import Node
from fitchain.pod.ports.chain.sender import Message
from fitchain.pod.ports.database import Layout, connect, create, damaged, require_sound, sqlite_errors
from fitchain.pod.ports.settings import DEVNET_CHAIN_ID, GWEI
from fitchain.pod.values.amounts import amount_text
from fitchain.pod.values.digest import Digest
from fitchain.pod.values.errors import ChainUnusable, NodeRefused, NodeUnreachable, NotMinedYet, host_errors

TAKEN_NONCES = 5
BOUND = frozenset(
    {
        "Agreements.acceptResult",
        "Agreements.complain",
        "Agreements.dispute",
        "ProofOfTrain.anchor",
        "ProofOfTrain.finish",
        "ProofOfTrain.diverge",
        "Audits.submit",
        "Audits.commit",
        "Audits.complain",
        "Audits.acceptRelease",
    }
)
"""Calls that say something of what stood on the chain before them: leaves under an order seed,
evidence for a jury, a vote on it, a result; pods do them anew, by what the chain says then. Refused
calls cost gas, too.

Which of them the contracts themselves refuse elsewhere, should one be mined before its nonce is
used up: an anchor names its run's seed, and an end proves its last leaf under the run's context and
peaks; a vote's commitment is of audit, round, account and trace, and the trace of the states that
were replayed. An answer to a result, a dispute, evidence and an answer to a release name their
agreement or audit alone: what that can cost stands in docs/trust.md, "Behind a reorganisation"."""
ADDING = frozenset({"FitCoin.transfer", "Verifiers.stake", "Verifiers.unstake"})
"""Calls that move as much once more each time that they are sent. Whoever was told of an error
instead of such a call, and repeats its command, must hear of the first, whoever saw it mined."""
OPEN, LIVE = ("signed", "sent"), ("signed", "sent", "mined")
FEES, SIGNED_ON, UNHEARD = ("maxFeePerGas", "maxPriorityFeePerGas"), "signedOn", "unheard"
"""Of a row's fields: what is offered; which block was the newest when it was signed; that nobody
who sent it (`ADDING`) has heard what came of it."""
OWN_FIELDS = frozenset({SIGNED_ON, UNHEARD})
"""Those that are no part of the transaction."""
STRANGER_S = 20.0
"""So long a nonce is used up, and none of our attempts at it has a receipt, before it counts as a
stranger's: of the nodes behind one address some lag, and who is told that another transaction took
the nonce does it again."""
PLAIN_GAS, NOTHING = 21_000, "nothing, in place of what the chain took back"
"""What a transaction takes that does nothing, and what it is called."""
QUEUE_FILE = "transactions.db"
LAYOUT = Layout("""
CREATE TABLE transactions(
  network TEXT NOT NULL, sender TEXT NOT NULL, nonce INTEGER NOT NULL, hash TEXT PRIMARY KEY, raw BLOB NOT NULL,
  fields TEXT NOT NULL, what TEXT NOT NULL, state TEXT NOT NULL, time REAL NOT NULL)
""")


class Queue:
    """The transactions of one key on one network.

    Args:
        home: the pod's folder.
        node: the node.
        network: hash of the genesis block.
        chain_id: signed into every transaction.
        signer: whoever signs.
        fee_cap_wei: the most that is offered for a unit of gas.
        confirmations: blocks after which a used-up nonce counts as used up.

    Raises:
        HomeDamaged: the file is none of ours any more, or is gone: what was sent and is not mined
            yet would be done again beside it.
        HostUnusable: it cannot be read or written now, and so in every call.
    """

    def __init__(
        self,
        home: Path,
        node: Node,
        network: Digest,
        chain_id: int,
        signer: Signer,
        fee_cap_wei: int,
        confirmations: int = 0,
    ) -> None:
        self.path = home / QUEUE_FILE
        self.node = node
        self.chain_id = chain_id
        self.signer = signer
        self.fee_cap_wei = fee_cap_wei
        self.confirmations = confirmations
        self._unclaimed: dict[int, float] = {}  # used-up nonces without a receipt of ours, since when
        self._key = (str(network), signer.address)
        has_sent = (home / KNOWN_FILE).exists()  # asked first: a process that begins beside this one makes it last
        if not self.path.exists():
            if has_sent:
                raise damaged(self.path, "it is gone, and what was sent may be on its way")
            create(self.path, LAYOUT)
        require_sound(self.path, LAYOUT)

    @property
    def address(self) -> str:
        """The account."""
        return self.signer.address

    # What the client calls

    def submit(self, message: Message) -> Pending:
        """Take the next nonce, sign, write down and send.

        Raises:
            ChainUnusable: the account cannot pay for it, gas costs more than the cap, or the node
                refuses it.
            NotMinedYet: this home had sent, or signed, a call of the same function that was not on
                the chain, and which went there just now: whoever decided on this one did not see
                it, and may have meant the same.
            NodeUnreachable: the node went away; a transaction that was written by then is sent at
                the next chance.
        """
        fees = self._fees()
        self._require_balance(message, fees["maxFeePerGas"])
        for _ in range(TAKEN_NONCES):
            with self._alone():
                sent = self._send_unsent()
                nonce, again = self._next_nonce()
                if message.what in (*sent, *again):
                    raise NotMinedYet(
                        f"{message.what} was not sent: another one of this home was not on the chain, and is sent now",
                        "wait for that one, look whether this is still to be done, and do it then",
                    )
                pending = self._sign(self._fields(message, nonce, fees), message.what)
                if self._broadcast_new(pending):
                    return pending
        raise ChainUnusable(
            f"another program uses the account {self.address}: it took {TAKEN_NONCES} nonces in a row",
            "let only this home send from the account",
        )

    def attempts(self, pending: Pending) -> list[Digest]:
        """The transactions that have used up, or still may, the pending one's nonce; none if a
        stranger's did."""
        rows = self._rows("nonce = ?", pending.nonce)
        does = {_does(row) for row in rows if row["hash"] == str(pending.transaction)}
        return [Digest.parse(row["hash"]) for row in rows if row["state"] in LIVE and _does(row) in does]

    def settle(self, pending: Pending) -> None:
        """Note that one of the attempts was mined."""
        self._close(pending.nonce, pending.transaction)

    def hear(self, pending: Pending) -> None:
        """Note that whoever sent it has heard what came of it."""
        for row in self._rows("nonce = ?", pending.nonce):
            fields = json.loads(row["fields"])
            if fields.pop(UNHEARD, None):
                self._write("UPDATE transactions SET fields = ? WHERE hash = ?", json.dumps(fields), row["hash"])

    def unheard(self, what: str) -> list[tuple[Pending, bytes]]:
        """Calls of a function (`ADDING`) that were written, and of which nobody who sent them has
        heard what came: each with its call data, in the order sent."""
        rows = {row["nonce"]: row for row in self._rows(f"what = ? AND state IN {LIVE}", what)}
        fields = {nonce: json.loads(row["fields"]) for nonce, row in rows.items()}
        return [
            (self._pending_of(row), bytes.fromhex(fields[nonce]["data"].removeprefix("0x")))
            for nonce, row in rows.items()
            if UNHEARD in fields[nonce]
        ]

    def nonces(self) -> int:
        """How many nonces are used up once all that was sent is mined."""
        rows = self._rows(f"state IN {LIVE}")
        return int(rows[-1]["nonce"]) + 1 if rows else 0

    def was_taken_back(self) -> bool:
        """Whether something that was mined is not any more, by two answers: its nonce is not used
        up, and it has no receipt. A block that comes and goes between two looks at the chain shows
        in nothing else."""
        rows = self._rows("state = 'mined' AND nonce >= ?", self._count("latest"))
        return bool(rows) and not any(self._mined(Digest.parse(row["hash"])) for row in rows)

    def rebroadcast(self) -> list[str]:
        """Look up what is unconfirmed, and what was mined and, since the chain was reorganised, is
        not any more; send it again, in nonce order, and offer more where gas became dearer.

        Called when a process starts, when the chain was reorganised and, while one waits, every few
        seconds: what nobody waits for was never looked up, and a node forgets it with the block.

        Returns:
            what had been mined, as `Contract.function`, in the order sent.
        """
        with self._alone():
            again = self._reopen()
            if not (rows := self._newest()):
                return again
            count = self._count(max(0, self.node.ask(answers.block_number()) - self.confirmations))
            for row in rows:
                if row["nonce"] < count:
                    self._look_up(row["nonce"])
                    continue
                self._unclaimed.pop(row["nonce"], None)
                if not self._offer_more(row):
                    self._broadcast_again(row)
            return again

    def pending(self) -> list[Pending]:
        """What was written and not yet seen mined, in the order sent."""
        return [self._pending_of(row) for row in self._newest()]

    def _pending_of(self, row: sqlite3.Row) -> Pending:
        return Pending(Digest.parse(row["hash"]), self.address, row["nonce"], row["what"])

    # Steps; those that write or send are under the lock

    def _reopen(self) -> list[str]:
        """Take up what was mined and is not any more; what of it is sent again. Two answers must
        say that a transaction is gone: that its nonce is not used up, and that it has no
        receipt."""
        count = self._count("latest")
        for nonce in self._undone():
            if nonce < count:
                self._look_up(nonce)  # it was mined after all, or the nonce was used otherwise
        live, again = self._rows(f"state IN {LIVE} AND nonce >= ?", count), []
        for nonce, row in {row["nonce"]: row for row in live}.items():
            was_mined = row["state"] == "mined"
            if not was_mined and row["what"] not in BOUND:
                continue
            if any(self._mined(Digest.parse(each["hash"])) for each in live if each["nonce"] == nonce):
                continue
            stands = self._stands(row) if row["what"] in BOUND else True
            if stands is None:
                continue
            if not stands:
                self._change("state = 'undone'", f"nonce = ? AND state IN {LIVE}", nonce)
            elif was_mined:
                self._change("state = 'sent'", "nonce = ? AND state = 'mined'", nonce)
                self._broadcast_again(self._rows("hash = ?", row["hash"])[0])
                again.append(row["what"])
        self._fill_gaps(count)
        return again

    def _stands(self, row: sqlite3.Row) -> bool | None:
        """Whether the block that was the newest when a transaction was signed is of the chain yet,
        and with it all that this one rests on; None where the node has no block of that number,
        which one that lags has not either."""
        number, hash = json.loads(row["fields"]).get(SIGNED_ON, (0, ""))
        block = self.node.ask(answers.block(number))
        return None if block is None else str(block.hash) == hash

    def _undone(self) -> list[int]:
        """The nonces that a reorganisation gave back and nothing has used up since."""
        taken = {row["nonce"] for row in self._newest()}
        return sorted({row["nonce"] for row in self._rows("state = 'undone'")} - taken)

    def _fill_gaps(self, count: int) -> None:
        """Use up the nonces that were given back, offering more than was offered for them; not
        while gas is dearer than the cap."""
        nonces = [nonce for nonce in self._undone() if nonce >= count]
        if not nonces or (self._newest_block().base_fee or 0) > self.fee_cap_wei:
            return
        for nonce in nonces:
            nothing, fees = Message(self.address, b"", 0, PLAIN_GAS, NOTHING), self._fees()
            for row in self._rows("nonce = ? AND state = 'undone'", nonce):
                fees |= _replacing(json.loads(row["fields"]), fees)
            fees |= {name: min(fees[name], self.fee_cap_wei) for name in FEES}
            filler = self._sign(self._fields(nothing, nonce, fees), NOTHING)
            self._broadcast_again(self._rows("hash = ?", str(filler.transaction))[0])

    def _send_unsent(self) -> list[str]:
        """Send what a cut-off process had only written; what of it went out."""
        unsent = self._rows("state = 'signed'")
        for row in unsent:
            self._broadcast_again(row)
        live = {row["hash"] for row in self._rows(f"state IN {LIVE}")} if unsent else ()
        return [row["what"] for row in unsent if row["hash"] in live]

    def _broadcast_new(self, pending: Pending) -> bool:
        """Send a fresh transaction; False if a stranger's transaction has its nonce."""
        raw = self._rows("hash = ?", str(pending.transaction))[0]["raw"]
        try:
            taken = self._broadcast(pending.transaction, raw)
        except NodeRefused as refusal:
            self._mark(pending.transaction, "dropped")
            raise ChainUnusable(f"{pending.what} was not sent: {refusal.message}", refusal.hint) from None
        except NodeUnreachable as gone:
            way_on = f"{pending.what} is signed, and goes out with what this home sends next: do not do it again"
            raise NodeUnreachable(gone.message, f"{gone.hint}; {way_on}" if gone.hint else way_on) from gone
        self._mark(pending.transaction, "sent" if taken else "dropped")
        return taken

    def _broadcast_again(self, row: sqlite3.Row) -> None:
        """Send a transaction that may have been sent before; what was never sent and cannot be is
        dropped."""
        hash = Digest.parse(row["hash"])
        try:
            taken = self._broadcast(hash, row["raw"])
        except NodeRefused:
            # One that was sent once stays: later nonces stand on it, and the node may take it again
            # (a lower base fee, more ETH).
            if row["state"] == "signed":
                self._mark(hash, "dropped")
            return
        if taken:
            self._mark(hash, "sent")
        else:
            self._look_up(row["nonce"])

    def _broadcast(self, hash: Digest, raw: bytes) -> bool:
        """Whether the node has the transaction now; False if another one has its nonce."""
        try:
            self.node.ask(answers.send_raw(raw))
        except NodeRefused as refusal:
            words = refusal.message.lower()
            if "already known" in words or "already imported" in words or "known transaction" in words:
                return True
            if "nonce too low" in words or "replacement" in words:
                return self._mined(hash)
            raise
        return True

    def _offer_more(self, row: sqlite3.Row) -> bool:
        """Replace an attempt whose price fell below the base fee, where the cap allows; whether
        that was done."""
        fields = json.loads(row["fields"])
        if fields["maxFeePerGas"] >= (self._newest_block().base_fee or 0):
            return False
        fees = _replacing(fields, self._fees())
        if fees["maxFeePerGas"] > self.fee_cap_wei:
            return False
        replacement = self._sign(fields | fees, row["what"])
        self._broadcast_again(self._rows("hash = ?", str(replacement.transaction))[0])
        return True

    def _look_up(self, nonce: int) -> None:
        """Close a nonce that is used up on the chain: by one of our attempts, or by a stranger's
        transaction, once it is no node that lags which knows of none of ours."""
        hashes = (Digest.parse(row["hash"]) for row in self._rows("nonce = ?", nonce))
        mined, now = next((hash for hash in hashes if self._mined(hash)), None), time.monotonic()
        if mined is None and now - self._unclaimed.setdefault(nonce, now) < STRANGER_S:
            return
        self._unclaimed.pop(nonce, None)
        self._close(nonce, mined)

    def _mined(self, hash: Digest) -> bool:
        return self.node.ask(answers.receipt(hash)) is not None

    def _next_nonce(self) -> tuple[int, list[str]]:
        """The nonce of the next transaction; and what the chain took back and was sent again for
        it."""
        pending, again = self._count("pending"), list[str]()
        if self._rows("state = 'mined' AND nonce >= ?", pending):
            again = self._reopen()
        return max(pending, *(int(row["nonce"]) + 1 for row in self._newest()), 0), again

    def _count(self, block: int | str) -> int:
        return self.node.ask(answers.transaction_count(self.address, block))

    # Price

    def _newest_block(self) -> Header:
        newest = self.node.ask(answers.block("latest"))
        if newest is None:
            raise NodeUnreachable(f"the node at {self.node.shown} has no newest block", "wait until it has caught up")
        if newest.base_fee is None:
            raise ChainUnusable(
                f"chain {self.chain_id} has no base fee (EIP-1559), and transactions here are priced by it",
                "Fitchain needs a chain of today's rules: London for its fees, EIP-2935 for its seeds",
            )
        return newest

    def _tip(self, base: int) -> int:
        """What is offered above the base fee: as the node suggests, or, where it has no
        suggestion of its own, what its price for gas leaves."""
        try:
            return self.node.ask(answers.tip())
        except NodeRefused:
            return max(0, self.node.ask(answers.gas_price()) - base)

    def _fees(self) -> dict[str, Any]:
        """What is offered for a unit of gas: room for the base fee to double, within the cap
        (EIP-1559); beside it the block on which that is said, which is the newest."""
        newest, cap = self._newest_block(), self.fee_cap_wei
        base = newest.base_fee or 0
        tip = min(self._tip(base), cap)
        if base > cap:
            raise ChainUnusable(
                f"a unit of gas costs {base / GWEI:g} gwei and the cap is {cap / GWEI:g} gwei",
                "wait, or raise fee_cap_gwei in settings.toml",
            )
        signed_on = newest.number, str(newest.hash)
        return {"maxFeePerGas": min(2 * base + tip, cap), "maxPriorityFeePerGas": tip, SIGNED_ON: signed_on}

    def _require_balance(self, message: Message, max_fee: int) -> None:
        have = self.node.ask(answers.balance(self.address))
        need = message.gas * max_fee + message.value
        if have < need:
            raise ChainUnusable(
                f"the account {self.address} has {amount_text(have)} ETH "
                f"and {message.what} may need {amount_text(need)} ETH",
                funding_hint(self.chain_id, self.address),
            )

    # The file

    def _fields(self, message: Message, nonce: int, fees: dict[str, Any]) -> dict[str, Any]:
        fields: dict[str, Any] = {"type": 2, "chainId": self.chain_id, "nonce": nonce, "gas": message.gas}
        fields |= {"value": message.value, "data": "0x" + message.data.hex()} | fees
        fields |= {UNHEARD: True} if message.what in ADDING else {}
        return fields | ({"to": message.to} if message.to else {})

    def _sign(self, fields: dict[str, Any], what: str) -> Pending:
        """Sign and write down."""
        from eth_utils.crypto import keccak

        raw = self.signer.sign_transaction({name: value for name, value in fields.items() if name not in OWN_FIELDS})
        hash = Digest(bytes(keccak(raw)))
        row = (*self._key, fields["nonce"], str(hash), raw, json.dumps(fields), what, "signed", time.time())
        # The same transaction may have been dropped before, or undone.
        again = "ON CONFLICT(hash) DO UPDATE SET state = 'signed', fields = excluded.fields"
        self._write(f"INSERT INTO transactions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) {again}", *row)
        return Pending(hash, self.address, fields["nonce"], what)

    def _newest(self) -> list[sqlite3.Row]:
        """The newest open attempt at every open nonce, by nonce."""
        return list({row["nonce"]: row for row in self._rows(f"state IN {OPEN}")}.values())

    def _rows(self, condition: str, *values: Any) -> list[sqlite3.Row]:
        query = f"SELECT * FROM transactions WHERE network = ? AND sender = ? AND {condition} ORDER BY nonce, time"
        with closing(connect(self.path)) as database, sqlite_errors(self.path):
            rows: list[sqlite3.Row] = database.execute(query, (*self._key, *values)).fetchall()
            return rows

    def _mark(self, hash: Digest, state: str) -> None:
        self._write("UPDATE transactions SET state = ? WHERE hash = ?", state, str(hash))

    def _close(self, nonce: int, mined: Digest | None) -> None:
        """Note which transaction has used a nonce up, which closes all attempts at it; None: a
        stranger's."""
        rows = self._rows("nonce = ?", nonce)
        done = {_does(row) for row in rows if row["hash"] == str(mined)}
        for row in rows:
            self._mark(Digest.parse(row["hash"]), "mined" if _does(row) in done else "dropped")

    def _change(self, change: str, condition: str, *values: Any) -> None:
        where = f"network = ? AND sender = ? AND {condition}"
        self._write(f"UPDATE transactions SET {change} WHERE {where}", *self._key, *values)

    def _write(self, statement: str, *values: Any) -> None:
        with closing(connect(self.path)) as database, sqlite_errors(self.path):
            database.execute("BEGIN IMMEDIATE")
            database.execute(statement, values)
            database.execute("COMMIT")

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep every other sender of this home out; the kernel lets go when a process dies."""
        path = self.path.with_suffix(".lock")
        with host_errors(f"{path} cannot be opened"):
            lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)


def _does(row: sqlite3.Row) -> tuple[str, str, str]:
    """What a transaction does, whatever it offers for it."""
    fields = json.loads(row["fields"])
    return str(fields.get("to")), fields["data"], str(fields["value"])


def _replacing(offered: dict[str, Any], fees: dict[str, Any]) -> dict[str, int]:
    """Fees that are enough now and for which nodes replace what was offered before: an eighth
    more."""
    return {name: max(fees[name], offered[name] * 9 // 8 + 1) for name in FEES}


def funding_hint(chain_id: int, address: str) -> str:
    """What to do about an account without enough money."""
    if chain_id == DEVNET_CHAIN_ID:
        return f"fitchain devnet fund {address}"
    return f"send ETH or FIT to {address} on chain {chain_id}"
