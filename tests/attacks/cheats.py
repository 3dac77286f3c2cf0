"""Cheating owners: what an owner may do to an honest job before its leaves go to the chain, and to
its evidence before it is sealed.

Each cheat of a job takes the folder of an honest training and leaves it consistent: the states that
it keeps are those that its leaves name, its leaves form one chain, its model is that of the last
leaf. So no comparison of the owner's own files finds it; only the check that is meant for it does.
A cheat of evidence takes the folder of plain evidence.
"""

from __future__ import annotations

import json
import shutil
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast
from unittest.mock import patch

import numpy as np

from fitchain.pod.compute.checkpoint import KeptState, append_leaf, read_leaves, read_state, write_state
from fitchain.pod.compute.dataset import Opening, Table, batches, held_out_rows
from fitchain.pod.jobs.worker.task import Train, read_task
from fitchain.pod.proof.audit.records import OpenedRecords, write_opened
from fitchain.pod.values.delta import ModelFile, inventory_of
from fitchain.pod.values.digest import ZERO, Digest, Root, canonical_json, sha256
from fitchain.pod.values.graph import Graph
from fitchain.pod.values.held_out import Classes, HeldOut, held_out_digest, held_out_salt
from fitchain.pod.values.job_folder import EVIDENCE, LEAVES, OFFER_FILES
from fitchain.pod.values.job_folder import EVIDENCE_RECORDS as RECORDS
from fitchain.pod.values.leaf import Checkpoint, Indices, StateRoots, metrics_digest, state_word
from fitchain.pod.values.recipe import Recipe
from fitchain.pod.values.state import (
    TensorBytes,
    Tensors,
    model_root,
    optimizer_root,
    read_safetensors,
    write_safetensors,
)
from tests.audits import work_here
from tests.training_jobs import train_folder

FINAL = "run/final.safetensors"
Work = Callable[[Path], object]
"""Does what the task in a folder says: a worker."""

Change = Callable[[str, TensorBytes], TensorBytes]


# What cheats are made of


def state_at(folder: Path, index: int) -> KeptState:
    """The state at a leaf, with what no training moves."""
    initial = read_safetensors(folder / "initial.safetensors")[0]
    if index == 0:
        return KeptState(initial, {})
    state = read_state(folder, read_leaves(folder)[index].leaf.step)
    return replace(state, model={**initial, **state.model})


def put_state(folder: Path, index: int, state: KeptState) -> None:
    """Let leaf `index` be of another whole state; links and the trained model are brought up to
    date by `relink`."""
    checkpoints = list(read_leaves(folder))
    checkpoints[index] = of_state(checkpoints[index], model_root(state.model), optimizer_root(state.optimizer))
    frozen = Graph.parse((folder / "graph.json").read_bytes()).frozen
    moving = {name: tensor for name, tensor in state.model.items() if name not in frozen}
    write_state(folder, checkpoints[index].leaf.step, replace(state, model=moving), {})
    relink(folder, checkpoints)


def of_state(checkpoint: Checkpoint, model: Root, optimizer: Root) -> Checkpoint:
    """A checkpoint whose leaf is of another state, under the salt that it had."""
    word = state_word(StateRoots(model, optimizer).digest, checkpoint.state_salt)
    return replace(checkpoint, leaf=replace(checkpoint.leaf, state=word), model=model, optimizer=optimizer)


def put_metrics(folder: Path, index: int, metrics: dict[str, float]) -> None:
    """Let leaf `index` tell other metrics."""
    checkpoints = list(read_leaves(folder))
    old = checkpoints[index]
    leaf = replace(old.leaf, metrics=metrics_digest(metrics, old.salt))
    checkpoints[index] = replace(old, leaf=leaf, metrics=metrics)
    relink(folder, checkpoints)


def put_records(folder: Path, digests: Sequence[Digest]) -> None:
    """Let the leaves be of other records."""
    found = zip(read_leaves(folder), digests, strict=True)
    relink(folder, [replace(each, leaf=replace(each.leaf, records=digest)) for each, digest in found])


def relink(folder: Path, checkpoints: Sequence[Checkpoint]) -> None:
    """Write leaves anew so that each names the one before it, and the trained model of the last."""
    context, previous = read_task(folder).context, ZERO
    (folder / LEAVES).unlink()
    for checkpoint in checkpoints:
        leaf = replace(checkpoint.leaf, previous=previous)
        append_leaf(folder, replace(checkpoint, leaf=leaf))
        previous = leaf.digest(context.ctx, context.seed)
    model = dict(state_at(folder, len(checkpoints) - 1).model)
    write_safetensors(folder / FINAL, model)


