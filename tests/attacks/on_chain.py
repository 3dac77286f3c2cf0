"""Attacks on draws, votes, deadlines and deployments: real contracts on a real node, and seats that vote by hand."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from fitchain.pod.compute.checkpoint import read_leaves
from fitchain.pod.ports.agreement import AuditTerms, Outcome, Phase, commit_nonce
from fitchain.pod.ports.chain import connect
from fitchain.pod.ports.sealed import new_identity
from fitchain.pod.ports.settings import load
from fitchain.pod.proof.audit.vote import commitment, trace_digest
from fitchain.pod.proof.certificate import verify
from fitchain.pod.values.digest import ZERO, sha256
from fitchain.pod.values.errors import FitchainError
from tests.attacks.attack_lab import Caught, Field, Trial, Vote, refused
from tests.chain_fixtures import ETHER, Account
from tests.test_agreement import GROUP, KEY, WEIGHTS, WINDOW, anchored, cid, transcript
from tests.test_audits import DISPUTE, SALT
from tests.test_certificate import played
from tests.test_certificate import registered as registered_card

CONTRACT, DRAW, TALLY, DEADLINE, RELEASE = "contract", "draw", "tally", "deadline", "second release"
VERIFIER = "certificate's check"
HISTORY = "0x0000F90827F1C53a10cb7A02335B175320002935"
LONG_S = 80_000
"""A training window in which a chain forgets a block."""

TRACE, FALSE_TRACE = sha256(b"what a replay comes to"), sha256(b"invented")
MATCH: Vote = (Outcome.MATCH, TRACE)
MISMATCH: Vote = (Outcome.MISMATCH, TRACE)
FALSE_MATCH: Vote = (Outcome.MATCH, FALSE_TRACE)
WITHHELD: Vote = (Outcome.WITHHELD, ZERO)


# The owner


def other_nonce(field: Field) -> Caught:
    """Accept, look at the order seed that comes out, and try for another: accept again, reveal another nonce, let the chain forget."""
    parties = field.parties
    id = parties.accepted(training_window=LONG_S)
    owner, other = parties.by_owner, sha256(b"another nonce")
    again = refused(lambda: owner.accept(id, commit_nonce(other)))
    begun = refused(lambda: owner.begin(id, other))
    with forgetful(field):
        late = refused(lambda: owner.fix(id))
    field.pass_time(LONG_S + 1)
    owner.expire(id)
    step = f"accept: {again}; begin: {begun}; fix: {late}; expire"
    return Caught(CONTRACT, step, Trial.of(field, field.court, id).ruling().partition("; ")[2])


@contextmanager
def forgetful(field: Field) -> Iterator[None]:
    """Let so many blocks pass that the chain, which is here one without the history of EIP-2935, forgets those before."""
    node = field.parties.owner.chain.node
    code = node.request("eth_getCode", HISTORY, "latest")
    node.request("anvil_setCode", HISTORY, "0x")
    node.request("anvil_mine", hex(260))
    yield
    node.request("anvil_setCode", HISTORY, code)


def other_challenge(field: Field) -> Caught:
    """Look at the challenge, and try for another: draw again, end the run again."""
    trial = Trial.opened(field)
    trial.calls.draw(trial.id)
    seed = trial.calls.read(trial.id).seed
    drawn = refused(lambda: trial.calls.draw(trial.id))
    proof = trial.owner.run_record(trial.id)
    other = transcript(proof.ctx, proof.seed, 9).ending(GROUP, cid("other weights"), None)
    finished = refused(lambda: trial.owner.finish(trial.id, other))
    assert trial.calls.read(trial.id).seed == seed
    return Caught(CONTRACT, f"draw: {drawn}; finish: {finished}", "the challenge stays")


def another_jobs_leaves(field: Field) -> Caught:
    """Anchor an earlier job's groups again, and end the run with its last leaf."""
    parties = field.parties
    earlier = parties.begun()
    made = anchored(parties, earlier, 9)
    ending = made.ending(GROUP, WEIGHTS, KEY)
    parties.by_owner.finish(earlier, ending)
    id = parties.begun()
    for group in made.groups(GROUP):
        parties.owner.chain.wait(parties.by_owner.submit_anchor(id, group.peaks, group.root, None))
    return Caught(CONTRACT, f"finish: {refused(lambda: parties.by_owner.finish(id, ending))}", "the run does not end")


