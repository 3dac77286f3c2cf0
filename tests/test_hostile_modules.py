"""Hostile modules: what computes something else than its trace shows is refused, though seldom."""

from __future__ import annotations

import gc
import re
import time

import pytest
import torch
from torch import Tensor, nn

from fitchain.pod.compute.environment.classes import NATIVE
from fitchain.pod.compute.model import Program
from fitchain.pod.compute.model.export import export
from fitchain.pod.values.errors import InputRefused
from fitchain.pod.values.graph import Input
from tests import harmless_modules, hostile_modules

FLOATS = (Input("x", "F32", (4,)),)
STEPS = 12
SIZES, SCALES = (4, 3, 7, 1, 16), (1.0, 30.0, 1e-3)

GRADIENT = r"the gradient of|gradients of"
VALUES = r"learns a tensor's values here|depends on a tensor's values|not supported for tensor subclasses"
DRAWS = "draws numbers from Python's random|numbers that the operating system draws"
COUNTS = "changes the attribute"
CAUSES = {
    r"Node|Hook|PreHook|Saved|Function": f"{GRADIENT}|{VALUES}|{COUNTS}",
    r"DrawsFromFile|AsksForFile": "takes a file into account",
    r"Draws": DRAWS,
    r"AsksFor(Usage|Process|Objects)": "what its process does",
    r"AsksFor(Seed|Generator|State)": "torch's seed",
    r"AsksForVersion": "how often a tensor was written",
    r"PassesFunctions": "past torch's functions",
    r"PassesM|TellsByModes": "torch's modes",
    r"Reads(Clock|Counter|Date)": "the clock",
    r"CountsInData": "the buffer 'calls'",
    r"Counts": COUNTS,
    r"KeepsTheLargest": f"{COUNTS}|the constant largest",
    r"Branches|Catches": f"{VALUES}|with infinite numbers otherwise than the module",
    r"KeepsGradients|ReadsGradients|WritesGradients|TrainsInside": "reads or writes a gradient",
    r"Freezes|Thaws|Replaces|Becomes": "changes what is trained, or what it consists of",
    r"LooksAt": "who calls it",
    r"Writes": "writes into the parameter 'leave.weight'",
    r"RemembersFirst|RemembersW|MakesItsLayer": "or was never called|consists of",
    r"Tells": "otherwise where it is not watched",
    r"": "the module computes|otherwise than the module|only for some batch sizes|the module cannot be traced",
}
"""What is said of kinds of modules, by how their names begin."""
BEFORE_TRACE = re.compile(
    "Asks|PassesM|Draws|Reads|Counts|Keeps|Freezes|Thaws|Replaces|Becomes|LooksAt|TrainsInside|WritesGrad"
)
"""Kinds that are refused before anything is traced, in milliseconds."""
QUICK = {
    *("NodeHook", "HookByNumpy", "SavedInHalf", "BranchesFar", "BranchesOnBuffer"),
    *("KeepsLast", "WarnsOfValues", "MeasuresGradients", "Passes", "WritesMask", "Diverges"),
    *("RemembersFirstBatch", "HoldsItself"),
}
"""Kinds of which the others are neighbours."""


def kinds(of: list[type[nn.Module]]) -> list[object]:
    """All kinds; those that take a second each are long ones."""
    return [
        kind
        if kind.__name__ in QUICK or BEFORE_TRACE.match(kind.__name__)
        else pytest.param(kind, marks=pytest.mark.long)
        for kind in of
    ]


@pytest.mark.parametrize("kind", kinds([*hostile_modules.KINDS]), ids=lambda kind: kind.__name__)
def test_what_parts_from_its_trace_seldom_is_refused(kind: type[nn.Module]) -> None:
    torch.manual_seed(0)
    cause = next(cause for start, cause in CAUSES.items() if re.match(start, kind.__name__))
    with pytest.raises(InputRefused, match=cause):
        export(kind(), FLOATS, 4)


def trained(module: nn.Module, compute: nn.Module | Program, parameters: list[Tensor]) -> None:
    """Train some steps on batches of several sizes, of small numbers and large ones."""
    optimizer = torch.optim.SGD(parameters, 0.1)
    for step in range(STEPS):
        torch.manual_seed(step)
        size = 4 if isinstance(module, harmless_modules.Normalises) else SIZES[step % len(SIZES)]
        x, y = torch.randn(size, 4) * SCALES[step % len(SCALES)], torch.randint(0, 3, (size,))
        output = compute(x, training=True) if isinstance(compute, Program) else compute(x)
        optimizer.zero_grad()
        nn.functional.cross_entropy(output, y).backward()  # type: ignore[no-untyped-call]
        optimizer.step()


@pytest.mark.filterwarnings("ignore:a warning")
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")  # torch's compiler asks, and hides that it warns
@pytest.mark.parametrize("kind", kinds(harmless_modules.KINDS), ids=lambda kind: kind.__name__)
def test_what_looks_alike_and_is_harmless_is_exported_and_trains_as_the_module_does(kind: type[nn.Module]) -> None:
    torch.manual_seed(0)
    module = kind().train()
    graph, tensors = export(module, FLOATS, 4)
    program = Program(graph, tensors, NATIVE)
    moved = {name: tensor for name, tensor in module.named_parameters() if tensor.requires_grad}
    module.train()
    trained(module, module, list(moved.values()))
    trained(module, program, list(program.trainable.values()))
    own = {**program.parameters, **program.buffers}
    for name, tensor in {**moved, **dict(module.named_buffers())}.items():
        assert torch.equal(tensor.detach(), own[name].detach()), name


def test_what_others_call_while_garbage_is_collected_is_not_the_modules(request: pytest.FixtureRequest) -> None:
    seen = list[float]()

    def read_clock(phase: str, info: dict[str, int]) -> None:
        seen.append(time.perf_counter())

    before = gc.get_threshold()
    request.addfinalizer(lambda: gc.set_threshold(*before))
    request.addfinalizer(lambda: gc.callbacks.remove(read_clock))
    gc.callbacks.append(read_clock)
    gc.set_threshold(1)
    export(nn.Sequential(nn.Linear(4, 4), nn.Tanh()), FLOATS, 4)
    assert seen and gc.isenabled()
