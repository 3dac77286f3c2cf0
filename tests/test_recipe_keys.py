"""The keys of a recipe: all of them are told, with values that a draft takes."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from fitchain.cli.app import run
from fitchain.cli.views.recipe_file import recipe_file
from fitchain.pod.values.errors import InputRefused
from fitchain.pod.values.recipe.draft import TERMS
from fitchain.pod.values.recipe.faults import ORDER, faults_of
from fitchain.pod.values.recipe.keys import PARTS, Key
from fitchain.pod.values.recipe.terms import LOSSES, OF_HITS, OPTIMIZERS
from tests.recipe_drafts import CARD, drafted
from tests.recipe_page import PAGE, page

KEYS = [key for part in PARTS for key in part.keys]


def of_a_loss(term: str) -> dict[str, Any]:
    """A loss that has a term, and a target that it is of."""
    loss = next(loss for loss in LOSSES if term in LOSSES[loss])
    return {"loss": loss} | ({} if loss in OF_HITS else {"target": "radius"})


BESIDE: dict[str, dict[str, object]] = {
    **{
        name: of_a_loss(name)
        for name in (
            "weight",
            "label_smoothing",
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
    file.write_text("steps = 10\n[privacy]\nepsilon = 3\n")
    assert run(["recipe", "show", str(file), "--json"]) == 0
    capsys.readouterr()
    file.write_text("epoch = 7\n")
    assert run(["recipe", "show", str(file), "--json"]) == 3
    assert "epochs" in json.loads(capsys.readouterr().out)["error"]["hint"]


def test_show_tells_all_that_is_wrong_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "recipe.toml"
    file.write_text('lr = 0.1\nbatch_size = -3\noptimizer = "adam"\nbetas = [0.9]\nschedule = "cosin"\n')
    assert run(["recipe", "show", str(file), "--json"]) == 3
    shown = capsys.readouterr()
    faults = json.loads(shown.out)["error"]["faults"]
    said = [
        next(word for word in ("lr", "batch_size", "betas", "optimizer", "schedule") if word in each["message"])
        for each in faults
    ]
    assert said == ["lr", "batch_size", "optimizer", "betas", "schedule"]
    assert faults[0]["hint"] == "did you mean learning_rate?" and faults[2]["hint"] == "did you mean Adam?"
    assert shown.err.splitlines()[0] == f"error: {file}: 5 things are wrong"
    assert len(shown.err.splitlines()) == 1 + 5 + sum(bool(each["hint"]) for each in faults)


@pytest.mark.parametrize("key", KEYS, ids=lambda key: key.name)
def test_no_example_has_a_fault(key: Key) -> None:
    assert faults_of({**BESIDE.get(key.name, {}), key.name: tomllib.loads(f"value = {key.example}")["value"]}) == []


@pytest.mark.parametrize(
    "text",
    [
        'schedule = "cosine"\nwarmup_steps = 5000\nepochs = 1',
        "held_out = 0.2\nsegment_steps = 3\nbatch_size = 8",
        "rows = [0, 40]\nbatch_size = 32",
        'loss = "huber_loss"\nmetrics = ["mae"]\nheld_out = 0.2\nbest = "r2"',
        "learning_rates = [[100, 0.1], [200, 0.01]]\nepochs = 3",
        "weight = [1.0, 2.0, 3.0]",
        "pos_weight = [2.0]",
        Path("examples/recipe.toml").read_text(),
    ],
)
def test_what_some_dataset_takes_has_no_fault(text: str) -> None:
    assert faults_of(tomllib.loads(text)) == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("epochs = 2\nsteps = 3\nema = 2", ["say the same twice", "ema"]),
        ("epochs = -1\nsteps = 3\nbatch_size = 0", ["batch_size", "say the same twice", "epochs is"]),
        ("epochs = 2\nsteps = 0", ["steps is", "say the same twice"]),
        ("learning_rates = [[3, 'x']]\ngamma = 2\nsteps = 3", ["gamma", "say the same twice", "learning_rates is"]),
        ("held_out = 0.9\nevaluate = 'segment'\nbest = 'loss'", ["held_out"]),
        ("quantile = 0.5\nloss = 'hinge'\nbeta = -1", ["loss is one of", "beta"]),
        ("gradient_clip = 0\n[privacy]\nepsilon = 3\nnoise = 1", ["'noise'", "gradient"]),
        ("[privacy]\nepsilon = 3\nsigma = 1", ["an epsilon or a sigma"]),
        ("weight = [1.0, -1.0]\nmicro_batch = 64", ["micro_batch", "weight"]),
    ],
)
def test_each_fault_is_told_once(text: str, words: list[str]) -> None:
    messages = [fault.message for fault in faults_of(tomllib.loads(text))]
    assert len(messages) == len(words) and all(word in message for word, message in zip(words, messages, strict=True))


def test_faults_on_a_dataset_are_those_of_its_card() -> None:
    terms = {"ignore_index": 5, "batch_size": 456, "rows": [0, 500], "momentum": 0.9}
    messages = [fault.message for fault in faults_of(terms, CARD)]
    assert [word in message for word, message in zip(("500", "456", "ignore_index", "momentum"), messages, strict=True)]
    private = faults_of({"ema": -1}, {**CARD, "privacy": {"delta": 1e-4}})
    assert ["privacy budget" in private[0].message, "ema" in private[1].message] == [True, True]


def test_a_policys_conditions_are_told_with_the_rest() -> None:
    card = CARD | {"policy": {"minimum_batch": 8, "held_out": 0.2, "maximum_steps": 100}}
    terms = {"batch_size": 4, "held_out": 0.1, "steps": 101, "ema": 2}
    assert [fault.hint.partition(",")[0] for fault in faults_of(terms, card)] == [
        "write held_out = 0.2 into the recipe",
        "write batch_size = 8",
        "write steps = 100",
        "ema = 0.999",
    ]
    assert faults_of({"held_out": 0.0}, card)[0].hint == "leave it out for the 0.2 that the dataset asks for"
    assert faults_of({"ema": 0.9}, card) == []  # the usual epochs are more steps than admitted, and no fault of it


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ('target = "Diagnosis"', "did you mean diagnosis?"),
        ('target = "DIAGNOSIS"', "did you mean diagnosis?"),
        ('target = "xyz"', "it has radius, scan, texture, diagnosis"),
        ("betas = 0.9", "write betas = [0.9, 0.999], say"),
        ('metrics = "accuracy"', 'it is a list: write metrics = ["accuracy"]'),
        ('metrics = ["acc"]', "did you mean accuracy?"),
        ('epochs = "20"', "write epochs = 20, without quotes"),
        ("epochs = 0", "write epochs = 20, say, or steps = 1 for one step"),
        ("batch_size = 32.0", "write batch_size = 32, without a point"),
        ("amsgrad = 1", "write amsgrad = true"),
        ('rows = "all"', "write rows = [0, 400], say"),
        ("held_out = 0.0", "leave it out to hold no record out"),
        ("momentum = 0.9", 'it is of SGD or RMSprop: write optimizer = "SGD", or leave it out'),
        ('optimiser = "SGD"', "did you mean optimizer?"),
        ("learning-rate = 0.1", "did you mean learning_rate?"),
        (
            "[optimizer]\nname = 'SGD'\nlr = 0.1",
            "did you mean learning_rate? It stands outside of the table [optimizer]",
        ),
        ("[loss]\nname = 'mse_loss'\nlearning_rate = 0.1", "learning_rate stands outside of the table [loss]"),
        ('held_out = "0.2"', "write held_out = 0.2, without quotes"),
        ("[parameter_groups]\nmatch = 'a'", "it is a list: write parameter_groups = [{...}], or [[parameter_groups]]"),
        ("gradient_clip = '1'", "write gradient_clip = 1, without quotes"),
    ],
)
def test_a_fault_comes_with_what_to_write(text: str, hint: str) -> None:
    (fault,) = faults_of(tomllib.loads(text), CARD)
    assert fault.hint.startswith(hint)


def test_terms_come_behind_those_that_they_may_depend_on() -> None:
    assert sorted(ORDER) == sorted(TERMS)


def test_a_written_recipe_is_read_as_the_same() -> None:
    terms = {"optimizer": "Adafactor", "target": "diagnosis", "gradient_clip": {"norm": 1.0}, "loss": "nll_loss"}
    text = recipe_file(terms, drafted(**terms))
    assert tomllib.loads(text) == terms
    commented = re.findall(r"^# (\w+ = .+)$", text, re.MULTILINE)
    assert sorted([*(tomllib.loads(line).popitem()[0] for line in commented), *terms]) == sorted(TERMS)
    assert "# batch_size = 32" in text and "# learning_rate = 0.01" in text