def no_evidence(field: Field) -> Caught:
    """Answer no challenge."""
    trial = Trial.opened(field)
    trial.join()
    late = trial.conclude(late=True)
    assert late == Outcome.WITHHELD
    return Caught(DEADLINE, "Evidence", trial.ruling())


def no_key(field: Field) -> Caught:
    """Win the audit, and keep the job's identity back, as do the verifiers."""
    trial = Trial.voting(field)
    assert trial.vote([MATCH] * 3) == Outcome.MATCH
    trial.conclude(late=True)
    return Caught(DEADLINE, "Matched", trial.ruling())


def worthless_key(field: Field) -> Caught:
    """Win the audit, and release something that is no key; a verifier releases the real one."""
    trial = Trial.voting(field)
    trial.vote([MATCH] * 3)
    trial.calls.release(trial.id, cid("garbage"))
    _, calls = trial.seats()[0]
    calls.release(trial.id, KEY)
    released = [one.identity for one in trial.calls.releases(trial.id)]
    assert released == [cid("garbage"), KEY]
    return Caught(RELEASE, "Released", f"{trial.ruling()}; the scientist can try {len(released)} keys")


def caught_cheat(field: Field) -> Caught:
    """Cheat, and be voted down."""
    trial = Trial.voting(field)
    trial.vote([MISMATCH] * 3)
    return Caught(TALLY, "Revealing", trial.ruling())


# The scientist


def exploding_recipe(field: Field) -> Caught:
    """Ask for a training that leaves the finite numbers: the owner ends it there, and the audit confirms it."""
    court, parties = field.court, field.parties
    id = parties.begun(audit=AuditTerms(segments=3, verifiers=3, window=WINDOW, fee=3 * ETHER))
    owed = parties.by_owner.owed(parties.owner.address)
    made = anchored(parties, id, 6)
    parties.by_owner.diverge(id, made.ending(GROUP, WEIGHTS, None))
    trial = Trial.of(field, court, id)
    trial.join()
    trial.calls.submit(id, cid("evidence"))
    trial.vote([MATCH] * 3)
    trial.calls.release(id, KEY)
    paid = parties.by_owner.owed(parties.owner.address) - owed
    share = f"20 of 30 steps and the bond are {paid / ETHER:.4g} FIT"
    return Caught(CONTRACT, "diverge", f"{trial.ruling()}; {share}")


def unfounded_dispute(field: Field) -> Caught:
    """Dispute an honest training, to keep it from being paid."""
    trial = Trial.opened(field, DISPUTE)
    field.parties.by_scientist.dispute(trial.id)
    owed = field.parties.by_owner.owed(field.parties.owner.address)
    trial.join()
    trial.calls.submit(trial.id, cid("evidence"))
    trial.vote([MATCH])
    more = field.parties.by_owner.owed(field.parties.owner.address) - owed
    return Caught(TALLY, "Revealing", f"{trial.ruling()}; the owner gets {more / ETHER:g} FIT")


# Verifiers


def pool_stuffing(field: Field) -> Caught:
    """Stake under many names once the block that draws is known."""
    trial = Trial.opened(field)
    before = trial.calls.read(trial.id)
    late = [field.staked() for _ in range(4)]
    trial.calls.draw(trial.id)
    seated = {seat.verifier for seat in trial.calls.read(trial.id).seats}
    assert len(seated) == 3 and before.opened_block
    newcomers = len(seated & {one.address for one in late})
    return Caught(DRAW, "Awaiting", f"{newcomers} of 4 newcomers are drawn")


