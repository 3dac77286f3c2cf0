"""Attacks on draws, votes and deadlines: real contracts on a real node, and seats that vote by
hand."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from fitchain.pod.compute.checkpoint import read_leaves
from fitchain.pod.ports.agreement import Audits, Outcome, Phase, audit_id, commit_key
from fitchain.pod.ports.verifiers import Verifiers
from fitchain.pod.proof.audit.vote import commitment, trace_digest
from fitchain.pod.values.digest import ZERO, sha256
from tests.agreements import ASKER_NONCE, GROUP, KEY, anchored, cid, ending, transcript
from tests.attacks.attack_lab import AUDIT, AttackLab, Caught, ManualAudit, refused
from tests.audit_actors import SALT, Vote
from tests.audit_scenario import DISPUTE
from tests.chain_fixtures import ETHER

CONTRACT, DRAW, TALLY, DEADLINE, RELEASE = "contract", "draw", "tally", "deadline", "second release"
HISTORY = "0x0000F90827F1C53a10cb7A02335B175320002935"
LONG_S = 80_000
"""A training window in which a chain forgets a block."""

TRACE, FALSE_TRACE = sha256(b"what a replay comes to"), sha256(b"invented")
MATCH: Vote = (Outcome.MATCH, TRACE)
MISMATCH: Vote = (Outcome.MISMATCH, TRACE)
FALSE_MATCH: Vote = (Outcome.MATCH, FALSE_TRACE)
WITHHELD: Vote = (Outcome.WITHHELD, ZERO)


# The owner


def other_nonce(lab: AttackLab) -> Caught:
    """Accept, look at the order seed that comes out, and try for another: accept again, reveal
    another nonce, let the chain forget."""
    parties = lab.parties
    id = parties.accepted(training_window=LONG_S)
    owner, other = parties.by_owner, sha256(b"another nonce")
    again = refused(lambda: owner.accept(id, commit_key(other)))
    begun = refused(lambda: owner.begin(id, other))
    with forgetful(lab):
        late = refused(lambda: owner.fix(id))
    lab.pass_time(LONG_S + 1)
    owner.expire(id)
    step = f"accept: {again}; begin: {begun}; fix: {late}; expire"
    return Caught(CONTRACT, step, ManualAudit.of(lab, lab.scenario, id).ruling().partition("; ")[2])


@contextmanager
def forgetful(lab: AttackLab) -> Iterator[None]:
    """Let so many blocks pass that the chain, which is here one without the history of EIP-2935,
    forgets those before."""
    node = lab.parties.owner.chain.node
    code = node.request("eth_getCode", HISTORY, "latest")
    node.request("anvil_setCode", HISTORY, "0x")
    node.request("anvil_mine", hex(260))
    yield
    node.request("anvil_setCode", HISTORY, code)


def other_challenge(lab: AttackLab) -> Caught:
    """Look at the challenge, and try for another: draw again, end the run again."""
    manual = ManualAudit.opened(lab)
    manual.scenario.drawn(manual.id)
    seed = manual.calls.read(manual.ref).seed
    drawn = refused(lambda: manual.calls.draw(manual.ref, ASKER_NONCE))
    run = manual.owner.run_record(manual.id)
    other = ending(transcript(run.ctx, run.seed, 9), None)
    finished = refused(lambda: manual.owner.finish(manual.id, other))
    assert manual.calls.read(manual.ref).seed == seed
    return Caught(CONTRACT, f"draw: {drawn}; finish: {finished}", "the challenge stays")


def another_jobs_leaves(lab: AttackLab) -> Caught:
    """Anchor an earlier job's groups again, and end the run with its last leaf."""
    parties = lab.parties
    earlier = parties.begun()
    made = anchored(parties, earlier, 9)
    parties.by_owner.finish(earlier, ending(made))
    id = parties.begun()
    seed = parties.by_owner.seed(id)
    for group in made.groups(GROUP):
        parties.owner.chain.wait(parties.by_owner.submit_anchor(id, seed, group.peaks, group.root, None))
    error = refused(lambda: parties.by_owner.finish(id, ending(made)))
    return Caught(CONTRACT, f"finish: {error}", "the run does not end")


def no_evidence(lab: AttackLab) -> Caught:
    """Hand no evidence over, in the second window either."""
    manual = ManualAudit.opened(lab)
    manual.join()
    assert [manual.conclude(late=True) for _ in range(2)] == [Outcome.NONE, Outcome.WITHHELD]
    return Caught(DEADLINE, "Evidence", manual.ruling())


def no_key(lab: AttackLab) -> Caught:
    """Win the audit, and keep the job's identity back, as do the verifiers."""
    manual = ManualAudit.voting(lab)
    assert manual.vote([MATCH] * 3) == Outcome.MATCH
    manual.conclude(late=True)
    return Caught(DEADLINE, "Matched", manual.ruling())


