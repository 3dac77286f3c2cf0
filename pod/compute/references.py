"""Running a reference training of a privacy-risk report, leaf by leaf, so that one that an audit
draws can be trained again from any of them (torch). Only without terms of privacy: beside a budget
no state of one is shown to anybody."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from torch.optim import Optimizer

from fitchain.pod.compute.checkpoint import KeptState
from fitchain.pod.compute.checkpoint.recorder import refuse_not_finite
from fitchain.pod.compute.dataset import Assemble, batches
from fitchain.pod.compute.dataset.order import Indices
from fitchain.pod.compute.dataset.references import ReferenceTraining
from fitchain.pod.compute.model.program import Program
from fitchain.pod.compute.model.tensors import new_tensor, tensor_bytes
from fitchain.pod.compute.training import StepDone, fresh_optimizer, load_optimizer, optimizer_tensors, train
from fitchain.pod.values.leaf import SegmentRecords, StateRoots
from fitchain.pod.values.risk.references import ReferenceLeaf
from fitchain.pod.values.state import TensorBytes, Tensors, optimizer_root


class ReferenceRun:
    """A reference training as it runs.

    Args:
        training: which.
        program: the model, which moves.
        assemble: the dataset's rows to inputs and target.
        segment: the segment to begin with.
        state: the state before it; None for the first, which begins with what the program has.
        initial: the initial model, where there is a state and the recipe pulls towards it.
    """

    # Many parameters: what is trained, on what, and where it begins.
    def __init__(
        self,
        training: ReferenceTraining,
        program: Program,
        assemble: Assemble,
        segment: int = 0,
        state: KeptState | None = None,
        initial: Tensors | None = None,
    ) -> None:
        self.training, self.program, self.assemble, self.segment = training, program, assemble, segment
        self.optimizer: Optimizer = fresh_optimizer(program, training.recipe, initial)
        if state is not None:
            tensors = {name: new_tensor(each) for name, each in state.optimizer.items()}
            load_optimizer(self.optimizer, program, tensors, training.recipe)

    def steps(self) -> Iterator[StepDone]:
        """Train from its segment on, to the last step.

        Raises:
            Diverged: it ends before.
        """
        training, start = self.training, self.segment * self.training.recipe.segment_steps

        def take(places: Indices) -> tuple[tuple[np.ndarray, ...], np.ndarray]:
            return self.assemble(training.taken(places))

        order = batches(training.recipe, training.seed, start)
        return train(self.program, training.recipe, order, take, training.seed, start, self.optimizer)

    def leaves(self) -> Iterator[ReferenceLeaf]:
        """Train from the first step on, and stop at every leaf, the first of which is that of the
        initial state.

        Raises:
            Diverged: it ends before its last step, or a parameter is not finite at a leaf.
        """
        recipe, records = self.training.recipe, SegmentRecords()
        yield self.leaf(records)
        for done in self.steps():
            records.add(self.training.taken(done.indices))
            if done.step % recipe.segment_steps == 0 or done.step == recipe.steps:
                refuse_not_finite(self.program.moving(), done.step)
                yield self.leaf(records)
                records = SegmentRecords()

    def leaf(self, records: SegmentRecords) -> ReferenceLeaf:
        """The leaf of where it stands, after a segment of these records."""
        return ReferenceLeaf(self.roots.model, self.roots.optimizer, records.digest())

    @property
    def roots(self) -> StateRoots:
        """The roots of where it stands."""
        return StateRoots(self.program.root(), optimizer_root(self._optimizer_bytes()))

    def kept(self) -> KeptState:
        """A copy of where it stands."""
        return KeptState(_copied(self.program.moving()), _copied(self._optimizer_bytes()))

    def _optimizer_bytes(self) -> dict[str, TensorBytes]:
        tensors = optimizer_tensors(self.optimizer, self.program)
        return {name: tensor_bytes("optimizer", tensor) for name, tensor in tensors.items()}


def _copied(tensors: dict[str, TensorBytes]) -> dict[str, TensorBytes]:
    return {
        name: TensorBytes(each.kind, each.dtype, each.shape, memoryview(bytes(each.data)))
        for name, each in tensors.items()
    }
