"""Attacks on draws, votes, deadlines and deployments: real contracts on a real node, and seats that
vote by hand."""

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
from tests.agreements import GROUP, KEY, WEIGHTS, WINDOW, anchored, cid, transcript
from tests.attacks.attack_lab import AttackLab, Caught, ManualAudit, Vote, refused
from tests.audit_scenario import DISPUTE, SALT
from tests.certified_jobs import played
from tests.certified_jobs import registered as registered_card
from tests.chain_fixtures import ETHER, Account

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


def other_nonce(lab: AttackLab) -> Caught:
    """Accept, look at the order seed that comes out, and try for another: accept again, reveal
    another nonce, let the chain forget."""
    parties = lab.parties
    id = parties.accepted(training_window=LONG_S)
    owner, other = parties.by_owner, sha256(b"another nonce")
    again = refused(lambda: owner.accept(id, commit_nonce(other)))
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
    manual.calls.draw(manual.id)
    seed = manual.calls.read(manual.id).seed
    drawn = refused(lambda: manual.calls.draw(manual.id))
    proof = manual.owner.run_record(manual.id)
    other = transcript(proof.ctx, proof.seed, 9).ending(GROUP, cid("other weights"), None)
    finished = refused(lambda: manual.owner.finish(manual.id, other))
    assert manual.calls.read(manual.id).seed == seed
    return Caught(CONTRACT, f"draw: {drawn}; finish: {finished}", "the challenge stays")


def another_jobs_leaves(lab: AttackLab) -> Caught:
    """Anchor an earlier job's groups again, and end the run with its last leaf."""
    parties = lab.parties
    earlier = parties.begun()
    made = anchored(parties, earlier, 9)
    ending = made.ending(GROUP, WEIGHTS, KEY)
    parties.by_owner.finish(earlier, ending)
    id = parties.begun()
    for group in made.groups(GROUP):
        parties.owner.chain.wait(parties.by_owner.submit_anchor(id, group.peaks, group.root, None))
    return Caught(CONTRACT, f"finish: {refused(lambda: parties.by_owner.finish(id, ending))}", "the run does not end")


def no_evidence(lab: AttackLab) -> Caught:
    """Answer no challenge."""
    manual = ManualAudit.opened(lab)
    manual.join()
    late = manual.conclude(late=True)
    assert late == Outcome.WITHHELD
    return Caught(DEADLINE, "Evidence", manual.ruling())


def no_key(lab: AttackLab) -> Caught:
    """Win the audit, and keep the job's identity back, as do the verifiers."""
    manual = ManualAudit.voting(lab)
    assert manual.vote([MATCH] * 3) == Outcome.MATCH
    manual.conclude(late=True)
    return Caught(DEADLINE, "Matched", manual.ruling())


def worthless_key(lab: AttackLab) -> Caught:
    """Win the audit, and release something that is no key; a verifier releases the real one."""
    manual = ManualAudit.voting(lab)
    manual.vote([MATCH] * 3)
    manual.calls.release(manual.id, cid("garbage"))
    _, calls = manual.seats()[0]
    calls.release(manual.id, KEY)
    released = [one.identity for one in manual.calls.releases(manual.id)]
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
    id = parties.begun(audit=AuditTerms(segments=3, verifiers=3, window=WINDOW, fee=3 * ETHER))
    owed = parties.by_owner.owed(parties.owner.address)
    made = anchored(parties, id, 6)
    parties.by_owner.diverge(id, made.ending(GROUP, WEIGHTS, None))
    manual = ManualAudit.of(lab, scenario, id)
    manual.join()
    manual.calls.submit(id, cid("evidence"))
    manual.vote([MATCH] * 3)
    manual.calls.release(id, KEY)
    paid = parties.by_owner.owed(parties.owner.address) - owed
    share = f"20 of 30 steps and the bond are {paid / ETHER:.4g} FIT"
    return Caught(CONTRACT, "diverge", f"{manual.ruling()}; {share}")