def worthless_key(lab: AttackLab) -> Caught:
    """Win the audit, and release something that is no key; the scientist complains, and a seat
    releases the real one."""
    manual = ManualAudit.voting(lab)
    manual.vote([MATCH] * 3)
    manual.calls.release(manual.ref, cid("garbage"))
    Audits(lab.parties.scientist.chain).complain(manual.ref)
    manual.seats()[0].calls.release(manual.ref, KEY)
    released = [one.identity for one in manual.calls.releases(manual.ref)]
    assert released == [cid("garbage"), KEY]
    return Caught(RELEASE, "Released", f"{manual.ruling()}; the scientist can try {len(released)} keys")


def caught_cheat(lab: AttackLab) -> Caught:
    """Cheat, and be voted down."""
    manual = ManualAudit.voting(lab)
    manual.vote([MISMATCH] * 3)
    return Caught(TALLY, "Revealing", manual.ruling())


# The scientist


def exploding_recipe(lab: AttackLab) -> Caught:
    """Ask for a training that leaves the finite numbers: the owner ends it there, and the audit
    confirms it."""
    scenario, parties = lab.scenario, lab.parties
    id = parties.begun(audit=AUDIT)
    owed = parties.by_owner.owed(parties.owner.address)
    parties.by_owner.diverge(id, ending(anchored(parties, id, 6), None))
    manual = ManualAudit.of(lab, scenario, id)
    manual.join()
    manual.submit()
    manual.vote([MATCH] * 3)
    manual.calls.release(manual.ref, KEY)
    paid = parties.by_owner.owed(parties.owner.address) - owed
    share = f"20 of 30 steps and the bond are {paid / ETHER:.4g} FIT"
    return Caught(CONTRACT, "diverge", f"{manual.ruling()}; {share}")


def unfounded_dispute(lab: AttackLab) -> Caught:
    """Dispute an honest training, to keep it from being paid."""
    manual = ManualAudit.opened(lab, DISPUTE)
    lab.parties.by_scientist.dispute(manual.id)
    owed = lab.parties.by_owner.owed(lab.parties.owner.address)
    manual.join()
    manual.submit()
    manual.vote([MATCH] * 3)
    manual.calls.release(manual.ref, KEY)
    manual.conclude(late=True)
    more = lab.parties.by_owner.owed(lab.parties.owner.address) - owed
    return Caught(TALLY, "Revealing", f"{manual.ruling()}; the owner gets {more / ETHER:g} FIT")


# Verifiers


def pool_stuffing(lab: AttackLab) -> Caught:
    """Stake under many names once the block that draws is known."""
    manual = ManualAudit.opened(lab)
    late = {lab.staked().address for _ in range(4)}
    seated = {seat.account.address for seat in manual.scenario.drawn(manual.id)}
    assert len(seated) == 3
    newcomers = len(seated & late)
    return Caught(DRAW, "Awaiting", f"{newcomers} of 4 newcomers are drawn")


def lazy(lab: AttackLab) -> Caught:
    """Vote Match without a replay, with a trace made of the states that the leaves name, which the
    evidence shows."""
    case = lab.honest
    weights = case.deliver()
    facts, replayed = case.facts(weights), lab.examine(case, weights)
    assert replayed.outcome == Outcome.MATCH
    states = [leaf.leaf.state for leaf in read_leaves(case.folder)]
    guessed = trace_digest(facts.audit, 0, [states[segment] for segment in facts.audited])
    manual = ManualAudit.voting(lab)
    honest: Vote = (Outcome.MATCH, replayed.trace)
    manual.vote([honest, honest, (Outcome.MATCH, guessed)])
    return Caught(TALLY, "Revealing", manual.ruling(2))


def lazy_and_careful(lab: AttackLab) -> Caught:
    """Vote Withheld without looking: no trace is asked for, and nobody is slashed for it."""
    manual = ManualAudit.voting(lab)
    manual.vote([MATCH, MATCH, WITHHELD])
    return Caught(TALLY, "Revealing", manual.ruling(2))


def copied_commitment(lab: AttackLab) -> Caught:
    """Send another's commitment, wait until it is revealed, and reveal the same."""
    manual = ManualAudit.voting(lab)
    honest, copyist, other = manual.seats()
    honest.commit(MATCH)
    words = commitment(audit_id(manual.ref), 0, honest.account.address, *MATCH, SALT)
    copyist.calls.commit(manual.ref, copyist.number, words)
    other.commit(MATCH)
    honest.reveal(MATCH)
    other.reveal(MATCH)
    error = refused(lambda: copyist.reveal(MATCH))
    manual.conclude(late=True)
    return Caught(CONTRACT, f"reveal: {error}", manual.ruling(1))


