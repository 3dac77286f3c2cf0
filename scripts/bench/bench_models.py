"""What exactness costs: steps of four models in the default class against torch's stock kernels,
and through the graph against the eager module with the same kernels.

A class's variables count only before torch is imported, so each side is a process of its own, and
they take turns of a fifth of a second. Measured is the time of one thread on the processor, since
whatever else runs would disturb a clock on the wall. Stock is torch as it comes, with the widest
vectors that the processor has; beside it stands stock whose own kernels and oneDNN's are limited to
AVX2, as in the class.

Legend: B batch, T time, F features, C channels, H height, W width.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fitchain.pod.compute.environment import DEFAULT, Environment, clean_variables, configure, installed_torch
from scripts.bench.figures import Figure, Times, describe_seconds, ratio

if TYPE_CHECKING:  # imported late otherwise: importing torch before the class's variables are set would spoil them
    from torch import Tensor, nn

ROOT = Path(__file__).parents[2]
PLACEMENTS, ROUNDS, TURN_S = 5, 4, 0.2
"""Where memory happens to lie moves a step by some percent, for as long as a process lives: so each
side is several processes, one after the other."""
CLASS, GRAPH, STOCK, NARROW = "class", "graph", "stock", "stock with AVX2"
NAMES = {"mlp": "MLP", "transformer": "transformer", "lstm": "LSTM", "cnn": "CNN"}
GOALS = {"mlp": 1.0, "transformer": 1.05, "lstm": 1.2, "cnn": 1.4}
NARROW_GOALS, GRAPH_GOAL = {"cnn": 1.05}, 1.02


@dataclass(frozen=True)
class Measured:
    """Seconds of one step of a model, on each side."""

    name: str
    times: dict[str, Times]


def measure() -> Iterator[Figure]:
    """Yield the figures of this bench."""
    for model in compare():
        for other, goal in ((STOCK, GOALS[model.name]), (NARROW, NARROW_GOALS.get(model.name))):
            yield figure(model, CLASS, other, goal)
        yield figure(model, GRAPH, CLASS, GRAPH_GOAL)


def figure(model: Measured, side: str, other: str, goal: float | None) -> Figure:
    """The ratio of two sides."""
    words = {GRAPH: "through the graph", CLASS: DEFAULT.name if side == CLASS else "eager"}
    detail = ", ".join(f"{each} {describe_seconds(model.times[each].median)} a step" for each in (side, other))
    what = f"{NAMES[model.name]}: {words[side]} / {words.get(other, other)}"
    return Figure(what, ratio(model.times, side, other), "", goal, detail=detail)


def compare() -> Iterator[Measured]:
    """Time each model's steps on each side, in turns."""
    for name in NAMES:
        taken: dict[str, list[float]] = {}
        for _ in range(PLACEMENTS):
            with tempfile.TemporaryDirectory() as folder:
                for side, seconds in take_turns(name, Path(folder)).items():
                    taken.setdefault(side, []).extend(seconds)
        yield Measured(name, {side: Times(tuple(seconds)) for side, seconds in taken.items()})


def take_turns(name: str, folder: Path) -> dict[str, list[float]]:
    """Seconds of a model's step on each side, once a round, in processes of their own."""
    of_class = clean_variables(Environment(DEFAULT.name, 1, installed_torch()), folder)
    stock = {key: value for key, value in of_class.items() if key not in DEFAULT.settings}
    narrow = stock | {key: DEFAULT.settings[key] for key in ("ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA")}
    sides = {CLASS: of_class, STOCK: stock, NARROW: narrow}
    with ExitStack() as stack:
        processes = {side: stack.enter_context(Side(side, variables)) for side, variables in sides.items()}
        processes[GRAPH] = processes[CLASS]
        steps = {side: process.steps(name, side) for side, process in processes.items()}
        taken: dict[str, list[float]] = {side: [] for side in processes}
        for turn in range(ROUNDS):
            for side in processes if turn % 2 else reversed(processes):
                taken[side].append(processes[side].seconds(name, side, steps[side]))
    return taken