def lazy(field: Field) -> Caught:
    """Vote Match without a replay, with a trace made of the states that the leaves name, which the evidence shows."""
    case = field.honest
    weights = case.deliver()
    facts, replayed = case.facts(weights), field.examine(case, weights)
    assert replayed.outcome == Outcome.MATCH
    states = [leaf.leaf.state for leaf in read_leaves(case.folder)]
    guessed = trace_digest(facts.ctx, facts.challenge, 0, [states[segment] for segment in facts.audited])
    trial = Trial.voting(field)
    honest: Vote = (Outcome.MATCH, replayed.trace)
    trial.vote([honest, honest, (Outcome.MATCH, guessed)])
    return Caught(TALLY, "Revealing", trial.ruling(2))


def lazy_and_careful(field: Field) -> Caught:
    """Vote Withheld without looking: no trace is asked for, and nobody is slashed for it."""
    trial = Trial.voting(field)
    trial.vote([MATCH, MATCH, WITHHELD])
    return Caught(TALLY, "Revealing", trial.ruling(2))


def copied_commitment(field: Field) -> Caught:
    """Send another's commitment, wait until it is revealed, and reveal the same."""
    trial = Trial.voting(field)
    (first, honest), (second, copyist), (third, other) = trial.seats()
    words = commitment(trial.id, 0, honest.chain.address, *MATCH, SALT)
    honest.commit(trial.id, first, words)
    copyist.commit(trial.id, second, words)
    other.commit(trial.id, third, commitment(trial.id, 0, other.chain.address, *MATCH, SALT))
    honest.reveal(trial.id, first, *MATCH, SALT)
    other.reveal(trial.id, third, *MATCH, SALT)
    error = refused(lambda: copyist.reveal(trial.id, second, *MATCH, SALT))
    trial.conclude(late=True)
    return Caught(CONTRACT, f"reveal: {error}", trial.ruling(1))


def late_commitment(field: Field) -> Caught:
    """Wait for the votes before committing."""
    trial = Trial.voting(field)
    trial.commit([MATCH, MATCH, None])
    field.pass_time()
    trial.calls.advance(trial.id)
    trial.reveal([MATCH, MATCH, None])
    seat, copyist = trial.seats()[2]
    words = commitment(trial.id, 0, copyist.chain.address, *MATCH, SALT)
    error = refused(lambda: copyist.commit(trial.id, seat, words))
    trial.conclude()
    return Caught(CONTRACT, f"commit: {error}", trial.ruling(2))


def trace_of_a_round(field: Field) -> Caught:
    """Vote in a new round with the trace that was revealed in the one before."""
    case = field.honest
    facts, states = case.facts(None), [sha256(b"a state"), sha256(b"another")]
    traces = [trace_digest(facts.ctx, facts.challenge, round, states) for round in (0, 1)]
    assert traces[0] != traces[1], "the round is hashed in"
    trial = Trial.voting(field)
    old, new = ((Outcome.MATCH, trace) for trace in traces)
    trial.commit([old, old, None])
    field.pass_time()
    trial.calls.advance(trial.id)
    trial.reveal([old, None, None])
    field.pass_time()
    trial.calls.advance(trial.id)  # no quorum: the silent one is replaced, and everybody votes again
    audit = trial.calls.read(trial.id)
    assert (audit.phase, audit.round) == (Phase.JOINING, 1)
    for seat, calls in trial.seats():
        if not audit.seats[seat].joined:
            calls.join(trial.id, seat, new_identity()[1])
    trial.calls.submit(trial.id, cid("new evidence"))
    votes = [new, new, old]
    trial.commit(votes, round=1)
    trial.reveal(votes)
    trial.conclude()
    return Caught(TALLY, "Revealing", trial.ruling(2))


def no_join(field: Field) -> Caught:
    """Be drawn, and do not come, so that the audit stands still."""
    trial = Trial.opened(field)
    trial.calls.draw(trial.id)
    (seat, absent), *others = trial.seats()
    for other, calls in others:
        calls.join(trial.id, other, new_identity()[1])
    field.pass_time()
    trial.calls.advance(trial.id)
    audit = trial.calls.read(trial.id)
    assert (audit.phase, audit.round) == (Phase.JOINING, 1)
    who = absent.chain.address
    assert audit.seats[seat].verifier not in ("", who), "somebody else sits there"
    lost = trial.calls.penalties(trial.id)[who]
    return Caught(DEADLINE, "Joining", f"another is drawn; it loses {lost / ETHER:g} FIT")


