"""Accounts: what everybody has, to the last unit, against what the jobs' ends and the gas that was
burned say they should have."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from fitchain.pod.jobs.home import Home
from fitchain.pod.ports.agreement import Agreement, Audit, Outcome, State
from fitchain.pod.proof.audit.payouts import DEADLINE_MISSED, GIVEN_BACK, UNDISPUTED, Escrow, Payout, payout_of
from fitchain.pod.values.ids import AuditRef
from tests.faults.market.journals import rows_of
from tests.faults.market.parties import Market

ONCE = (
    *("Requested", "Accepted", "SeedFixed", "Begun", "Finished", "Settled", "Cancelled", "Rejected"),
    *("AuditOpened", "SegmentsFixed", "Concluded", "ReleaseClosed"),
)
"""Events that a job has once, or not at all."""
OPEN = frozenset({"signed", "sent"})


@dataclass(frozen=True)
class Wealth:
    """What there is at a time.

    Args:
        fit: of each party, in base units, with what it is owed, has staked and has earned.
        wei: of each party.
        owed: of each party, what of it waits in Agreements.
        staked: of each party, what of it lies in Verifiers.
        held: FIT of each contract.
        supply: of FIT.
    """

    fit: Mapping[str, int]
    wei: Mapping[str, int]
    owed: Mapping[str, int]
    staked: Mapping[str, int]
    held: Mapping[str, int]
    supply: int

    @classmethod
    def read(cls, home: Home, market: Market) -> Wealth:
        """Read it off the chain."""
        chain, addresses = home.chain, {name: party.address for name, party in market.parties.items()}
        owed = {name: home.agreements.owed(address) for name, address in addresses.items()}
        accounts = {name: home.verifiers.verifier(address) for name, address in addresses.items()}
        staked = {name: each.stake + each.earned + each.unbonding for name, each in accounts.items()}
        fit = {name: chain.fit_balance(at) + owed[name] + staked[name] for name, at in addresses.items()}
        held = {name: chain.fit_balance(at) for name, at in chain.deployment.addresses.items()}
        wei = {name: chain.balance(address) for name, address in addresses.items()}
        return cls(fit, wei, owed, staked, held, int(chain.call("FitCoin", "totalSupply")))


@dataclass(frozen=True)
class Due:
    """What a job moved, in base units of FIT: gains and losses by party, what it burned, and what
    it still holds."""

    gains: Mapping[str, int]
    burned: int = 0
    locked: int = 0


def due_of(home: Home, market: Market, agreement: Agreement) -> Due:
    """What a job as it stands has moved, by the table of payouts."""
    by_address = {party.address: name for name, party in market.parties.items()}
    owner, scientist = by_address[agreement.terms.owner], by_address[agreement.scientist]
    terms, audit = agreement.terms, home.audits.read(AuditRef(agreement.id))
    bond = 0 if agreement.state in (State.REQUESTED, State.CANCELLED) else terms.bond
    gains = Counter({owner: -bond})
    gains.update({scientist: -(terms.price + terms.audit.locked)})
    if not agreement.state.ended:
        return Due(gains, locked=-gains.total())
    if audit.phase.releasing:  # the owner is paid; the fees wait for the end of the release window
        gains.update({owner: terms.price + bond})
        return Due(gains, locked=-gains.total())
    votes = [vote for vote in home.audits.votes(audit) if vote.round == audit.round]
    payout = _payout(agreement, audit, [vote.outcome for vote in votes])
    paid = [by_address[vote.verifier] for vote in votes if vote.outcome is payout.paid]
    amounts = payout.amounts(replace(Escrow.of_job(terms), bond=bond), len(paid))
    gains.update({owner: amounts.owner})
    gains.update({scientist: amounts.scientist})
    gains.update(dict.fromkeys(paid, terms.audit.fee_per_seat))
    penalties = {by_address[at]: amount for at, amount in home.audits.penalties(audit.ref).items()}
    gains.subtract(penalties)
    return Due(gains, amounts.burned + sum(penalties.values()))


def _payout(agreement: Agreement, audit: Audit, votes: Sequence[Outcome]) -> Payout:
    """The row of the table by which a job was paid."""
    if agreement.state is State.CANCELLED:
        return GIVEN_BACK
    if audit.verdict is not Outcome.NONE:
        return payout_of(audit, votes)
    return UNDISPUTED if agreement.state is State.SETTLED else DEADLINE_MISSED


def money(before: Wealth, after: Wealth, dues: Sequence[Due]) -> Iterator[str]:
    """Where FIT is that should not be there."""
    gains = Counter[str]()
    for due in dues:
        gains.update(due.gains)
    for name in before.fit:
        if (gained := after.fit[name] - before.fit[name]) != gains[name]:
            yield f"{name} has gained {gained} units of FIT, and its jobs say {gains[name]}"
    burned, locked = sum(due.burned for due in dues), sum(due.locked for due in dues)
    for what, have, should in (
        ("the supply fell by", before.supply - after.supply, burned),
        ("Agreements holds", after.held["Agreements"], sum(after.owed.values()) + locked),
        ("Verifiers holds", after.held["Verifiers"], sum(after.staked.values())),
        ("the other contracts hold", sum(after.held.values()) - after.held["Agreements"] - after.held["Verifiers"], 0),
    ):
        if have != should:
            yield f"{what} {have} units of FIT, and it should be {should}"


@dataclass(frozen=True)
class Sent:
    """What one party has sent, as the chain has it.

    Args:
        hashes: of its transactions since the beginning.
        wei: what they cost.
        refused: how many of them reverted.
    """

    hashes: frozenset[str]
    wei: int
    refused: int


def sent(home: Home, market: Market) -> dict[str, Sent]:
    """Every party's transactions in the chain's blocks since the beginning."""
    node, names = home.chain.node, {party.address.lower(): name for name, party in market.parties.items()}
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in market.parties}
    for number in range(market.block + 1, home.chain.head() + 1):
        for transaction in node.request("eth_getBlockByNumber", hex(number), True)["transactions"]:
            if name := names.get(transaction["from"].lower()):
                found[name].append(node.request("eth_getTransactionReceipt", transaction["hash"]))
    return {name: _sent(receipts) for name, receipts in found.items()}


def _sent(receipts: Sequence[dict[str, Any]]) -> Sent:
    wei = sum(int(each["gasUsed"], 16) * int(each["effectiveGasPrice"], 16) for each in receipts)
    refused = sum(each["status"] != "0x1" for each in receipts)
    return Sent(frozenset(each["transactionHash"] for each in receipts), wei, refused)


def gas(before: Wealth, after: Wealth, by_party: Mapping[str, Sent]) -> Iterator[str]:
    """Whose ETH is not what its transactions left of it."""
    for name, each in by_party.items():
        if (spent := before.wei[name] - after.wei[name]) != each.wei:
            yield f"{name} has spent {spent} wei, and its transactions cost {each.wei}"


def queues(home: Home, market: Market, by_party: Mapping[str, Sent]) -> Iterator[str]:
    """Where a queue and the chain do not agree: what is mined and not known, known as mined and
    not, or still waits."""
    for name, party in market.parties.items():
        rows = rows_of(
            market.folder / name, "SELECT hash, nonce, state, what FROM transactions", file="transactions.db"
        )
        count = int(home.chain.node.request("eth_getTransactionCount", party.address, "latest"), 16)
        known = {row["hash"] for row in rows}
        if foreign := by_party[name].hashes - known:
            yield f"{name}'s queue does not know {len(foreign)} of its own transactions: {min(foreign)}"
        for row in rows:
            if row["state"] in OPEN and row["nonce"] >= count:
                yield f"{name}'s {row['what']} (nonce {row['nonce']}, {row['state']}) still waits"


def doubled(home: Home, agreements: Sequence[Agreement]) -> Iterator[str]:
    """Which events a job has more often than once."""
    for agreement in agreements:
        names = Counter(event.name for event in home.agreements.events(agreement.id))
        if twice := {name: names[name] for name in ONCE if names[name] > 1}:
            yield f"{agreement.id.short} has events more often than once: {twice}"
