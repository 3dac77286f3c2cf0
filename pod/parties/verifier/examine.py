"""Examining evidence: fetch and open it, open the delivery with it, check, replay, and come to an
outcome.

Every honest verifier comes to the same outcome and trace: what is checked depends on the evidence
and the chain alone, what is replayed on the checks, and the replay is exact.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path

from fitchain.pod.compute import environment
from fitchain.pod.jobs.bases import Bases
from fitchain.pod.jobs.exchange import fetch_folder
from fitchain.pod.jobs.launch import LOCAL, Launcher
from fitchain.pod.jobs.worker import Context, Emit, SegmentAudited, audit
from fitchain.pod.ports.store import Cid, Store
from fitchain.pod.proof.audit import reference
from fitchain.pod.proof.audit.chain_record import ChainRecord
from fitchain.pod.proof.audit.checking import (
    Checked,
    Problem,
    agreed_recipe,
    check,
    check_delivered_graph,
    check_delivery,
    check_initial,
)
from fitchain.pod.proof.audit.evidence import Evidence, files_of
from fitchain.pod.proof.audit.vote import Outcome, trace_digest
from fitchain.pod.values import limits as limits_of
from fitchain.pod.values.digest import ZERO, Digest, Root
from fitchain.pod.values.errors import (
    UNREADABLE,
    AccessRefused,
    ClaimMismatch,
    DigestMismatch,
    HostUnusable,
    InputRefused,
    NotFound,
    Refuted,
    StoreUnreachable,
    StoreUnusable,
    Unusable,
)
from fitchain.pod.values.job_folder import BASES, DELIVERY_FILES, GRAPH, MODEL, RECIPE, JobFolder
from fitchain.pod.values.limits import FolderLimits
from fitchain.pod.values.reading import read_at_most
from fitchain.pod.values.recipe import Recipe
from fitchain.pod.values.recipe.terms import RECIPE_BYTES

EVIDENCE, DELIVERY = "evidence", "delivery"
"""Folders below the one that `examine` is given."""


@dataclass(frozen=True)
class Examination:
    """What an examination came to.

    Args:
        outcome: Match, Mismatch or Withheld; Withheld also where no segment can be replayed.
        trace: what is voted together with it; zero where it is Withheld.
        problems: what does not hold, in words: first what the checks found, then what the replay
            did.
        audited: the replayed segments.
        lasting: False where the store did not have something, or had an altered copy: looking again
            may come to another outcome, so it is worth waiting for as long as there is time to
            vote.
    """

    outcome: Outcome
    trace: Digest
    problems: tuple[Problem, ...] = ()
    audited: tuple[SegmentAudited, ...] = ()
    lasting: bool = True


class _Withheld(Exception):
    """Something that the owner had to show cannot be had or opened."""

    def __init__(self, what: str, lasting: bool) -> None:
        super().__init__(what)
        self.what, self.lasting = what, lasting


# Many parameters: whence and by what it is opened, what it must be, where to, and how.
def examine(
    store: Store,
    cid: Cid,
    identity: str,
    chain_record: ChainRecord,
    folder: Path,
    on_event: Emit | None = None,
    limit_s: float | None = None,
    launcher: Launcher = LOCAL,
    bases: Bases | None = None,
) -> Examination:
    """Examine the evidence of an audit.

    Args:
        store: where evidence and delivery are fetched from.
        cid: of the sealed evidence; foreign input.
        identity: the age secret that this verifier made for this audit.
        chain_record: what the chain says of the job and its challenge.
        folder: for the opened evidence and delivery; made when absent. They are the owner's
            secrets: the caller wipes them.
        on_event: told the worker's events.
        limit_s: seconds after which evidence and delivery that have not come whole, or do not open,
            count as withheld; None waits as long as something comes.
        launcher: where the worker runs.
        bases: where models' bases are kept; None keeps them in the folder.

    Raises:
        EnvironmentRefused: this host does not reproduce the recipe's class, so it has no vote but
            Inconclusive.
        StoreUnreachable: the store does not answer now.
        Unusable: this host cannot replay the job (memory, disk): likewise.
    """
    begun_s = time.monotonic()
    try:
        evidence = _fetch_evidence(store, cid, identity, chain_record, folder / EVIDENCE, limit_s)
        if chain_record.opens_delivery:
            _fetch_delivery(store, evidence, chain_record, folder / DELIVERY, _left_s(limit_s, begun_s))
        kept = bases or Bases(folder / BASES, store)
        base = _lay_base(kept, evidence, chain_record, _left_s(limit_s, begun_s))
        checked = _check(evidence, chain_record)
        replayed = _replay(evidence, chain_record, checked, on_event, launcher)
        delivered = _delivery_problems(folder, chain_record, base) if replayed else []
    except _Withheld as gone:
        return Examination(Outcome.WITHHELD, ZERO, (Problem(None, gone.what),), lasting=gone.lasting)
    except MemoryError:
        raise HostUnusable(
            "this host has too little memory to look at the evidence", "free some; it is tried again"
        ) from None
    audited = tuple(each for each in replayed if each.reference is None)
    of_references = [each for each in replayed if each.reference is not None]
    states = [next((each.before for each in audited if each.index == j), ZERO) for j in chain_record.audited]
    if not any(state != ZERO for state in states):
        return Examination(Outcome.WITHHELD, ZERO, (*checked.problems, *_differences(audited, checked.problems)))
    problems = (*checked.problems, *delivered, *_differences(audited, checked.problems))
    if reference.is_opened(evidence, chain_record):
        states.append(next((each.before for each in of_references), ZERO))
        wrong = [each.difference for each in of_references if not each.equal]
        problems += tuple(Problem(None, reference.named(evidence.reference, what)) for what in wrong)
    trace = trace_digest(chain_record.audit, chain_record.round, states)
    return Examination(Outcome.MISMATCH if problems else Outcome.MATCH, trace, problems, audited)


def _left_s(limit_s: float | None, begun_s: float) -> float | None:
    """Seconds that are left of a limit."""
    return None if limit_s is None else max(limit_s - (time.monotonic() - begun_s), 0)


def _lay_base(bases: Bases, evidence: Evidence, chain_record: ChainRecord, limit_s: float | None) -> Root | None:
    """Lay the base of the agreed initial model beside the evidence.

    Returns:
        its root; None where there is none, or where evidence has another recipe than the agreed
        one. For another recipe or initial model nothing is fetched: the checks say so.
    """
    base = None
    try:
        if (base := (recipe := agreed_recipe(evidence, chain_record)).base) is not None:
            check_initial(evidence, chain_record, recipe)
    except (Refuted, InputRefused):
        return base
    except UNREADABLE as fault:
        raise _Withheld(f"the evidence cannot be checked: {type(fault).__name__}", lasting=True) from None
    try:
        bases.lay(JobFolder(evidence.folder), base, replace(limits_of.BASE, seconds=limit_s), is_offered=True)
    except StoreUnreachable:
        raise
    except (AccessRefused, ClaimMismatch, DigestMismatch, InputRefused) as error:
        raise _Withheld(error.message, lasting=True) from None
    except (NotFound, StoreUnusable) as error:
        raise _Withheld(error.message, lasting=False) from None
    except UNREADABLE as fault:
        raise _Withheld(f"the base of the model cannot be read: {type(fault).__name__}", lasting=True) from None
    return base


def _delivery_problems(folder: Path, chain_record: ChainRecord, base: Root | None) -> list[Problem]:
    """What is wrong with the delivery, where this audit opens it."""
    delivery = folder / DELIVERY
    if not chain_record.opens_delivery:
        return []
    try:
        problem = check_delivery(delivery / MODEL, chain_record, base) or check_delivered_graph(
            delivery / GRAPH, chain_record
        )
    except UNREADABLE as fault:
        problem = Problem(None, f"the delivered model cannot be read: {type(fault).__name__}")
    return [problem] if problem else []


def _differences(audited: tuple[SegmentAudited, ...], problems: tuple[Problem, ...]) -> list[Problem]:
    """What the replay found, in segments of which nothing is said yet."""
    named = {problem.segment for problem in problems}
    return [Problem(each.index, each.difference) for each in audited if not each.equal and each.index not in named]


def _fetch_evidence(
    store: Store, cid: Cid, identity: str, chain_record: ChainRecord, folder: Path, limit_s: float | None
) -> Evidence:
    """Fetch, open and read the evidence; nothing of it is checked yet."""
    limits = replace(limits_of.EVIDENCE, seconds=limit_s)
    _fetch(store, cid, folder, files_of(chain_record.audited), identity, limits)
    try:
        return Evidence.read(folder, len(chain_record.leaves))
    except (InputRefused, NotFound) as error:
        raise _Withheld(f"the evidence cannot be read: {error.message}", lasting=True) from None
    except UNREADABLE as fault:
        raise _Withheld(f"the evidence cannot be read: {type(fault).__name__}", lasting=True) from None


def _fetch_delivery(
    store: Store, evidence: Evidence, chain_record: ChainRecord, folder: Path, limit_s: float | None
) -> None:
    """Fetch the delivery and open it with the job's identity."""
    if chain_record.delivery is None:
        raise _Withheld("the chain names no delivery that can be fetched", lasting=True)
    if evidence.identity is None:
        raise _Withheld("the evidence has no identity that opens the delivery", lasting=True)
    limits = replace(limits_of.DELIVERY, seconds=limit_s)
    _fetch(store, chain_record.delivery, folder, DELIVERY_FILES, evidence.identity, limits)