def trained_again(
    folder: Path,
    work: Work,
    *,
    recipe: Recipe | None = None,
    seed: Digest | None = None,
    records: Table | None = None,
) -> Path:
    """Train the job again beside it, with something changed; where that lies."""
    place = folder.with_name(f"{folder.name}-again")
    place.mkdir()
    for name in (*OFFER_FILES, "records.npz"):
        shutil.copyfile(folder / name, place / name)
    task = read_task(folder)
    assert isinstance(task, Train)
    context = replace(task.context, seed=seed or task.seed)
    replace(task, context=context, keep_every=1).write(place)
    if recipe is not None:
        (place / "recipe.json").write_bytes(recipe.encode())
    if records is not None:
        records.write_npz(place / "records.npz")
    work(place)
    return place


def take_over(folder: Path, other: Path) -> None:
    """Let the job's leaves be of another training's states and metrics; it has the same number of
    leaves."""
    for index, checkpoint in enumerate(read_leaves(other)):
        if index > 0:
            put_state(folder, index, state_at(other, index))
            put_metrics(folder, index, dict(checkpoint.metrics))


def changed(tensors: Tensors, change: Change) -> dict[str, TensorBytes]:
    """Tensors with a change made to each."""
    return {name: change(name, tensor) for name, tensor in tensors.items()}


def numbers(tensor: TensorBytes) -> np.ndarray:
    """A float32 tensor's numbers."""
    return np.frombuffer(tensor.data, "<f4").reshape(tensor.shape)


def of_numbers(tensor: TensorBytes, values: np.ndarray) -> TensorBytes:
    """The tensor with other numbers."""
    return replace(tensor, data=memoryview(np.ascontiguousarray(values, "<f4").tobytes()))


def only(wanted: str, change: Callable[[np.ndarray], np.ndarray]) -> Change:
    """Changes the float32 tensors whose names end so."""

    def apply(name: str, tensor: TensorBytes) -> TensorBytes:
        return of_numbers(tensor, change(numbers(tensor))) if name.endswith(wanted) else tensor

    return apply


# Cheats of a job


def another_order(folder: Path, work: Work = train_folder) -> None:
    """Train in an order of the owner's liking, and say so in the leaves."""
    other = trained_again(folder, work, seed=sha256(b"a better order"))
    take_over(folder, other)
    put_records(folder, [checkpoint.leaf.records for checkpoint in read_leaves(other)])


def another_order_denied(folder: Path, work: Work = train_folder) -> None:
    """Train in an order of the owner's liking, and name the records of the agreed one."""
    take_over(folder, trained_again(folder, work, seed=sha256(b"a better order")))


def other_data(folder: Path, records: Table, work: Work = train_folder) -> None:
    """Train on other records than the registered ones."""
    take_over(folder, trained_again(folder, work, records=records))


def other_learning_rate(folder: Path, rate: float, work: Work = train_folder) -> None:
    """Train with another learning rate than was agreed."""
    recipe = Recipe.parse((folder / "recipe.json").read_bytes())
    take_over(folder, trained_again(folder, work, recipe=replace(recipe, learning_rates=((recipe.steps, rate),))))


def repeated_segment(folder: Path, index: int) -> None:
    """Show the state of leaf `index` again at the next leaf, and be one segment late from
    there on."""
    states = [state_at(folder, at) for at in range(len(read_leaves(folder)))]
    for at in range(index + 1, len(states)):
        put_state(folder, at, states[at - 1])


def interpolated(folder: Path) -> None:
    """Keep the first and the last state, and let those between lie on a line between the two."""
    count = len(read_leaves(folder))
    first, last = state_at(folder, 0), state_at(folder, count - 1)
    for at in range(1, count - 1):
        share = np.float32(at / (count - 1))

        def between(name: str, tensor: TensorBytes, share: np.float32 = share) -> TensorBytes:
            if tensor.dtype != "F32":
                return tensor
            start = numbers(first.model[name])
            return of_numbers(tensor, start + share * (numbers(tensor) - start))

        put_state(folder, at, KeptState(changed(last.model, between), last.optimizer))


def untrained(folder: Path) -> None:
    """Train nothing: show the agreed initial model at every leaf, with the metrics that a training
    might have had."""
    for at in range(1, len(read_leaves(folder))):
        put_state(folder, at, state_at(folder, 0))


