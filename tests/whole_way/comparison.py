"""What a job delivered beside what the plain loop gives, tensor by tensor, bit by bit."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from shutil import copyfile

from fitchain.pod.compute.environment import clean_variables
from fitchain.pod.jobs.home import Home
from fitchain.pod.parties.owner.data import read_registered
from fitchain.pod.values.ids import AgreementId
from fitchain.pod.values.job_folder import RECORDS
from fitchain.pod.values.recipe import Recipe
from fitchain.pod.values.state import Tensors, read_safetensors
from tests.source_text import ROOT
from tests.whole_way.eager import FILE


@dataclass(frozen=True)
class Loop:
    """A plain loop that trains what a job trained.

    Args:
        module: `FILE.py:NAME`, as it was published.
        dtypes: of its arguments.
        output: the tensor that is trained, where the module returns a structure.
        libraries: a folder of libraries that it imports.
    """

    module: str
    dtypes: Sequence[str]
    output: str = ""
    libraries: Path | None = None

    def weights(self, owner: Home, job: AgreementId, folder: Path, stands_in: Path) -> Tensors:
        """Train in a process of the recipe's class.

        Args:
            owner: whose records they are.
            job: which has ended.
            folder: empty, for recipe, records and weights.
            stands_in: the folder from which the module's file is named.
        """
        dataset = owner.agreements.terms(job).dataset
        read_registered(owner, owner.journal.dataset(dataset)).write_for_worker(folder / RECORDS)
        for path in (owner.job_folder(job).recipe, owner.job_folder(job).initial):
            copyfile(path, folder / path.name)
        recipe = Recipe.parse((folder / "recipe.json").read_bytes())
        source, _, name = self.module.rpartition(":")
        asked = [str(folder), source, name, str(owner.agreements.seed(job)), self.output, *self.dtypes]
        variables = clean_variables(recipe.environment, folder)
        variables["PYTHONPATH"] = ":".join(map(str, filter(None, (ROOT, self.libraries))))
        command = [sys.executable, "-m", "tests.whole_way.eager", *asked]
        subprocess.run(command, cwd=stands_in, env=variables, check=True)
        return read_safetensors(folder / FILE)[0]


def require_equal_bits(delivered: Tensors, eager: Tensors) -> None:
    """Compare what was delivered with the module's own parameters and buffers after the loop; what
    the module has beside (metrics, say) is no part of the model."""
    moved = {name for name, tensor in delivered.items() if tensor.kind == "parameter"}
    assert moved and moved <= eager.keys()
    both = delivered.keys() & eager.keys()
    assert [name for name in sorted(both) if bytes(delivered[name].data) != bytes(eager[name].data)] == []
