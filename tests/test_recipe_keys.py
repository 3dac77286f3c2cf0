"""The keys of a recipe: all of them are told, with values that a draft takes."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

from fitchain.cli.app import run
from fitchain.pod.values.errors import InputRefused
from fitchain.pod.values.recipe.draft import TERMS
from fitchain.pod.values.recipe.keys import PARTS, Key
from fitchain.pod.values.recipe.terms import LOSSES, OPTIMIZERS
from tests.recipe_drafts import drafted
from tests.recipe_page import PAGE, page

KEYS = [key for part in PARTS for key in part.keys]
BESIDE: dict[str, dict[str, object]] = {
    **{name: {"loss": next(loss for loss in LOSSES if name in LOSSES[loss])} for name in ("weight", "label_smoothing")},
    **{
        name: {"loss": next(loss for loss in LOSSES if name in LOSSES[loss])}
        for name in (
            "pos_weight",
            "ignore_index",
            "focusing",
            "quantile",
            "beta",
            "delta",
            "smooth",
            "log_input",
            "full",
            "log_target",
            "blank",
            "zero_infinity",
        )
    },
    **{
        name: {"optimizer": next(kind for kind in OPTIMIZERS if name in OPTIMIZERS[kind])}
        for name in (
            "momentum",
            "dampening",
            "nesterov",
            "betas",
            "eps",
            "amsgrad",
            "alpha",
            "centered",
            "beta2_decay",
            "d",
        )
    },
    "best": {"held_out": 0.2, "segment_steps": 20},
    "evaluate": {"held_out": 0.2, "segment_steps": 20},
    "inputs": {"target": "diagnosis"},
    "learning_rates": {"steps": 1000},
    "step_size": {"schedule": "step"},
    "gamma": {"schedule": "step"},
}
OTHERS = {
    "inputs": [["radius"], ["scan"]],
    "target": "diagnosis",
    "transform": {"radius": {"mean": 50.0, "scale": 12.0}},
}
"""Examples that name columns, as the test's card has them."""


def test_every_key_is_told_once() -> None:
    assert sorted(key.name for key in KEYS) == sorted(TERMS)


@pytest.mark.parametrize("key", KEYS, ids=lambda key: key.name)
def test_each_example_is_a_value_that_a_draft_takes(key: Key) -> None:
    value = tomllib.loads(f"value = {key.example}")["value"]
    beside = BESIDE.get(key.name, {})
    if key.name == "privacy":
        with pytest.raises(InputRefused, match="the dataset has no privacy budget"):
            drafted(privacy=value)
        return
    drafted(**{**beside, key.name: OTHERS.get(key.name, value)})


def test_the_page_is_made_of_the_code() -> None:
    assert PAGE.read_text() == page(), "python -m tests.recipe_page writes it anew"


def test_show_tells_what_a_file_gives_and_refuses_what_is_unknown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "recipe.toml"
    file.write_text('schedule = "cosine"\nepochs = 7\n')
    assert run(["recipe", "show", str(file), "--json"]) == 0
    keys = json.loads(capsys.readouterr().out)["keys"]
    assert keys["epochs"]["value"] == 7 and keys["steps"]["value"] is None
    assert run(["recipe", "show", str(file)]) == 0
    shown = capsys.readouterr().out
    assert "cosine" in shown and "\\n" not in shown and "\n\nHow long\n" in shown
    file.write_text("epoch = 7\n")
    assert run(["recipe", "show", str(file), "--json"]) == 3
    assert "epochs" in json.loads(capsys.readouterr().out)["error"]["hint"]