def _fetch(store: Store, cid: Cid, folder: Path, names: tuple[str, ...], identity: str, limits: FolderLimits) -> None:
    try:
        fetch_folder(store, cid, folder, names, identity, limits)
    except StoreUnreachable:
        raise
    except (AccessRefused, DigestMismatch, InputRefused) as error:
        raise _Withheld(error.message, lasting=True) from None
    except (NotFound, StoreUnusable) as error:
        raise _Withheld(error.message, lasting=False) from None
    except UNREADABLE as fault:
        raise _Withheld(f"the folder {cid} cannot be read: {type(fault).__name__}", lasting=False) from None


def _check(evidence: Evidence, chain_record: ChainRecord) -> Checked:
    """Check the evidence; what is larger than any audit looks at, nobody can replay."""
    try:
        return check(evidence, chain_record)
    except Unusable as error:
        raise _Withheld(error.message, lasting=True) from None
    except UNREADABLE as fault:
        raise _Withheld(f"the evidence cannot be checked: {type(fault).__name__}", lasting=True) from None


def _replay(
    evidence: Evidence,
    chain_record: ChainRecord,
    checked: Checked,
    on_event: Emit | None,
    launcher: Launcher,
) -> tuple[SegmentAudited, ...]:
    """Replay the segments that can be replayed."""
    if not (segments := checked.replayable):
        return ()
    recipe = Recipe.parse(read_at_most(evidence.folder / RECIPE, RECIPE_BYTES))
    environment.check(recipe.environment, environment.host_cache())
    try:
        context = Context(chain_record.ctx, chain_record.seed)
        replayed = (evidence.folder, context, segments, on_event, chain_record.work, launcher)
        return audit(*replayed, has_reference=checked.has_reference)
    # An offer that no worker takes, or of other work than who joined could know: no verifier has to
    # replay it.
    except (ClaimMismatch, InputRefused) as error:
        raise _Withheld(f"what was agreed on cannot be trained: {error.message}", lasting=True) from None