def no_commitment(field: Field) -> Caught:
    """Join, and do not vote."""
    trial = Trial.voting(field)
    trial.commit([MATCH, MATCH, None])
    field.pass_time()
    trial.calls.advance(trial.id)
    trial.reveal([MATCH, MATCH, None])
    trial.conclude()
    return Caught(DEADLINE, "Committing", trial.ruling(2))


def silent_liar(field: Field) -> Caught:
    """Vote falsely, see that the others vote otherwise, and reveal nothing."""
    trial = Trial.voting(field)
    trial.commit([MISMATCH, MISMATCH, FALSE_MATCH])
    trial.reveal([MISMATCH, MISMATCH, None])
    trial.conclude(late=True)
    return Caught(DEADLINE, "Revealing", trial.ruling(2))


def colluding_minority(field: Field) -> Caught:
    """Vote Match for a cheating owner, as one of three."""
    trial = Trial.voting(field)
    trial.vote([MISMATCH, MISMATCH, FALSE_MATCH])
    return Caught(TALLY, "Revealing", trial.ruling(2))


def leaving_liar(field: Field) -> Caught:
    """Leave the pool before the vote counts, to take the stake along."""
    trial = Trial.voting(field)
    trial.commit([MATCH, MATCH, (Outcome.MISMATCH, FALSE_TRACE)])
    _, liar = trial.seats()[2]
    if liar.verifier(liar.chain.address).earned:
        liar.withdraw()  # what it earned in other audits is its own
    liar.unstake()
    error = refused(liar.withdraw)
    trial.reveal([MATCH, MATCH, (Outcome.MISMATCH, FALSE_TRACE)])
    trial.conclude()
    return Caught(CONTRACT, f"withdraw: {error}", trial.ruling(2))


# Deployments


def lookalike(field: Field) -> Caught:
    """Deploy the same contracts, let a job of one's own end there as one likes, and show its certificate."""
    settings = field.lookalike()
    folder = settings.home

    def account() -> Account:
        return field.account(of=load(home=field.home(), devnet=folder, rpc=field.net.record.rpc, environ={}))

    parties = registered_card(account(), account(), field.home().with_suffix(".npz"))
    job = played(parties, field.home().with_suffix(".safetensors"), b"look-alike")
    verify(job.model, job.certificate, parties.owner.chain)  # it holds for whoever believes that deployment
    checker = connect(field.net.settings(field.home()))
    try:
        verify(job.model, job.certificate, checker)
    except FitchainError as error:
        return Caught(VERIFIER, f"deployment: exit {error.exit_code}", error.message)
    return Caught("nobody", "nowhere", "it holds")


# What is not caught


def split_vote(field: Field) -> Caught:
    """Cheat with one colluding verifier of three, and seal the evidence so that one honest verifier cannot open it."""
    trial = Trial.voting(field)
    trial.vote([MISMATCH, WITHHELD, FALSE_MATCH])
    return Caught(TALLY, "Revealing", trial.ruling(2))


def withheld_by_a_majority(field: Field) -> Caught:
    """Two of three vote Withheld without looking, against an honest owner."""
    trial = Trial.voting(field)
    trial.vote([MATCH, WITHHELD, WITHHELD])
    return Caught("nobody", "Revealing", trial.ruling(2))


def even_seats(field: Field) -> Caught:
    """Cheat with one colluding verifier of two."""
    trial = Trial.voting(field, TWO)
    trial.vote([MISMATCH, FALSE_MATCH])
    return Caught("nobody", "Revealing", trial.ruling(1))


TWO = AuditTerms(segments=3, verifiers=2, window=WINDOW, fee=2 * ETHER)