class Side:
    """A process that makes steps when it is asked to."""

    def __init__(self, side: str, variables: dict[str, str]) -> None:
        command = [sys.executable, "-m", "scripts.bench.bench_models", side]
        variables = {**variables, "PYTHONPATH": str(ROOT)}
        self.process = subprocess.Popen(
            command, env=variables, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )

    def __enter__(self) -> Side:
        return self

    def __exit__(self, *of_error: object) -> None:
        self.process.communicate()  # the end of its input is the end of its work

    def steps(self, name: str, side: str) -> int:
        """As many steps as a turn has time for."""
        return max(1, round(TURN_S / self.seconds(name, side, 2)))

    def seconds(self, name: str, side: str, steps: int) -> float:
        """Seconds of one of so many steps."""
        assert self.process.stdin is not None and self.process.stdout is not None
        print(json.dumps([name, side, steps]), file=self.process.stdin)
        return float(self.process.stdout.readline())


def compute(side: str) -> None:
    """Be a side: make the steps that are asked for, and say what one took."""
    if side == CLASS:
        configure(Environment(DEFAULT.name, 1, installed_torch()))
    import torch

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    ready: dict[tuple[str, str], Callable[[], object]] = {}
    for line in sys.stdin:
        name, of_side, steps = json.loads(line)
        if (name, of_side) not in ready:
            ready[name, of_side] = stepper(name, through_graph=of_side == GRAPH)
            ready[name, of_side]()
        start = time.thread_time()
        for _ in range(steps):
            ready[name, of_side]()
        print((time.thread_time() - start) / steps, flush=True)


def stepper(name: str, through_graph: bool) -> Callable[[], object]:
    """A model's step: forward, backward, AdamW."""
    import torch
    from torch.nn import functional as F

    from fitchain.pod.compute.model.export import export
    from fitchain.pod.compute.model.program import Program
    from fitchain.pod.values.graph import Input

    torch.manual_seed(0)
    make, batch, shape = models()[name]
    module, x, target_B = make(), torch.rand(batch, *shape), torch.arange(batch) % 10
    parameters: list[Tensor] = list(module.parameters())
    model: Callable[[Tensor], Tensor] = module
    if through_graph:
        program = Program(*export(module, [Input("x", "F32", shape)], batch))
        parameters, model = list(program.trainable.values()), lambda x: program(x, training=True)
    optimizer = torch.optim.AdamW(parameters, 1e-3, fused=True)

    def step() -> None:
        loss = F.cross_entropy(model(x), target_B)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    return step


def models() -> dict[str, tuple[Callable[[], nn.Module], int, tuple[int, ...]]]:
    """The four models by name: what makes one, records in a batch, the shape of a record."""
    from torch import nn

    class Recurrent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers, self.head = nn.LSTM(64, 256, 2, batch_first=True), nn.Linear(256, 10)

        def forward(self, x_BTF: Tensor) -> Tensor:
            output: Tensor = self.head(self.layers(x_BTF)[0][:, -1])
            return output

    class Transformer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            layer = nn.TransformerEncoderLayer(256, 4, 1024, activation="gelu", batch_first=True, norm_first=True)
            self.enter, self.head = nn.Linear(32, 256), nn.Linear(256, 10)
            self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)

        def forward(self, x_BTF: Tensor) -> Tensor:
            output: Tensor = self.head(self.layers(self.enter(x_BTF)).mean(1))
            return output

    def wide() -> nn.Module:
        layers = [layer for _ in range(3) for layer in (nn.Linear(1024, 1024), nn.ReLU())]
        return nn.Sequential(*layers, nn.Linear(1024, 10))

    def convolutional() -> nn.Module:
        def block(entering: int, leaving: int) -> tuple[nn.Module, ...]:
            return nn.Conv2d(entering, leaving, 3, padding=1), nn.BatchNorm2d(leaving), nn.ReLU()

        return nn.Sequential(
            *(*block(3, 32), *block(32, 64), nn.MaxPool2d(2), *block(64, 128)),
            *(nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(128 * 16, 10)),
        )

    return {
        "mlp": (wide, 128, (1024,)),
        "transformer": (Transformer, 16, (64, 32)),
        "lstm": (Recurrent, 32, (32, 64)),
        "cnn": (convolutional, 32, (3, 32, 32)),
    }


if __name__ == "__main__":
    compute(sys.argv[1])