def fewer_steps(folder: Path, index: int) -> None:
    """Stop at leaf `index`, and show its state at every later leaf."""
    for at in range(index + 1, len(read_leaves(folder))):
        put_state(folder, at, state_at(folder, index))


def stopped_early(folder: Path, index: int) -> None:
    """Stop at leaf `index`, and say that the training diverged there."""
    *before, last = read_leaves(folder)[: index + 1]
    relink(folder, [*before, last.unsalted()])


def tampered_state(folder: Path, index: int, wanted: str = "first.weight") -> None:
    """Add a little to the weights at a leaf."""
    state = state_at(folder, index)
    put_state(folder, index, replace(state, model=changed(state.model, only(wanted, lambda w: w + np.float32(1e-6)))))


def other_buffer(folder: Path, index: int) -> None:
    """Change a buffer at a leaf."""
    tampered_state(folder, index, "norm.running_mean")


def other_optimizer(folder: Path, index: int) -> None:
    """Change the optimizer's momentum at a leaf, and nothing of the model."""
    state = state_at(folder, index)
    optimizer = changed(state.optimizer, only("/exp_avg", lambda moment: moment * np.float32(2)))
    put_state(folder, index, replace(state, optimizer=optimizer))


def misshapen_optimizer(folder: Path, index: int) -> None:
    """Keep optimizer tensors that are smaller than their parameters: a fused kernel would read
    beyond them."""
    state = state_at(folder, index)
    small = TensorBytes("optimizer", "F32", (1,), memoryview(bytes(4)))
    optimizer = {name: small if name.endswith("/exp_avg") else tensor for name, tensor in state.optimizer.items()}
    put_state(folder, index, replace(state, optimizer=optimizer))


def miscounted_optimizer(folder: Path, index: int) -> None:
    """Keep a count of steps below 0, of which Adafactor takes a root: a replay would crash."""
    state = state_at(folder, index)
    count = TensorBytes("optimizer", "F32", (), memoryview(struct.pack("<f", -5.0)))
    optimizer = {name: count if name.endswith("/step") else tensor for name, tensor in state.optimizer.items()}
    put_state(folder, index, replace(state, optimizer=optimizer))


def many_named_optimizer(folder: Path, index: int) -> None:
    """Keep so many tensors of such names that what a worker says of them is no event any more."""
    state = state_at(folder, index)
    name, tensor = next((name, each) for name, each in state.optimizer.items() if name.endswith("/exp_avg"))
    further = {f"{name}{'n' * 450}{number}": tensor for number in range(200)}
    put_state(folder, index, replace(state, optimizer={**state.optimizer, **further}))


def oversized_state(folder: Path, index: int, size_bytes: int = 1 << 20) -> None:
    """Keep a state that is larger than any that the job comes to: beyond a host's memory, say."""
    state = state_at(folder, index)
    large = TensorBytes("optimizer", "U8", (size_bytes,), memoryview(bytes(size_bytes)))
    put_state(folder, index, replace(state, optimizer={**state.optimizer, "first.weight/large": large}))


def forged_metrics(folder: Path, index: int) -> None:
    """Tell better metrics of a segment."""
    put_metrics(folder, index, {name: value / 2 for name, value in read_leaves(folder)[index].metrics.items()})


def invented_result(folder: Path) -> None:
    """Say that the model was right on every held-out record."""
    last = read_leaves(folder)[-1]
    put_result(folder, perfect(last), last.leaf.index)


def invented_best(folder: Path, index: int) -> None:
    """Say that an inner leaf's model was right on every held-out record, so that it is delivered."""
    put_result(folder, perfect(read_leaves(folder)[index]), index)
    checkpoints = list(read_leaves(folder))
    checkpoints[index] = checkpoints[index].unsalted()
    relink(folder, checkpoints)
    write_safetensors(folder / FINAL, dict(state_at(folder, index).model))


def perfect(checkpoint: Checkpoint) -> HeldOut:
    """A leaf's result with every record classified right."""
    result = checkpoint.held_out
    assert result is not None and isinstance(result.outcome, Classes)
    outcome = result.outcome
    counts = [sum(outcome.confusion[3 * true : 3 * true + 3]) for true in range(3)]
    right = tuple(counts[true] * (true == taken) for true in range(3) for taken in range(3))
    return replace(result, outcome=replace(outcome, correct=outcome.compared, confusion=right))


def put_result(folder: Path, result: HeldOut, index: int) -> None:
    """Let a leaf name another result on the held-out records."""
    checkpoints = list(read_leaves(folder))
    old = checkpoints[index]
    leaf = replace(old.leaf, held_out=held_out_digest(result, held_out_salt(old.salt)))
    checkpoints[index] = replace(old, leaf=leaf, held_out=result)
    relink(folder, checkpoints)


