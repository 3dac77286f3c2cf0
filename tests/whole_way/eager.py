"""The same training as anyone would write it: the module's own code, torch's optimizer, a loop.

    python -m tests.whole_way.eager FOLDER FILE.py NAME SEED OUTPUT DTYPE ...

FOLDER has a job's `recipe.json`, its records as a worker gets them, and the weights that it began
with (a module may draw others each time that it is made); `eager.safetensors` with every parameter
and buffer comes to lie beside. The process has the variables of the recipe's class.
Of the project's there are the order of the records and the preparation of a batch, which are data;
the model, the loss, the optimizer and the loop are torch's.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from fitchain.pod.compute.dataset import Assemble, Table, assemble, batches
from fitchain.pod.compute.environment import configure
from fitchain.pod.compute.model import load_module, restore
from fitchain.pod.compute.training import step_seed
from fitchain.pod.values.digest import Digest
from fitchain.pod.values.job_folder import INITIAL, RECORDS
from fitchain.pod.values.recipe import Recipe

FILE = "eager.safetensors"


def main(folder: Path, source: Path, name: str, seed: Digest, output: str, dtypes: Sequence[str]) -> None:
    """Train, and write the weights.

    Args:
        folder: of recipe, records and weights.
        source, name: of the module.
        seed: the order seed.
        output: of what the module returns, the attribute that is trained; empty where it returns a
            tensor.
        dtypes: of the module's arguments.
    """
    from safetensors.torch import save_file

    recipe = Recipe.parse((folder / "recipe.json").read_bytes())
    configure(recipe.environment)
    module = load_module(source, name).train()
    restore(module, folder / INITIAL)
    train(module, output, recipe, assemble(recipe, Table.load(folder / RECORDS), dtypes), seed)
    save_file({key: tensor.contiguous() for key, tensor in module.state_dict().items()}, folder / FILE)


def train(module: nn.Module, output: str, recipe: Recipe, take: Assemble, seed: Digest) -> None:
    """Train a module in place, on the batches that `take` gives."""
    moved = [parameter for parameter in module.parameters() if parameter.requires_grad]
    arguments = {
        key: tuple(each) if isinstance(each, list) else each for key, each in recipe.optimizer.arguments.items()
    }
    optimizer = getattr(torch.optim, recipe.optimizer.name)(moved, fused=True, **arguments)
    compute_loss = getattr(torch.nn.functional, recipe.loss.name)
    for step, rows in enumerate(batches(recipe, seed)):
        inputs, target = take(rows)
        torch.manual_seed(step_seed(seed, step))
        for group in optimizer.param_groups:
            group["lr"] = recipe.learning_rate(step)
        returned = module(*map(torch.from_numpy, inputs))
        prediction = getattr(returned, output) if output else returned
        loss = compute_loss(prediction, torch.from_numpy(target), **recipe.loss.arguments)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], Digest.parse(sys.argv[4]), sys.argv[5], sys.argv[6:])
