"""The metered work of a scientist's own recipe, which stands in the terms that it asks by.

It is measured in a worker, just as whoever replays the job compares it, and remembered on this host
for all homes: it follows from graph, batch size and environment, and from the code that counts.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

from fitchain.pod.compute import environment
from fitchain.pod.jobs.home import Home
from fitchain.pod.jobs.worker import measure
from fitchain.pod.values.digest import canonical_json, sha256
from fitchain.pod.values.errors import InputRefused
from fitchain.pod.values.job_folder import GRAPH, RECIPE, Scratch, scratch
from fitchain.pod.values.recipe import Recipe
from fitchain.pod.values.work import StepWork

_COUNTING = Path(environment.__file__).parent.parent / "model"
"""Where steps are metered: a change there may change what comes out."""


def measured_work(home: Home, recipe: Recipe, model_folder: Path) -> StepWork:
    """What a step of a recipe takes.

    Args:
        home: the scientist's; a copy of the graph lies there meanwhile.
        recipe: as drafted.
        model_folder: holds the model's graph.

    Raises:
        InputRefused: a step is beyond the limits, or does not fit together.
        EnvironmentRefused: this host is not of the recipe's class.
    """
    memory = environment.host_cache() / "work" / f"{_key(recipe)}.json"
    if (remembered := _recall(memory)) is not None:
        return remembered
    with scratch(home.settings.home, Scratch.METERING) as folder:
        shutil.copyfile(model_folder / GRAPH, folder / GRAPH)
        (folder / RECIPE).write_bytes(recipe.encode())
        work = measure(folder, launcher=home.launcher)
    memory.parent.mkdir(parents=True, exist_ok=True)
    part = memory.with_suffix(f".{os.getpid()}.part")
    part.write_bytes(canonical_json(work.json()))
    part.replace(memory)
    return work


def _key(recipe: Recipe) -> str:
    """Name of what a result holds for."""
    rules = [str(sha256(path.read_bytes())) for path in sorted(_COUNTING.glob("*.py"))]
    categories = {column: len(constants.get("categories", ())) for column, constants in recipe.transform.items()}
    fits = [recipe.loss.name, recipe.target, [list(columns) for columns in recipe.inputs], categories]
    # A step computes all places of its units.
    rows = [recipe.batch_size, recipe.micro_batch, recipe.unit_records, recipe.further_copies]
    conditions = [str(recipe.graph), fits, rows, str(recipe.environment.digest), *rules]
    return sha256(canonical_json(conditions)).value.hex()[:32]


def _recall(memory: Path) -> StepWork | None:
    """A remembered result; a file that is not one counts as forgotten, since a step can always be
    metered again."""
    try:
        return StepWork.parse(json.loads(memory.read_text()))
    except (FileNotFoundError, ValueError, InputRefused):
        return None
