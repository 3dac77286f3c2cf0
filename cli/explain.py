"""`fitchain proof explain`: where two sides of an audit part, down to a segment, a step and a tensor.

Each side trains the segments in question again and keeps what every tensor's digest was after each step. These moments show no number
of a model or a record: one side writes them into a file, the other compares. An owner has its training; a verifier has the evidence
as long as its audit is not over.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fitchain.pod.proof.audit.diagnosis import Disagreement, StateDigests, first_disagreement, read_state_digests
from fitchain.pod.values.errors import InputRefused, NotFound
from fitchain.pod.values.ids import AgreementId

if TYPE_CHECKING:
    from fitchain.pod.jobs.home import Home

Tell = Callable[[dict[str, Any]], None]


def state_digests_of(home: Home, id: AgreementId, segments: Sequence[int], tell: Tell) -> tuple[StateDigests, ...]:
    """Train segments of a job again from what this home has of it.

    Args:
        home: the owner's or a seated verifier's, opened with its key.
        id: the agreement.
        segments: which; none: those that the challenge drew.
        tell: told the worker's events.

    Raises:
        NotFound: this home has neither the training nor the evidence, or the job has no such segment.
        FitchainError: it cannot be trained again here, or what is here is not what the chain says.
    """
    from fitchain.pod.compute.checkpoint import LEAVES
    from fitchain.pod.parties.verifier.pod import SEAT

    audit, folder = home.audits.read(id), home.settings.home / "jobs" / str(id)
    drawn = _drawn(home, id)
    wanted = tuple(segments) or drawn
    if not wanted:
        raise NotFound(f"the audit of {id.short} has drawn nothing yet", "name segments with --segment")
    if (folder / LEAVES).exists():
        return _of_training(home, id, wanted, tell)
    if (folder / SEAT).exists() and audit.phase:
        for segment in wanted:
            if segment not in drawn:
                raise NotFound(
                    f"the evidence of {id.short} has no segment {segment}",
                    f"it has {', '.join(map(str, drawn))}",
                )
        return _of_evidence(home, id, wanted, tell)
    raise NotFound(
        f"this home has neither the training of {id.short} nor evidence of it",
        "run it in the owner's home, or in a verifier's while its audit is not over",
    )


def compare(mine: Iterable[StateDigests], path: Path) -> Disagreement | None:
    """Where the other side's file parts from these moments; None where they agree in all that both hold.

    Raises:
        InputRefused: the two have no moment in common.
    """
    mine, theirs = tuple(mine), read_state_digests(path)
    places = [{(moment.segment, moment.step) for moment in moments} for moments in (mine, theirs)]
    if not places[0] & places[1]:
        raise InputRefused(f"{path.name} has no moment that this side has", "name the same segments with --segment")
    return first_disagreement(mine, theirs)


def write_state_digests(path: Path, moments: Iterable[StateDigests]) -> None:
    """Write moments into a new file for the other side.

    Raises:
        InputRefused: there is a file of that name, or it cannot be written.
    """
    try:
        with path.open("xb") as file:
            file.writelines(moment.to_line() for moment in moments)
    except OSError as error:
        raise InputRefused(f"{path} cannot be written: {error.strerror}", "choose another file") from None


def kept_ends(home: Home, id: AgreementId, segments: Iterable[int]) -> tuple[StateDigests, ...]:
    """The states that an owner kept at the ends of segments, as moments; of a home without any: none."""
    from fitchain.pod.compute.checkpoint import LEAVES, read_leaves, read_state
    from fitchain.pod.compute.checkpoint.files import state_path

    folder = home.settings.home / "jobs" / str(id)
    if not (folder / LEAVES).exists():
        return ()
    leaves, found = read_leaves(folder), []
    for segment in segments:
        if segment + 1 < len(leaves):
            step = leaves[segment + 1].leaf.step
            if state_path(folder, step).exists():
                found.append(StateDigests.of(segment, step, read_state(folder, step)))
    return tuple(found)


def _drawn(home: Home, id: AgreementId) -> tuple[int, ...]:
    from fitchain.cli.views.audits import segments_of

    audit = home.audits.read(id)
    job, proof = home.agreements.read(id), home.agreements.proof(id)
    if proof.end_block is None:
        raise NotFound(f"the training of {id.short} has not ended", f"see `fitchain job show {id.short}`")
    return tuple(segments_of(audit, proof.count, job.terms.audit.segments, job.diverged))


def _of_training(home: Home, id: AgreementId, segments: Sequence[int], tell: Tell) -> tuple[StateDigests, ...]:
    from fitchain.pod.jobs.worker import Task, explain
    from fitchain.pod.parties.owner.replay import link_training
    from fitchain.pod.parties.owner.run import prepare

    proof, folder = home.agreements.proof(id), home.job_folder(id)
    for segment in segments:
        if not 0 <= segment < proof.count:
            raise NotFound(f"the job {id.short} has no segment {segment}", f"it has 0 to {proof.count - 1}")
    with tempfile.TemporaryDirectory(dir=folder, prefix=".replay-") as scratch:
        place = Path(scratch)
        link_training(folder, place)
        prepare(home, id, proof, place)
        return explain(place, Task.read(place), segments, tell)


def _of_evidence(home: Home, id: AgreementId, segments: Sequence[int], tell: Tell) -> tuple[StateDigests, ...]:
    from fitchain.pod.jobs.exchange import fetch_folder
    from fitchain.pod.jobs.worker import Task, explain
    from fitchain.pod.parties.verifier.pod import SEAT
    from fitchain.pod.proof.audit.chain_record import read_facts
    from fitchain.pod.proof.audit.checking import check
    from fitchain.pod.proof.audit.evidence import FOLDER_BYTES, Evidence, files_of
    from fitchain.pod.values.errors import ClaimMismatch

    audit, folder = home.audits.read(id), home.job_folder(id)
    if (cid := home.audits.evidence(audit)) is None:
        raise NotFound(f"the audit of {id.short} has no evidence in this round", "wait until its owner has shown it")
    facts = read_facts(home.chain, id, audit.seed, audit.round)
    home.add_peer(home.agreements.terms(id).owner)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".audit-") as scratch:
        place = Path(scratch) / "evidence"
        fetch_folder(home.store, cid, place, files_of(facts.audited), home.read_secret(folder / SEAT), FOLDER_BYTES)
        spoilt = {problem.segment: problem for problem in check(Evidence.read(place), facts)}
        for segment in (None, *segments):
            if segment in spoilt:
                raise ClaimMismatch(f"the evidence itself does not hold: {spoilt[segment]}")
        task = Task("audit", facts.ctx, facts.seed, bytes(32))
        return explain(place, replace(task, segments=tuple(segments)), segments, tell)