def unfounded_dispute(lab: AttackLab) -> Caught:
    """Dispute an honest training, to keep it from being paid."""
    manual = ManualAudit.opened(lab, DISPUTE)
    lab.parties.by_scientist.dispute(manual.id)
    owed = lab.parties.by_owner.owed(lab.parties.owner.address)
    manual.join()
    manual.calls.submit(manual.id, cid("evidence"))
    manual.vote([MATCH])
    more = lab.parties.by_owner.owed(lab.parties.owner.address) - owed
    return Caught(TALLY, "Revealing", f"{manual.ruling()}; the owner gets {more / ETHER:g} FIT")


# Verifiers


def pool_stuffing(lab: AttackLab) -> Caught:
    """Stake under many names once the block that draws is known."""
    manual = ManualAudit.opened(lab)
    before = manual.calls.read(manual.id)
    late = [lab.staked() for _ in range(4)]
    manual.calls.draw(manual.id)
    seated = {seat.verifier for seat in manual.calls.read(manual.id).seats}
    assert len(seated) == 3 and before.opened_block
    newcomers = len(seated & {one.address for one in late})
    return Caught(DRAW, "Awaiting", f"{newcomers} of 4 newcomers are drawn")


def lazy(lab: AttackLab) -> Caught:
    """Vote Match without a replay, with a trace made of the states that the leaves name, which the
    evidence shows."""
    case = lab.honest
    weights = case.deliver()
    facts, replayed = case.facts(weights), lab.examine(case, weights)
    assert replayed.outcome == Outcome.MATCH
    states = [leaf.leaf.state for leaf in read_leaves(case.folder)]
    guessed = trace_digest(facts.ctx, facts.challenge, 0, [states[segment] for segment in facts.audited])
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
    (first, honest), (second, copyist), (third, other) = manual.seats()
    words = commitment(manual.id, 0, honest.chain.address, *MATCH, SALT)
    honest.commit(manual.id, first, words)
    copyist.commit(manual.id, second, words)
    other.commit(manual.id, third, commitment(manual.id, 0, other.chain.address, *MATCH, SALT))
    honest.reveal(manual.id, first, *MATCH, SALT)
    other.reveal(manual.id, third, *MATCH, SALT)
    error = refused(lambda: copyist.reveal(manual.id, second, *MATCH, SALT))
    manual.conclude(late=True)
    return Caught(CONTRACT, f"reveal: {error}", manual.ruling(1))


def late_commitment(lab: AttackLab) -> Caught:
    """Wait for the votes before committing."""
    manual = ManualAudit.voting(lab)
    manual.commit([MATCH, MATCH, None])
    lab.pass_time()
    manual.calls.advance(manual.id)
    manual.reveal([MATCH, MATCH, None])
    seat, copyist = manual.seats()[2]
    words = commitment(manual.id, 0, copyist.chain.address, *MATCH, SALT)
    error = refused(lambda: copyist.commit(manual.id, seat, words))
    manual.conclude()
    return Caught(CONTRACT, f"commit: {error}", manual.ruling(2))


def trace_of_a_round(lab: AttackLab) -> Caught:
    """Vote in a new round with the trace that was revealed in the one before."""
    case = lab.honest
    facts, states = case.facts(None), [sha256(b"a state"), sha256(b"another")]
    traces = [trace_digest(facts.ctx, facts.challenge, round, states) for round in (0, 1)]
    assert traces[0] != traces[1], "the round is hashed in"
    manual = ManualAudit.voting(lab)
    old, new = ((Outcome.MATCH, trace) for trace in traces)
    manual.commit([old, old, None])
    lab.pass_time()
    manual.calls.advance(manual.id)
    manual.reveal([old, None, None])
    lab.pass_time()
    manual.calls.advance(manual.id)  # no quorum: the silent one is replaced, and everybody votes again
    audit = manual.calls.read(manual.id)
    assert (audit.phase, audit.round) == (Phase.JOINING, 1)
    for seat, calls in manual.seats():
        if not audit.seats[seat].joined:
            calls.join(manual.id, seat, new_identity()[1])
    manual.calls.submit(manual.id, cid("new evidence"))
    votes = [new, new, old]
    manual.commit(votes, round=1)
    manual.reveal(votes)
    manual.conclude()
    return Caught(TALLY, "Revealing", manual.ruling(2))


