"""What Lightning and Hugging Face put around a module: what is published of it, and what whoever
publishes something else is told. The examples of both are trained in jobs, to the bits of their own
code."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor, nn

from fitchain.pod.compute.model import take_module
from fitchain.pod.compute.model.export import export
from fitchain.pod.compute.model.frameworks import unpublished_steps
from fitchain.pod.ports.agreement import State
from fitchain.pod.values.digest import Digest
from fitchain.pod.values.errors import InputRefused
from fitchain.pod.values.graph import Input
from fitchain.pod.values.ids import DatasetId, ModelId
from fitchain.pod.values.state import read_safetensors
from tests.optional import frameworks
from tests.pods import Party, Workshop, owner_runs, scientist_runs
from tests.source_text import ROOT
from tests.whole_way import records
from tests.whole_way.comparison import Loop, require_equal_bits

FLOATS = (Input("x", "F32", (4,)),)


class LightningModule(nn.Module):
    """As much of Lightning's class as a module's own code meets, and by its name."""

    _trainer: object = None

    def forward(self, *arguments: Any) -> Any:
        return super().forward(*arguments)

    def log(self, name: str, value: Tensor) -> None:
        if self._trainer is not None:
            raise RuntimeError("logged outside of a step")

    def training_step(self, batch: Any) -> Tensor:
        raise NotImplementedError


class LightningDataModule:
    """Its class of records."""


class Trainer:
    """Its class that trains."""


for each in (LightningModule, LightningDataModule, Trainer):
    each.__module__ = "lightning.pytorch"


class Own(LightningModule):
    """A scientist's own."""

    def __init__(self) -> None:
        super().__init__()
        self.model = nn.Linear(4, 2)
        self._trainer = Trainer()

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.model(x)
        self.log("mean", output.mean())
        return output

    def training_step(self, batch: Any) -> Tensor:
        return batch[0].sum() * 0  # type: ignore[no-any-return]

    def configure_optimizers(self) -> None:
        """Not asked for."""


class Silent(LightningModule):
    """Without a forward."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.head = nn.Linear(4, 4), nn.Linear(4, 2)


class Holder:
    """A trainer of another library, a pipeline: what calls a model."""

    def __init__(self) -> None:
        self.model = nn.Linear(4, 2)

    def __call__(self) -> nn.Module:
        raise RuntimeError("nobody calls it")


def test_module_of_lightning_is_written_down_without_its_trainer() -> None:
    own = Own()
    trainer = own._trainer
    graph, tensors = export(take_module(own), FLOATS, 4)
    assert sorted(tensors) == ["model.bias", "model.weight"] and len(graph.training.nodes) == 1
    assert own._trainer is trainer
    assert unpublished_steps(own) == ("training_step", "configure_optimizers")
    assert unpublished_steps(own.model) == ()


@pytest.mark.parametrize(
    ("source", "message", "hint"),
    [
        (Silent, "Silent has no forward", r"the part that it trains \(encoder, head\)"),
        (nn.Module, "Module has no forward", r"write forward\(self, x\)"),
        (Holder(), "is a Holder, neither", r"a function that returns its \.model"),
        (Holder, r"Holder\(\) gives a Holder", r"a function that returns its \.model"),
        (LightningDataModule, "gives a LightningDataModule", "those are the owner's"),
        (Trainer(), "is a Trainer, neither", "publish the LightningModule"),
        (lambda: nn.Linear(4, 2).state_dict(), "gives a OrderedDict", "make the module of them"),
    ],
)
def test_whoever_publishes_something_else_hears_where_the_module_is(source: Any, message: str, hint: str) -> None:
    with pytest.raises(InputRefused, match=message) as caught:
        take_module(source)
    assert re.search(hint, caught.value.hint)


# The examples, with the libraries themselves


def nuclei(folder: Path) -> str:
    """The table of breast cancer that scikit-learn ships; how it is registered."""
    command = [sys.executable, "-m", "fitchain.cli.demo.samples", "breast-cancer", str(folder), str(folder / "test")]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return "breast_cancer.csv --target diagnosis --drop patient"


def told(party: Party, *arguments: str) -> dict[str, Any]:
    """What a command says, in a process that has the libraries."""
    variables = party.side.environment() | {"PYTHONPATH": f"{ROOT}:{frameworks()}"}
    command = party.side.command(*arguments, "--json")
    ended = subprocess.run(command, env=variables, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    values: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return values


@pytest.mark.long
@pytest.mark.frameworks
@pytest.mark.parametrize(
    ("module", "source", "dtype", "output", "unpublished"),
    [
        ("lightning_module.py:Nuclei", nuclei, "float32", "", ["training_step", "configure_optimizers"]),
        ("lightning_module.py:layers", nuclei, "float32", "", None),
        ("hugging_face.py:Classifier", records.notes, "int64", "logits", None),
        ("hugging_face.py:fine_tuning", records.notes, "int64", "logits", None),
    ],
)
# Many parameters: what each of the four is.
def test_example_of_a_framework_is_trained_to_the_bits_of_its_own_code(
    workshop: Workshop,
    tmp_path: Path,
    module: str,
    source: Callable[[Path], str],
    dtype: str,
    output: str,
    unpublished: list[str] | None,
) -> None:
    owner, scientist, path = workshop.owner, workshop.scientist, f"examples/{module}"
    data, loop = tmp_path / "data", tmp_path / "loop"
    for folder in (data, loop):
        folder.mkdir()
    file, *options = shlex.split(source(data))
    asked = ("--scientist", scientist.address, "--automatic", "--yes")
    dataset = told(owner, "data", "register", str(data / file), *options, *asked)["dataset"]
    model = told(scientist, "model", "publish", path, "--dataset", dataset, *(["--output", output] if output else []))
    assert model.get("unpublished") == unpublished
    with owner_runs(owner), scientist_runs(scientist):
        ids = {"dataset": DatasetId(Digest.parse(dataset)), "model": ModelId(Digest.parse(model["model"]))}
        job = workshop.request(**ids)
        workshop.until_state(job, State.SETTLED, State.CANCELLED)
        workshop.until(scientist.has(job, "received"))
    delivered = read_safetensors(scientist.home.job_folder(job).model)[0]
    require_equal_bits(delivered, Loop(path, [dtype], output, frameworks()).weights(owner.home, job, loop, ROOT))
