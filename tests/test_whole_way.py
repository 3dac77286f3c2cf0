"""Models of four kinds go the whole way, from the owner's records to a certificate that a stranger
verifies, with an audit by three verifiers: from the command line, each party in processes and homes
of its own. What is delivered has the bits that the module's own code and torch's optimizer give."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from shutil import copyfile

import pytest

from fitchain.pod.compute.environment import clean_variables
from fitchain.pod.jobs.home import Home
from fitchain.pod.parties.owner.data import read_registered
from fitchain.pod.ports import settings
from fitchain.pod.values.digest import Digest
from fitchain.pod.values.ids import AgreementId, DatasetId
from fitchain.pod.values.job_folder import RECORDS
from fitchain.pod.values.recipe import Recipe
from fitchain.pod.values.state import read_safetensors
from tests.source_text import ROOT
from tests.whole_way import records
from tests.whole_way.eager import FILE
from tests.whole_way.parties import Parties, everybody

RECIPE = "batch_size = 16\nsegment_steps = 6\ngroup_leaves = 2\nheld_out = 0.2\n"


@pytest.fixture(scope="module")
def parties(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parties]:
    with everybody(tmp_path_factory.mktemp("whole-way")) as arrived:
        yield arrived


def trained_eagerly(parties: Parties, folder: Path, module: str, dtypes: list[str]) -> Path:
    """The weights that the plain loop gives, in a process of the class; `module` is `FILE.py:NAME`."""
    words, home = parties.walkers.words, parties.folder / "walk" / "owner"
    of_owner = settings.load(home=home, devnet=parties.folder / "devnet", environ={})
    with Home.open(of_owner, lambda: (home / "passphrase").read_text().strip()) as owner:
        id = AgreementId(Digest.parse(words["JOB"]))
        read_registered(owner, owner.journal.dataset(DatasetId(Digest.parse(words["DATASET"])))).write_for_worker(
            folder / RECORDS
        )
        copyfile(owner.job_folder(id).recipe, folder / "recipe.json")
        seed = owner.agreements.seed(id)
    source, _, name = module.rpartition(":")
    recipe = Recipe.parse((folder / "recipe.json").read_bytes())
    variables = clean_variables(recipe.environment, folder) | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "tests.whole_way.eager", str(folder), source, name, str(seed), *dtypes]
    subprocess.run(command, cwd=parties.folder, env=variables, check=True)
    return folder / FILE


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
            "",
            "steps = 36\n",
            ["float32"],
            id="LoRA of a vision transformer",
            marks=pytest.mark.sources,
        ),
        pytest.param(
            records.notes,
            "walk/scientist/models.py:text",
            "",
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
    eager = read_safetensors(trained_eagerly(parties, tmp_path, module, dtypes))[0]
    delivered = read_safetensors(result / "model.safetensors")[0]
    assert eager.keys() >= {name for name, tensor in delivered.items() if tensor.kind == "parameter"}
    assert {name for name, tensor in delivered.items() if bytes(tensor.data) != bytes(eager[name].data)} == set()