def no_join(lab: AttackLab) -> Caught:
    """Be drawn, and do not come, so that the audit stands still."""
    manual = ManualAudit.opened(lab)
    manual.calls.draw(manual.id)
    (seat, absent), *others = manual.seats()
    for other, calls in others:
        calls.join(manual.id, other, new_identity()[1])
    lab.pass_time()
    manual.calls.advance(manual.id)
    audit = manual.calls.read(manual.id)
    assert (audit.phase, audit.round) == (Phase.JOINING, 1)
    who = absent.chain.address
    assert audit.seats[seat].verifier not in ("", who), "somebody else sits there"
    lost = manual.calls.penalties(manual.id)[who]
    return Caught(DEADLINE, "Joining", f"another is drawn; it loses {lost / ETHER:g} FIT")


def no_commitment(lab: AttackLab) -> Caught:
    """Join, and do not vote."""
    manual = ManualAudit.voting(lab)
    manual.commit([MATCH, MATCH, None])
    lab.pass_time()
    manual.calls.advance(manual.id)
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
    manual = ManualAudit.voting(lab)
    manual.commit([MATCH, MATCH, (Outcome.MISMATCH, FALSE_TRACE)])
    _, liar = manual.seats()[2]
    if liar.verifier(liar.chain.address).earned:
        liar.withdraw()  # what it earned in other audits is its own
    liar.unstake()
    error = refused(liar.withdraw)
    manual.reveal([MATCH, MATCH, (Outcome.MISMATCH, FALSE_TRACE)])
    manual.conclude()
    return Caught(CONTRACT, f"withdraw: {error}", manual.ruling(2))


# Deployments


def lookalike(lab: AttackLab) -> Caught:
    """Deploy the same contracts, let a job of one's own end there as one likes, and show its
    certificate."""
    settings = lab.lookalike()
    folder = settings.home

    def account() -> Account:
        return lab.account(of=load(home=lab.home(), devnet=folder, rpc=lab.net.record.rpc, environ={}))

    parties = registered_card(account(), account(), lab.home().with_suffix(".npz"))
    job = played(parties, lab.home().with_suffix(".safetensors"), b"look-alike")
    verify(job.model, job.certificate, parties.owner.chain)  # it holds for whoever believes that deployment
    checker = connect(lab.net.settings(lab.home()))
    try:
        verify(job.model, job.certificate, checker)
    except FitchainError as error:
        return Caught(VERIFIER, f"deployment: exit {error.exit_code}", error.message)
    return Caught("nobody", "nowhere", "it holds")


# What is not caught


def split_vote(lab: AttackLab) -> Caught:
    """Cheat with one colluding verifier of three, and seal the evidence so that one honest verifier
    cannot open it."""
    manual = ManualAudit.voting(lab)
    manual.vote([MISMATCH, WITHHELD, FALSE_MATCH])
    return Caught(TALLY, "Revealing", manual.ruling(2))


def withheld_by_a_majority(lab: AttackLab) -> Caught:
    """Two of three vote Withheld without looking, against an honest owner."""
    manual = ManualAudit.voting(lab)
    manual.vote([MATCH, WITHHELD, WITHHELD])
    return Caught("nobody", "Revealing", manual.ruling(2))


def even_seats(lab: AttackLab) -> Caught:
    """Cheat with one colluding verifier of two."""
    manual = ManualAudit.voting(lab, TWO)
    manual.vote([MISMATCH, FALSE_MATCH])
    return Caught("nobody", "Revealing", manual.ruling(1))


TWO = AuditTerms(segments=3, verifiers=2, window=WINDOW, fee=2 * ETHER)
