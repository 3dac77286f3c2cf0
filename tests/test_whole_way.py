"""Models of four kinds go the whole way, from the owner's records to a certificate that a stranger
verifies, with an audit by three verifiers: from the command line, each party in processes and homes
of its own. What is delivered has the bits that the module's own code and torch's optimizer give."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

import fitchain
from fitchain.pod.values.delta import ModelFile
from fitchain.pod.values.digest import Digest
from fitchain.pod.values.ids import AgreementId
from fitchain.pod.values.state import read_safetensors
from tests.whole_way import records
from tests.whole_way.comparison import Loop, require_equal_bits
from tests.whole_way.parties import Parties, everybody

RECIPE = "batch_size = 16\nsegment_steps = 6\ngroup_leaves = 2\nheld_out = 0.2\n"


@pytest.fixture(scope="module")
def parties(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parties]:
    with everybody(tmp_path_factory.mktemp("whole-way")) as arrived:
        yield arrived


@pytest.mark.long
@pytest.mark.landlock
@pytest.mark.timeout(1200)
@pytest.mark.parametrize(
    ("source", "module", "published", "recipe", "dtypes"),
    [
        pytest.param(records.masks, "walk/scientist/models.py:UNet", "", "steps = 24\n", ["float32"], id="U-Net"),
        pytest.param(
            records.images,
            "walk/scientist/models.py:vit",
            "--base walk/scientist/vit.safetensors",
            "steps = 36\n",
            ["float32"],
            id="LoRA of a vision transformer",
            marks=pytest.mark.sources,
        ),
        pytest.param(
            records.notes,
            "walk/scientist/models.py:text",
            "--base walk/scientist/text.safetensors",
            "steps = 36\n",
            ["int64"],
            id="LoRA of a transformer",
        ),
        pytest.param(
            records.passengers,
            "examples/voyage.py:Survival",
            "--input x=@rest --input codes=deck,port:int64",
            "steps = 90\nsegment_steps = 15\n",
            ["float32", "int64"],
            id="embeddings",
        ),
    ],
)
# Many parameters: what each of the four is.
def test_model_goes_the_whole_way_and_has_the_bits_of_its_own_code(
    parties: Parties,
    tmp_path: Path,
    source: Callable[[Path], str],
    module: str,
    published: str,
    recipe: str,
    dtypes: list[str],
) -> None:
    registered = source(parties.sources)
    terms = recipe if "segment_steps" in recipe else RECIPE + recipe
    result = parties.whole_way(registered, f"{module} {published}", terms)
    for name in ("scientist", "stranger"):
        log = parties.walkers.terminals[name].log
        assert "the certificate holds" in log, log
    with parties.opened("owner") as owner:
        job = AgreementId(Digest.parse(parties.walkers.words["JOB"]))
        eager = Loop(module, dtypes).weights(owner, job, tmp_path, parties.folder)
    delivered = ModelFile.read(result / "model.safetensors")
    whole = delivered.own if delivered.is_whole else read_safetensors(result / "whole.safetensors")[0]
    require_equal_bits(whole, eager)
    model = fitchain.load(result)
    outputs = model.outputs(parties.sources / registered.partition(" ")[0])  # images, texts and tables as the owner's
    assert len(outputs) == model.card.count and np.isfinite(outputs).all()
    if outputs.ndim == 2:
        predicted = model.predict(parties.sources / registered.partition(" ")[0])
        assert len(predicted) == len(outputs) and set(predicted) <= set(model.classes)
    assert delivered.is_whole is ("--base" not in published)
    if not delivered.is_whole:  # LoRA's matrices and the head alone
        assert {name.rpartition(".")[0].rpartition(".")[2] for name in delivered.own} == {"query", "value", "head"}