def late_commitment(lab: AttackLab) -> Caught:
    """Wait for the votes before committing."""
    manual = ManualAudit.voting(lab)
    manual.commit([MATCH, MATCH, None])
    manual.conclude(late=True)
    manual.reveal([MATCH, MATCH, None])
    error = refused(lambda: manual.seats()[2].commit(MATCH))
    manual.conclude()
    return Caught(CONTRACT, f"commit: {error}", manual.ruling(2))


def trace_of_a_round(lab: AttackLab) -> Caught:
    """Vote in a new round with the trace that was revealed in the one before."""
    manual, states = ManualAudit.voting(lab), [sha256(b"a state"), sha256(b"another")]
    traces = [trace_digest(audit_id(manual.ref), round, states) for round in (0, 1)]
    assert traces[0] != traces[1], "the round is hashed in"
    old, new = ((Outcome.MATCH, trace) for trace in traces)
    manual.commit([old, old, None])
    manual.conclude(late=True)
    manual.reveal([old, None, None])
    manual.conclude(late=True)  # no quorum: the silent are replaced, and everybody votes again
    audit = manual.calls.read(manual.ref)
    assert (audit.phase, audit.round) == (Phase.JOINING, 1)
    for seat in manual.seats():
        if not audit.seats[seat.number].joined:
            seat.join()
    manual.submit()
    manual.vote([new, new, old])
    return Caught(TALLY, "Revealing", manual.ruling(2))


def no_join(lab: AttackLab) -> Caught:
    """Be drawn, and do not come, so that the audit stands still; and again in the next one."""
    manual = ManualAudit.opened(lab)
    absent, *others = manual.scenario.drawn(manual.id)
    for other in others:
        other.join()
    manual.conclude(late=True)
    audit, who = manual.calls.read(manual.ref), absent.account.address
    assert (audit.phase, audit.round) == (Phase.JOINING, 0)
    assert audit.seats[absent.number].verifier not in ("", who), "somebody else sits there"
    assert Verifiers(manual.calls.chain).verifier(who).away, "it is not drawn again"
    lost = manual.calls.penalties(manual.ref).get(who, 0)
    return Caught(DEADLINE, "Joining", f"another is drawn; it is away and loses {lost / ETHER:g} FIT")


def no_commitment(lab: AttackLab) -> Caught:
    """Join, and do not vote."""
    manual = ManualAudit.voting(lab)
    manual.commit([MATCH, MATCH, None])
    manual.conclude(late=True)
    manual.reveal([MATCH, MATCH, None])
    manual.conclude()
    return Caught(DEADLINE, "Committing", manual.ruling(2))


def silent_liar(lab: AttackLab) -> Caught:
    """Vote falsely, see that the others vote otherwise, and reveal nothing."""
    manual = ManualAudit.voting(lab)
    manual.commit([MISMATCH, MISMATCH, FALSE_MATCH])
    manual.reveal([MISMATCH, MISMATCH, None])
    manual.conclude(late=True)
    return Caught(DEADLINE, "Revealing", manual.ruling(2))


def colluding_minority(lab: AttackLab) -> Caught:
    """Vote Match for a cheating owner, as one of three."""
    manual = ManualAudit.voting(lab)
    manual.vote([MISMATCH, MISMATCH, FALSE_MATCH])
    return Caught(TALLY, "Revealing", manual.ruling(2))


def leaving_liar(lab: AttackLab) -> Caught:
    """Leave the pool before the vote counts, to take the stake along."""
    manual, lie = ManualAudit.voting(lab), (Outcome.MISMATCH, FALSE_TRACE)
    manual.commit([MATCH, MATCH, lie])
    liar = manual.seats()[2].account
    calls = Verifiers(liar.chain)
    calls.leave_pool()
    error = refused(lambda: calls.unstake(calls.verifier(liar.address).stake))
    manual.reveal([MATCH, MATCH, lie])
    manual.conclude()
    return Caught(CONTRACT, f"unstake: {error}", manual.ruling(2))


def split_vote(lab: AttackLab) -> Caught:
    """Cheat with one colluding verifier of three, and seal the evidence so that one honest verifier
    cannot open it, the second time either."""
    manual = ManualAudit.voting(lab)
    assert manual.vote([MISMATCH, WITHHELD, FALSE_MATCH]) == Outcome.NONE, "there is a second window"
    manual.submit()
    manual.vote([MISMATCH, WITHHELD, FALSE_MATCH])
    return Caught(TALLY, "Revealing", manual.ruling(2))


# What is not caught


def withheld_by_a_majority(lab: AttackLab) -> Caught:
    """Two of three vote Withheld without looking, twice, against an honest owner."""
    manual = ManualAudit.voting(lab)
    assert manual.vote([MATCH, WITHHELD, WITHHELD]) == Outcome.NONE, "there is a second window"
    manual.submit()
    manual.vote([MATCH, WITHHELD, WITHHELD])
    return Caught("nobody", "Revealing", manual.ruling(2))
