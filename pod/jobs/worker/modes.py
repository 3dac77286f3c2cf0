"""What a worker does: train, rehearse, replay, recompute, audit, explain, evaluate, assess,
reopen (torch)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import islice
from typing import Any

import numpy as np

from fitchain.pod.compute.checkpoint import (
    KeptState,
    read_leaves,
    read_state_file,
    replace_last_leaf,
    trim_leaves,
    write_state,
    write_state_file,
)
from fitchain.pod.compute.checkpoint.recorder import Recorded, Recorder, difference, refuse_not_finite
from fitchain.pod.compute.dataset import (
    assemble_inputs,
    assemble_target,
    group_numbers,
    held_out_rows,
    training_rows,
)
from fitchain.pod.compute.dataset.references import ReferenceTraining
from fitchain.pod.compute.evaluation import WrittenOutputs, evaluated, write_outputs
from fitchain.pod.compute.fitting import require_computable, require_fitting
from fitchain.pod.compute.model.program import Program
from fitchain.pod.compute.model.tensors import tensor_bytes
from fitchain.pod.compute.private_training import FAILURES, refuse_lack_of_memory
from fitchain.pod.compute.references import ReferenceRun
from fitchain.pod.compute.risk import Subject
from fitchain.pod.compute.risk import assess as attack
from fitchain.pod.compute.training import Diverged, SegmentMetrics
from fitchain.pod.jobs.worker import events
from fitchain.pod.jobs.worker.events import Emit
from fitchain.pod.jobs.worker.job import Job, Position, log_fault, read_final, rehearsed, write_final
from fitchain.pod.jobs.worker.task import (
    REHEARSED_SEGMENTS,
    Assess,
    Audit,
    Evaluate,
    Explain,
    Recompute,
    Rehearse,
    Reopen,
    Replay,
    Task,
    Train,
)
from fitchain.pod.proof.audit.diagnosis import StateDigests
from fitchain.pod.values.best import delivered_of
from fitchain.pod.values.digest import ZERO, Digest
from fitchain.pod.values.errors import DigestMismatch, InputRefused
from fitchain.pod.values.evaluation import ModelEvaluation
from fitchain.pod.values.held_out import held_out_digest, held_out_salt
from fitchain.pod.values.job_folder import (
    EVALUATION,
    OUTPUTS,
    REFERENCE_LEAVES,
    REFERENCE_STATE,
    STATE_DIGESTS,
    WORKER_RISK_REPORT,
    part_of,
)
from fitchain.pod.values.leaf import (
    Checkpoint,
    Leaf,
    SegmentRecords,
    StateRoots,
    metrics_digest,
    results_word,
    state_word,
    verify_chain,
)
from fitchain.pod.values.risk.references import OpenedReference, ReferenceLeaf
from fitchain.pod.values.state import (
    TensorBytes,
    optimizer_root,
    state_digest,
)

PROGRESS_S = 0.25


def train(
    job: Job[Train | Rehearse],
    emit: Emit,
    check: Callable[[Job[Train | Rehearse], tuple[Checkpoint, ...]], None] = lambda job, checkpoints: None,
) -> None:
    """Train from the newest usable state to the recipe's end, recording every leaf; write the
    trained model.

    Args:
        job: what to train.
        emit: told what happens.
        check: of what was recorded, before the end is told.

    Raises:
        DigestMismatch: what was recorded before comes out differently now.
        Unusable: the folder cannot be written, or memory ran out.
    """
    started = time.monotonic()
    checkpoints, dropped = trim_leaves(job.folder)
    verify_chain([checkpoint.leaf for checkpoint in checkpoints], job.task.ctx, job.task.seed)
    index, position = job.newest(checkpoints, _skipper(emit))
    if checkpoints or dropped:
        emit(events.Resumed(position.step, len(checkpoints), dropped))
    recorder = Recorder(
        *(job.folder, job.task.ctx, job.task.seed, job.recipe, job.task.salt_keys, job.task.keep_every),
        records_salt=job.records_salt,
        recorded=checkpoints,
        first=index + 1 if index else 0,
        on_leaf=lambda recorded: _emit_leaf(emit, recorded),
    )
    try:
        with recorder:
            if index == 0:
                recorder.record(0, position.state, SegmentRecords(), {})
            for at, step, segment in leaves_after(job, index, position, _ticker(emit, job)):
                values, held_out = segment.values(job.recipe.metrics), job.held_out(at, position.program)
                recorder.record(step, position.state, segment.records, values, held_out)
    except Diverged as end:
        _end(job, recorder, end, emit)
        return
    seconds = time.monotonic() - started
    check(job, tuple(recorder.checkpoints))
    _finish(job, recorder.checkpoints, position.program, emit, seconds)


def rehearse(job: Job[Rehearse], emit: Emit) -> None:
    """Compute the loss of all mock data, then train the recipe's first segments on them, as `train`
    would; then the last of these again from the state before it, as after an interruption and in an
    audit.

    Raises:
        InputRefused: a record's loss cannot be computed, or the segment comes out otherwise, so
            that nobody could prove it.
    """
    require_fitting(job.graph, job.recipe)
    everything = job.filled(np.arange(job.table.count, dtype=np.uint64))
    require_computable(job.start().program, job.recipe, everything, job.assemble)
    train(replace(job, recipe=rehearsed(job.recipe, REHEARSED_SEGMENTS)), emit, _require_repeatable)


def _require_repeatable(job: Job[Train | Rehearse], checkpoints: tuple[Checkpoint, ...]) -> None:
    last = len(checkpoints) - 2
    if problem := _replay_one(job, checkpoints, last, lambda event: None, lambda step, reason: None):
        raise InputRefused(
            f"the job does not repeat: trained again from step {checkpoints[last].leaf.step} on, {problem}",
            "a step may depend on parameters, buffers, its records and its seed alone",
        )


def replay(job: Job[Replay], emit: Emit) -> None:
    """Train the ordered segments again, each from the state before it, and compare with its leaf.

    Raises:
        InputRefused: there is no such segment.
        ClaimMismatch: the leaves form no chain.
    """
    checkpoints, wanted = read_leaves(job.folder), job.task.segments
    verify_chain([checkpoint.leaf for checkpoint in checkpoints], job.task.ctx, job.task.seed)
    if not wanted or wanted[-1] > len(checkpoints) - 2:
        raise InputRefused(
            f"the training has {max(len(checkpoints) - 1, 0)} segments, and the task asks for {list(wanted)}"
        )
    verdicts, skipped = [], _skipper(emit)
    for index in wanted:
        problem = _replay_one(job, checkpoints, index, emit, skipped)
        verdicts.append(not problem)
        emit(events.SegmentReplayed(index, checkpoints[index + 1].leaf.step, problem))
    emit(events.ReplayEnded(len(verdicts), all(verdicts)))


def recompute(job: Job[Recompute], emit: Emit) -> None:
    """Train up to the ordered leaves again, from the newest kept states before them, and keep their
    states too.

    Raises:
        InputRefused: there is no such leaf.
        DigestMismatch: a state comes out otherwise than its leaf says.
    """
    checkpoints, skipped = read_leaves(job.folder), _skipper(emit)
    for wanted in job.task.leaves:
        position = _recorded_position(job, wanted, emit, skipped)
        leaf, state = checkpoints[wanted].leaf, _kept(position)
        state.verify(checkpoints[wanted], job.unmoved)
        write_state(job.folder, leaf.step, state, {"ctx": job.task.ctx, "seed": job.task.seed})
        emit(events.StateRecomputed(wanted, leaf.step))
    emit(events.StatesKept(len(job.task.leaves)))


def audit(job: Job[Audit], emit: Emit) -> None:
    """Replay the ordered segments out of evidence; a segment without a leaf at its end must not
    reach it.

    What does not come out is told, not raised. After a segment that ends in a trap none is trained:
    each may end in another, and what was said is wrong already, or over.
    """
    findings, trap = [], job.task.trap
    for index in job.task.segments:
        problem, before = _audit_one(job, index, _ticker(emit, job))
        findings.append(not problem)
        end = min((index + 1) * job.recipe.segment_steps, job.recipe.steps)
        emit(events.SegmentAudited(index, end, problem, before))
        if trap is not None and end > trap.step:
            break
    if job.task.has_reference and trap is None:
        emit(audited := _audit_reference(job, _ticker(emit, job)))
        findings.append(audited.equal)
    emit(events.ReplayEnded(len(findings), all(findings)))


def explain(job: Job[Explain], emit: Emit) -> None:
    """Train the ordered segments again, and write the digests of all tensors after each of their
    steps."""
    part, skipped = part_of(job.folder, STATE_DIGESTS), _skipper(emit)
    with part.open("wb") as file:
        for index in job.task.segments:
            if job.evidence is not None:
                position = job.audited_position(index)
            else:
                position = _recorded_position(job, index, emit, skipped)
            end = min((index + 1) * job.recipe.segment_steps, job.recipe.steps)
            file.write(_state_digests(index, position.step, position))
            try:
                for done in islice(job.go_on(position), end - position.step):
                    file.write(_state_digests(index, done.step, position))
            except Diverged:
                continue  # its last state says after which step
    part.replace(job.folder / STATE_DIGESTS)
    emit(events.Explained(len(job.task.segments)))


def evaluate(job: Job[Evaluate], emit: Emit) -> None:
    """Run a model over the whole table in evaluation mode; write its outputs and, where the table
    has the target, what they are worth.

    Raises:
        NotFound: the model's file is not there.
        InputRefused: the model is not of the graph, or the table does not fit the recipe.
    """
    model = read_final(job.folder, job.recipe)
    program, recipe, table = Program(job.graph, model, job.environment_class), job.recipe, job.table
    inputs = assemble_inputs(recipe, table, job.input_dtypes)
    has_target = recipe.target in table.arrays
    targets = assemble_target(recipe, table) if has_target else None  # a target that does not fit is told at once
    shape, dtype = write_outputs(program, recipe, table.count, inputs, job.task.seed, job.folder / OUTPUTS)
    evaluation = ModelEvaluation(table.count, shape, dtype)
    if targets is not None:
        outputs_N = np.memmap(job.folder / OUTPUTS, np.dtype(dtype).newbyteorder("<"), "r", shape=(table.count, *shape))
        groups = {column: of for column, of in recipe.subgroups.items() if column in table.arrays}
        evaluation = evaluated(evaluation, WrittenOutputs(recipe, outputs_N, targets), group_numbers(table, groups))
    part = part_of(job.folder, EVALUATION)
    part.write_bytes(evaluation.encode())
    part.replace(job.folder / EVALUATION)
    emit(events.Evaluated(table.count))


def assess(job: Job[Assess], emit: Emit) -> None:
    """Attack the trained model, and write what that finds.

    Raises:
        NotFound: the model's file is not there.
        InputRefused: the model is not of the graph.
    """
    started, model = time.monotonic(), read_final(job.folder, job.recipe)
    subject = Subject(
        graph=job.graph,
        recipe=job.recipe,
        environment=job.environment_class,
        initial=job.initial,
        model=model,
        assemble=job.assemble,
        ctx=job.task.ctx,
        seed=job.task.seed,
        members=job.filled(training_rows(job.recipe, job.task.seed)),
        non_members=job.filled(held_out_rows(job.recipe, job.task.seed)),
        salt=job.task.salt,
        delta=job.task.delta,
        opens=job.task.opens,
    )
    report = attack(subject, lambda done, of: emit(events.Progress(done, of)))
    part = part_of(job.folder, WORKER_RISK_REPORT)
    part.write_bytes(report.encode())
    part.replace(job.folder / WORKER_RISK_REPORT)
    emit(events.Assessed(report.summary.references, round(time.monotonic() - started, 3)))


def reopen(job: Job[Reopen], emit: Emit) -> None:
    """Train a reference training again, and write its leaves and the state before a segment."""
    training = ReferenceTraining.of(job.recipe, job.task.seed, job.task.number)
    run = ReferenceRun(training, Program(job.graph, job.initial(), job.environment_class), job.assemble)
    leaves, tick = list[ReferenceLeaf](), _ticker(emit, job)
    with suppress(Diverged):
        for leaf in run.leaves():
            if len(leaves) <= job.task.segment:
                kept = run.kept()
            leaves.append(leaf)
            tick(job.recipe.step_of(len(leaves) - 1))
    write_state_file(job.folder / REFERENCE_STATE, kept, {})
    part = part_of(job.folder, REFERENCE_LEAVES)
    part.write_bytes(b"".join(leaf.encode() for leaf in leaves))
    part.replace(job.folder / REFERENCE_LEAVES)
    emit(events.Reopened(len(leaves)))


MODES: Mapping[str, Callable[[Job[Any], Emit], None]] = {
    Train.mode: train,
    Rehearse.mode: rehearse,
    Replay.mode: replay,
    Recompute.mode: recompute,
    Audit.mode: audit,
    Explain.mode: explain,
    Evaluate.mode: evaluate,
    Assess.mode: assess,
    Reopen.mode: reopen,
}


# Training, leaf by leaf


def leaves_after(
    job: Job[Task], index: int, position: Position, tick: Callable[[int], None]
) -> Iterator[tuple[int, int, SegmentMetrics]]:
    """Train from leaf `index` on and stop at every leaf.

    Args:
        position: where leaf `index` stands; its tensors move.
        tick: called before the first step and after each.

    Yields:
        The next leaf's index, its step, and what its segment did.

    Raises:
        Diverged: the training ends.
    """
    segment = SegmentMetrics()
    tick(position.step)
    for done in job.go_on(position):
        segment.add(done)
        tick(done.step)
        if done.step == job.recipe.step_of(index + 1):
            index += 1
            yield index, done.step, segment
            segment = SegmentMetrics()


def _replay_one(
    job: Job[Task], checkpoints: tuple[Checkpoint, ...], index: int, emit: Emit, skipped: Callable[[int, str], None]
) -> str:
    """Train segment `index` again from the newest kept state before it; leaves on the way are
    compared too.

    Returns:
        The first difference, with both values; empty where the segment comes out equal.
    """
    newest, position = job.newest(checkpoints[: index + 1], skipped)
    try:
        for at, step, segment in leaves_after(job, newest, position, _ticker(emit, job)):
            problem = difference(_checkpoint(job, checkpoints, at, step, segment, position), checkpoints[at])
            if problem and at <= index:
                return f"leaf {at}, on the way to the segment: {problem}"
            if at == index + 1:
                return problem
    except Diverged as end:
        return f"the training ends after step {end.step}: {end.reason}"
    raise InputRefused(f"the recipe ends before leaf {index + 1}")


def _checkpoint(
    job: Job[Task],
    checkpoints: Mapping[int, Checkpoint] | tuple[Checkpoint, ...],
    index: int,
    step: int,
    segment: SegmentMetrics,
    position: Position,
) -> Checkpoint:
    """The checkpoint that a replay comes to, under the salts of the one that it is compared with,
    and beside its risk report, which no segment makes."""
    recorded, metrics = checkpoints[index], segment.values(job.recipe.metrics)
    roots = StateRoots(position.program.root(), optimizer_root(_optimizer_bytes(position)))
    held_out = job.held_out(index, position.program)
    leaf = Leaf(
        index=index,
        step=step,
        state=state_word(roots.digest, recorded.state_salt),
        records=segment.records.digest(job.records_salt(index)),
        metrics=metrics_digest(metrics, recorded.salt),
        held_out=results_word(held_out_digest(held_out, held_out_salt(recorded.salt)), recorded.report),
        previous=checkpoints[index - 1].leaf.digest(job.task.ctx, job.task.seed),
    )
    opening = (roots.model, roots.optimizer, metrics, recorded.salt, recorded.state_salt, held_out, recorded.report)
    return Checkpoint(leaf, *opening)


def _recorded_position(job: Job[Task], wanted: int, emit: Emit, skipped: Callable[[int, str], None]) -> Position:
    """Where a leaf of a recorded training stands, trained again from the newest kept state before
    it.

    Raises:
        InputRefused: there is no such leaf.
        ClaimMismatch: the leaves form no chain.
    """
    checkpoints = read_leaves(job.folder)
    verify_chain([checkpoint.leaf for checkpoint in checkpoints], job.task.ctx, job.task.seed)
    if wanted >= len(checkpoints):
        raise InputRefused(f"the training has {len(checkpoints)} leaves, and the task asks for leaf {wanted}")
    index, position = job.newest(checkpoints[: wanted + 1], skipped)
    for at, step, _ in leaves_after(job, index, position, _ticker(emit, job)) if index < wanted else ():
        if at == wanted:
            return Position(step, position.program, position.optimizer)
    return position


def _kept(position: Position) -> KeptState:
    """The state at a place, as a file keeps it."""
    return KeptState(position.program.moving(), _optimizer_bytes(position))


def _state_digests(segment: int, step: int, position: Position) -> bytes:
    return StateDigests.of(segment, step, _kept(position)).to_line()


def _optimizer_bytes(position: Position) -> dict[str, TensorBytes]:
    return {name: tensor_bytes("optimizer", tensor) for name, tensor in position.state.optimizer.items()}


# Auditing


def _audit_one(job: Job[Task], index: int, tick: Callable[[int], None]) -> tuple[str, Digest]:
    """Replay one segment out of evidence. Whatever fails in it, but for want of memory or disk,
    follows from the state that its owner keeps, on every host alike, and is a difference.

    Returns:
        The first difference, empty where there is none; and the digest of the state before the
        segment's last step, zero where the segment cannot be replayed.
    """
    assert job.evidence is not None
    leaves = {at: opened.checkpoint for at, opened in job.evidence.leaves.items()}
    # After the last leaf of a run that diverged there is no leaf to compare with: what was said is
    # that the steps do not come to their end.
    ends = index + 1 not in leaves
    end = min((index + 1) * job.recipe.segment_steps, job.recipe.steps)
    try:
        position = job.audited_position(index)
    except FAILURES as fault:  # a state whose tensors are not the graph's: its leaf names it all the same
        return f"the state does not fit the graph: {_reason_of(fault)}", ZERO
    segment, before = SegmentMetrics(), ZERO
    try:
        steps = job.go_on(position)
        tick(position.step)
        for at in range(position.step, end):
            if at == end - 1:
                before = _state_digest(position)
            segment.add(next(steps))
            tick(at + 1)
        refuse_not_finite(position.program.moving(), end)
        if ends:
            return f"the training goes on to step {end}, and was said to end before", before
        return difference(_checkpoint(job, leaves, index + 1, end, segment, position), leaves[index + 1]), before
    except Diverged as over:
        problem = "" if ends else f"the training ends after step {over.step}: {over.reason}"
        return problem, before if before != ZERO else _state_after(job, index, over.step)
    except FAILURES as fault:  # where no training of an agreed job ends
        return f"the state cannot be trained: {_reason_of(fault)}", before


def _reason_of(fault: Exception) -> str:
    """Why a replay breaks off, without a number from the data; what nobody foresaw, by its kind.

    Raises:
        Unusable: memory ran out.
    """
    refuse_lack_of_memory(fault)
    if isinstance(fault, InputRefused):
        return fault.message
    log_fault(fault)
    return type(fault).__name__


def _state_after(job: Job[Task], index: int, step: int) -> Digest:
    """The state before a step that failed: trained again, since the failing step may have moved a
    buffer."""
    position = job.audited_position(index)
    for _ in islice(job.go_on(position), step - position.step):
        pass
    return _state_digest(position)


def _audit_reference(job: Job[Audit], tick: Callable[[int], None]) -> events.SegmentAudited:
    """Replay the segment of a reference training that the evidence opens."""
    assert job.evidence is not None
    opened = job.evidence.reference
    assert opened is not None
    start = opened.segment * job.recipe.segment_steps
    end = min(start + job.recipe.segment_steps, job.recipe.steps)
    try:
        problem, before = _replay_reference(job, opened, range(start, end), tick)
    except FAILURES as fault:  # as of a state of the training itself
        problem, before = f"the state does not fit the graph: {_reason_of(fault)}", ZERO
    return events.SegmentAudited(opened.segment, end, problem, before, opened.number)


def _replay_reference(
    job: Job[Audit], opened: OpenedReference, steps: range, tick: Callable[[int], None]
) -> tuple[str, Digest]:
    """The first difference, and the state before the last step, as of `_audit_one`."""
    run, records, before = _reference_run(job, opened), SegmentRecords(), ZERO
    try:
        trained = run.steps()
        for at in steps:
            before = run.roots.digest if at == steps[-1] else before
            records.add(run.training.taken(next(trained).indices))
            tick(at + 1)
        refuse_not_finite(run.program.moving(), steps.stop)
    except Diverged as over:
        problem = "" if opened.ends else f"the training ends after step {over.step}: {over.reason}"
        if before == ZERO:
            again = _reference_run(job, opened)
            for _ in islice(again.steps(), over.step - steps.start):
                pass
            before = again.roots.digest
        return problem, before
    if opened.ends:
        return f"the training goes on to step {steps.stop}, and was said to end before", before
    mine, theirs = run.leaf(records), opened.leaves[1].leaf
    for words, own, recorded in (
        ("model root", mine.model, theirs.model),
        ("optimizer root", mine.optimizer, theirs.optimizer),
        ("records", mine.records, theirs.records),
    ):
        if own != recorded:
            return f"{words} {own}, not {recorded}", before
    return "", before


def _reference_run(job: Job[Audit], opened: OpenedReference) -> ReferenceRun:
    """Where the opened segment of a reference training begins."""
    assert job.evidence is not None
    training = ReferenceTraining.of(job.recipe, job.task.seed, opened.number)
    state = read_state_file(job.evidence.reference_file) if opened.segment else None
    program = job.program_of(job.initial() if state is None else job.whole(state))
    initial = None if state is None or job.recipe.proximal is None else job.initial()
    return ReferenceRun(training, program, job.assemble, opened.segment, state, initial)


def _state_digest(position: Position) -> Digest:
    return state_digest(position.program.root(), optimizer_root(_optimizer_bytes(position)))


# Endings


def _finish(job: Job[Task], checkpoints: Sequence[Checkpoint], program: Program, emit: Emit, seconds: float) -> None:
    """Write the model that is delivered, the last leaf's or the best by the recipe's rule, and tell
    its names."""
    last = checkpoints[-1].leaf
    if (delivered := delivered_of(job.recipe, checkpoints)) != last.index:
        program = _recorded_position(job, delivered, emit, _skipper(emit)).program
    file = _write_model(job, program)
    emit(events.Finished(last.step, last.index + 1, checkpoints[delivered].model, file, round(seconds, 3)))


def _end(job: Job[Train | Rehearse], recorder: Recorder, end: Diverged, emit: Emit) -> None:
    """Write the model of the last finite leaf and tell where the training ended.

    That leaf was recorded as one of many, its state salted, and is the last now: it is written anew
    with the state digest itself. No leaf names it, and no group that it ends has been anchored,
    since the owner anchors a group once the next leaf, or the end, is there.

    Raises:
        DigestMismatch: leaves beyond that one were recorded before.
    """
    if recorder.count < len(recorder.checkpoints):
        raise DigestMismatch(
            f"the training ends at leaf {recorder.count - 1} ({end}),"
            f" and {len(recorder.checkpoints)} leaves were recorded before",
            "the host, its torch or the job's files changed since: nothing more can be recorded on top of these leaves",
        )
    # What is delivered is the last leaf's model, and the one in memory has moved on from it.
    last = recorder.checkpoints[-1]
    index, position = job.newest(tuple(recorder.checkpoints), lambda step, reason: None)
    for at, _, _ in leaves_after(job, index, position, lambda step: None) if index < last.leaf.index else ():
        if at == last.leaf.index:
            break
    file = _write_model(job, position.program)
    if last.state_salt is not None:
        last = last.unsalted()
        names = {"ctx": job.task.ctx, "seed": job.task.seed}
        write_state(job.folder, last.leaf.step, _kept(position), names)  # the last is kept, whichever else are
        replace_last_leaf(job.folder, last)
    detail = end.detail if isinstance(job.task, Rehearse) else ""  # it may show a number from the data
    reason = f"{end.reason} ({detail})" if detail else end.reason
    emit(events.Diverged(last.leaf.step, last.leaf.index, last.model, file, end.step, reason))


def _write_model(job: Job[Task], program: Program) -> Digest:
    """Write the model's canonical file; the SHA-256 of its bytes."""
    return write_final(job.folder, program.tensors(), job.recipe)


# Progress


def _emit_leaf(emit: Emit, recorded: Recorded) -> None:
    if recorded.new:
        leaf = recorded.checkpoint.leaf
        metrics = dict(recorded.checkpoint.metrics)
        emit(events.LeafRecorded(leaf.index, leaf.step, recorded.digest, metrics, recorded.kept))


def _skipper(emit: Emit) -> Callable[[int, str], None]:
    """Tells of each kept state that is not used, once: a replay comes to the same one with every
    segment."""
    skipped: set[int] = set()

    def skip(step: int, reason: str) -> None:
        if step not in skipped:
            skipped.add(step)
            emit(events.Skipped(step, reason))

    return skip


def _ticker(emit: Emit, job: Job[Task], end: int | None = None) -> Callable[[int], None]:
    """Tells of progress: a few times a second, or of every step.

    Args:
        end: which number is the last; None takes the recipe's last step.
    """
    emitted_at, pause_s = time.monotonic(), 0.0 if job.task.tells_steps else PROGRESS_S

    def tick(step: int) -> None:
        nonlocal emitted_at
        if (now := time.monotonic()) - emitted_at >= pause_s:
            emitted_at = now
            emit(events.Progress(step, job.recipe.steps if end is None else end))

    return tick
