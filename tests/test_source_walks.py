"""From a Parquet file, and from a folder of images, to a certificate that a stranger verifies: from
the command line, each party in processes and homes of its own."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

import numpy as np
import pytest

from fitchain.pod.compute.dataset.arrow_cells import pyarrow
from tests.source_text import ROOT
from tests.terminals import Walk, terminals_at, walk_of
from tests.without_folder import can_confine

pytestmark = pytest.mark.sources

NETS = '''
from torch import nn


def line():
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))


class Small(nn.Module):
    """One image in colour, 12 x 12, to three classes."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(4 * 5 * 5, 3)
        )

    def forward(self, image):
        return self.layers(image)
'''
RECIPE = "steps = 12\nbatch_size = 8\nsegment_steps = 2\ngroup_leaves = 2\nlearning_rate = 0.01\n"


def parquet_file(folder: Path, rows: int) -> list[str]:
    """Names, numbers with holes, a date and an outcome; how it is registered."""
    pa, random = pyarrow(), np.random.default_rng(1)
    ages = random.integers(18, 90, rows)
    columns = {
        "patient": [f"Ada Nr. {number}" for number in range(rows)],
        "age": pa.array(ages.astype(np.int16)),
        "crp": pa.array(random.gamma(2, 9, rows).astype(np.float32), mask=random.random(rows) < 0.2),
        "admitted": pa.array(random.integers(18_000, 20_000, rows).astype(np.int32), pa.date32()),
        "outcome": pa.array(np.where(ages > 50, "ill", "well").tolist()).dictionary_encode(),
    }
    pa.parquet.write_table(pa.table(columns), folder / "ward.parquet", row_group_size=100_000)
    return ["ward.parquet", "--target", "outcome", "--drop", "patient"]


def image_folder(folder: Path, images: int) -> list[str]:
    """Pictures of three classes and of several sizes; how they are registered."""
    from PIL import Image

    random = np.random.default_rng(2)
    for number in range(images):
        kind, side = number % 3, 12 + number % 2
        shades = random.integers(0, 90, (side, side, 3), dtype=np.uint8)
        shades[..., kind] += 120
        path = folder / "moles" / ("benign", "malignant", "unclear")[kind] / f"Ada {number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(shades).save(path)
    return ["moles", "--target", "label", "--image-size", "12x12", "--transform", "ranges", "--range", "image=0:255"]


SOURCES = {"parquet": (parquet_file, "line"), "images": (image_folder, "Small")}


def walk(registered: list[str], net: str) -> Walk:
    """The README's walk with another source and net, then a stranger's look at what came of it."""
    source, *options = registered
    register = shlex.join(["fitchain", "data", "register", f"walk/owner/data/{source}", *options])
    commands: Walk = []
    for name, command in walk_of(ROOT / "README.md"):
        if "cli.demo.samples" in command:
            continue
        if "data register" in command:
            command = f"{register} --scientist SCIENTIST --yes"
        if "model test" in command:  # of a table that the walk's samples have
            continue
        command = command.replace("examples/breast_cancer.py:Classifier", f"nets.py:{net}")
        commands.append((name, command.replace("examples/recipe.toml", "recipe.toml")))
        if "proof verify" in command:
            commands.append(("stranger", "export HOME=stranger FITCHAIN_HOME=stranger/home"))
            commands.append(("stranger", command))
    return commands


@pytest.mark.landlock
@pytest.mark.timeout(1200)
@pytest.mark.parametrize(
    ("kind", "records"),
    [
        pytest.param("parquet", 100_000, marks=pytest.mark.long),
        pytest.param("images", 90, marks=pytest.mark.long),
        pytest.param("parquet", 10_000_000, marks=pytest.mark.nightly),
    ],
)
def test_source_goes_the_whole_way_to_a_certificate_that_a_stranger_verifies(
    tmp_path: Path, kind: str, records: int
) -> None:
    if not can_confine():
        pytest.skip("this kernel has no Landlock: nothing can keep a root process out of a folder")
    private = tmp_path / "walk" / "owner" / "data"
    for name in ("walk/owner/data", "walk/scientist", "stranger", "devnet", "result"):
        (tmp_path / name).mkdir(parents=True)
    make, net = SOURCES[kind]
    commands = walk(make(private, records), net)
    (tmp_path / "nets.py").write_text(NETS)
    (tmp_path / "recipe.toml").write_text(RECIPE)
    confine = [sys.executable, str(ROOT / "tests" / "without_folder.py"), str(private)]
    with terminals_at(tmp_path, commands, wrappers={"scientist": confine, "stranger": confine}) as walkers:
        walkers.walk(commands)
        logs = {name: terminal.log for name, terminal in walkers.terminals.items()}
    assert "the certificate holds" in logs["stranger"], logs["stranger"]
    assert not [name for name, log in logs.items() if re.search(r"Ada (Nr|\d)", log)]
