"""Fidelity: whether a graph computes what the module does, tried and not believed.

A trace sees one call. Gradients of a module's own (`autograd.Function`, hooks), draws of `random`
or NumPy, counters in lists and globals leave no trace in it, and something else would be trained
under a certificate. So the module runs some steps before it is traced (`witness`), and its graph
runs the same ones afterwards, from equal weights, inputs and seeds (`trial`): outputs, gradients
and buffers are equal bit for bit, or the module is refused.

What is equal on these numbers may be computed otherwise, and part on others: a hook that clips a
gradient at 1e25. So the operators of both are compared, too (`dataflow`).

All of this is watched, and a module might tell: by torch's stacks of modes, or a `forward` that was
exchanged. And what it keeps of its first call, or of an evaluation, it may have kept of the trial.
So both run once more with nothing about them, the module as a copy that was never called, and are
compared by their numbers.

What remains unseen: an address, or a size of the batch that no trial has, by which a module
branches where it is not traced; and one that means to deceive and knows this text: it can tell that
it is watched by what it is called from, and be another on numbers that no trial has.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Set
from typing import NoReturn

from fitchain.pod.compute.environment.classes import NATIVE
from fitchain.pod.compute.model.dataflow import Flow
from fitchain.pod.compute.model.looks import Look
from fitchain.pod.compute.model.lowering import at
from fitchain.pod.compute.model.program import Program
from fitchain.pod.compute.model.restored import as_in_a_job
from fitchain.pod.compute.model.torch_output import Location, location_of
from fitchain.pod.compute.model.trial import OUTPUT, Batch, Call, Subject, watched_call
from fitchain.pod.compute.model.witness import Witness, unwatched_calls
from fitchain.pod.values.errors import FitchainError, InputRefused
from fitchain.pod.values.graph import Graph
from fitchain.pod.values.state import TensorBytes

NOT_BY_ROWS = "is not laid out row by row"
CAUSE_HINTS: Mapping[str, str] = {
    NOT_BY_ROWS: "lay it out anew before: tensor.data = tensor.data.contiguous()",
    "CheckpointFunction": "give torch.utils.checkpoint use_reentrant=False, or leave it out",
}
"""What to do about causes, by words of theirs."""
HINT = (
    "compute it with operators whose gradients torch knows, whatever the values and the size of a batch are, and keep"
    " nothing outside parameters and buffers"
)


def require_fidelity(
    graph: Graph, tensors: Mapping[str, TensorBytes], witness: Witness, answered: Set[Look] = frozenset()
) -> None:
    """Run a graph through the steps that its module went through.

    Args:
        graph, tensors: as they were written down.
        witness: what the module did.
        answered: where the trace learnt a value, too, and decided nothing by it.

    Raises:
        InputRefused: it does something else; the message names what differs first and, where that
            is known, what no graph can say.
    """
    program = Program(graph, tensors, NATIVE)
    subject = Subject.by_program(program, witness.written)
    compared = list[tuple[str, Call, Call]]()
    with as_in_a_job():
        for batch, run in zip(witness.batches.steps(), witness.runs, strict=True):
            replayed = watched_call(subject, batch)
            assert replayed is not None  # a program gives a tensor
            compared.append((batch.where, run, replayed))
            _require_equal(*compared[-1], witness)
        for batch, odd_run in zip(witness.batches.odd(), witness.odd, strict=True):
            if odd_run is not None and (odd_replay := _odd_replay(subject, batch)) is not None:
                compared.append((batch.where, odd_run, odd_replay))
                _require_equal(*compared[-1], witness)
    if witness.changing:
        cause = witness.changing[0]
        raise InputRefused(at(witness.causes[cause], f"{cause}, which no graph can say"), HINT)
    for _, run, replayed in compared:
        _require_one_flow(run.flow, replayed.flow, witness)
    for line, function in sorted(witness.deciding - answered, key=str):
        raise InputRefused(
            at(location_of(line), f"forward learns a tensor's values here ({function}), and its trace does not"),
            "compute both cases and choose with torch.where; do not ask whether the module is being traced",
        )
    program.load(tensors)
    _require_equal_unwatched(subject, witness)


def _odd_replay(subject: Subject, batch: Batch) -> Call | None:
    """What a program does in an odd call; None where it says that it cannot, which is no other
    result."""
    with subject.restored(), contextlib.suppress(FitchainError, RuntimeError):
        return watched_call(subject, batch)
    return None


def _require_equal_unwatched(subject: Subject, witness: Witness) -> None:
    with as_in_a_job():
        replayed = unwatched_calls(subject, witness.batches)
    larger = [f"of {size} records" for size in witness.batches.larger_sizes()]
    places = [*[""] * (len(replayed) - len(larger)), *larger]
    for where, run, replay in zip(places, witness.unwatched, replayed, strict=True):
        if run is None or replay is None:
            continue
        for name, digest in run.items():
            if replay.get(name, digest) != digest:
                if where:
                    raise InputRefused(
                        f"the module computes {name} {where} otherwise than its graph, which is traced with fewer",
                        "do not branch on the size of a batch, by its type or as a text either",
                    )
                raise InputRefused(
                    f"the module computes {name} otherwise where it is not watched, or was never called,"
                    " and its graph is what it was while it was",
                    "keep nothing of a first call, or of an evaluation, that follows from its numbers; do not ask"
                    " whether a run is watched: for torch's modes, say, or whether forward is exchanged",
                )


def _require_equal(where: str, run: Call, replayed: Call, witness: Witness) -> None:
    for name, digest in run.values.items():
        if name in replayed.values and replayed.values[name] != digest:
            step = run.flow.difference(replayed.flow, name) if name in run.flow.digests else None
            sentence = f"the graph computes {name} {where} otherwise than the module"
            _refuse(sentence, name, witness, location_of(step.line) if step else None)


def _require_one_flow(run: Flow, replayed: Flow, witness: Witness) -> None:
    """What is equal may have been computed by other operators, and be other for other numbers.

    A library may write out in a trace what it leaves out in a run, a mask that masks nothing, or
    take another kernel for the same: where already the output is computed by others, as many of
    them change some numbers only.
    """
    is_another = run.digests[OUTPUT] != replayed.digests[OUTPUT]
    for name, digest in run.digests.items():
        if replayed.digests.get(name, digest) == digest:
            continue
        if is_another and run.choices(name) == replayed.choices(name):
            continue
        step = run.difference(replayed, name)
        by = f" by {step.operator}, which the graph does not run" if step else " by other operators than the graph"
        sentence = f"the module computes {name}{by}: they part where numbers are others than those tried"
        _refuse(sentence, name, witness, location_of(step.line) if step else None)


def _refuse(sentence: str, name: str, witness: Witness, location: Location | None = None) -> NoReturn:
    """Name a hook on what differs before any other hook, and hooks before other causes."""
    named = sorted([*witness.changing, *witness.causes], key=lambda cause: not cause.endswith(name))
    cause = named[0] if named else ""
    because = f": {cause}, which no graph can say" if cause else ""
    hint = next((hint for what, hint in CAUSE_HINTS.items() if what in cause), HINT)
    raise InputRefused(at(witness.causes.get(cause) or location, f"{sentence}{because}"), hint)