def trained_on_held_out(folder: Path) -> None:
    """Train on the held-out records, and name the records of the agreed order; the result is that
    model's own."""
    recipe, seed = Recipe.parse((folder / "recipe.json").read_bytes()), read_task(folder).seed
    held_out = held_out_rows(recipe, seed)

    def chosen(given: Recipe, order: Digest, start: int = 0) -> Iterator[Indices]:
        return (np.resize(held_out, batch.shape) for batch in batches(given, order, start))

    with patch("fitchain.pod.jobs.worker.job.batches", chosen):
        other = trained_again(folder, work_here)
    take_over(folder, other)
    result = read_leaves(other)[-1].held_out
    assert result is not None
    put_result(folder, result, len(read_leaves(folder)) - 1)


def random_weights(folder: Path) -> None:
    """Deliver weights that were never trained."""
    index, dice = len(read_leaves(folder)) - 1, np.random.default_rng(3)
    state = state_at(folder, index)
    drawn = only("weight", lambda weight: dice.normal(size=weight.shape).astype("f4"))
    put_state(folder, index, replace(state, model=changed(state.model, drawn)))


# Cheats of evidence


def edited(place: Path, edit: Callable[[dict[str, object]], None]) -> None:
    """Change the document of evidence."""
    document = json.loads((place / EVIDENCE).read_bytes())
    edit(document)
    (place / EVIDENCE).unlink()
    (place / EVIDENCE).write_bytes(canonical_json(document))


def other_path(place: Path) -> None:
    """Give a leaf the path of another."""

    def edit(document: dict[str, object]) -> None:
        leaves = document["leaves"]
        assert isinstance(leaves, list)
        leaves[1]["path"] = leaves[2]["path"]

    edited(place, edit)


def other_metrics(place: Path) -> None:
    """Show metrics that are not those of the leaf."""

    def edit(document: dict[str, object]) -> None:
        leaves = document["leaves"]
        assert isinstance(leaves, list)
        leaves[1]["metrics"]["loss"] = 0.0

    edited(place, edit)


def other_segments(place: Path) -> None:
    """Answer another challenge: leave the state before an inner segment and its leaves away."""

    def edit(document: dict[str, object]) -> None:
        segments = cast(list[int], document["segments"])
        document["segments"] = [segment for segment in segments if segment != 2]

    edited(place, edit)


def other_identity(place: Path, secret: str) -> None:
    """Show an identity that does not open the delivery."""
    edited(place, lambda document: document.update(identity=secret))


def forged_opening(place: Path, index: int) -> None:
    """Change a cell of an opened record."""

    def forge(opening: Opening) -> Opening:
        flipped = bytearray(opening.record)
        flipped[34] ^= 1
        return replace(opening, record=bytes(flipped))

    _reopened(place, lambda openings: [forge(each) if each.index == index else each for each in openings])


def left_out_record(place: Path, index: int) -> None:
    """Leave an opened record away."""
    _reopened(place, lambda openings: [each for each in openings if each.index != index])


def _reopened(place: Path, change: Callable[[list[Opening]], list[Opening]]) -> None:
    opened = OpenedRecords.read(place / RECORDS)
    openings = change(list(opened))
    (place / RECORDS).unlink()
    write_opened(place / RECORDS, opened.columns, opened.count, openings, len(openings))


def other_class(place: Path) -> None:
    """Show the agreed recipe of another environment class, for which most hosts have no vote."""
    path = place / "recipe.json"
    other = path.read_bytes().replace(b'"class":"cpu-x86-64-v3"', b'"class":"cpu-x86-64-v4"')
    path.unlink()
    path.write_bytes(other)


def initial_over_nothing(place: Path) -> None:
    """Show the same weights as a delta over a base that the recipe does not have: of the same root,
    and no worker would read it."""
    tensors, path = read_safetensors(place / "initial.safetensors")[0], place / "initial.safetensors"
    path.unlink()  # it is a link to the job's own
    ModelFile.over(tensors, inventory_of(tensors)).write(path)


def other_state_file(place: Path, segment: int, wanted: str = "first.weight") -> None:
    """Show a state that is not the one that the leaf names."""
    path = place / f"{segment}.safetensors"
    tensors, _ = read_safetensors(path)
    path.unlink()  # it is a link to the job's own
    write_safetensors(path, changed(tensors, only(wanted, lambda weight: weight * np.float32(2))))
