"""A training in the process of a test, with nothing around it."""

from __future__ import annotations

from fitchain.pod.compute.dataset import Table, assemble, batches
from fitchain.pod.compute.model import Program, tensor_bytes
from fitchain.pod.compute.training import StepDone, fresh_optimizer, load_optimizer, optimizer_tensors, train
from fitchain.pod.values.digest import Digest
from fitchain.pod.values.recipe import Recipe
from fitchain.pod.values.state import Tensors
from tests.training_jobs import SEED, exported, table


class Run:
    """A training under way in this process."""

    def __init__(
        self, given: Recipe, seed: Digest = SEED, records: Table | None = None, state: Tensors | None = None
    ) -> None:
        graph, initial = exported()
        self.recipe, self.seed, self.records = given, seed, records or table()
        self.program = Program(graph, initial)
        if state is not None:
            self.program.load(state)
        self.optimizer = fresh_optimizer(self.program, given, initial)
        self.step = 0

    def go(self, steps: int | None = None) -> list[StepDone]:
        """Train some steps, or to the end."""
        stop = self.recipe.steps if steps is None else self.step + steps
        order = batches(self.recipe, self.seed, self.step)
        take = assemble(self.recipe, self.records)
        done = []
        for each in train(self.program, self.recipe, order, take, self.seed, self.step, self.optimizer):
            done.append(each)
            if each.step == stop:
                break
        self.step = stop
        return done

    def state(self) -> dict[str, bytes]:
        """Every tensor's bytes."""
        optimizer = optimizer_tensors(self.optimizer, self.program)
        tensors = {**self.program.parameters, **self.program.buffers, **optimizer}
        return {name: bytes(tensor_bytes("buffer", tensor.detach()).data) for name, tensor in tensors.items()}

    def moved(self) -> Run:
        """The same training in a fresh process' place: state, optimizer and step alone are carried
        over."""
        other = Run(self.recipe, self.seed, self.records, state=self.program.tensors())
        kept = {name: tensor.clone() for name, tensor in optimizer_tensors(self.optimizer, self.program).items()}
        load_optimizer(other.optimizer, other.program, kept, self.recipe)
        other.step = self.step
        return other
