"""Laws, examples and attacks: `fitchain.pod.values.recipe`."""

from __future__ import annotations

import json
import math
import tomllib
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fitchain.cli.views.recipe import pairs_of
from fitchain.pod.values.digest import Digest, Root, canonical_json, sha256
from fitchain.pod.values.errors import InputRefused
from fitchain.pod.values.recipe import Recipe, argument_columns, draft
from fitchain.pod.values.recipe.draft import TERMS
from fitchain.pod.values.recipe.schedule import MOST_RUNS, SCHEDULES, learning_rates
from fitchain.pod.values.recipe.spellings import NO_KEYS, OTHER_NAMES
from fitchain.pod.values.recipe.terms import (
    BINARY,
    FIGURES_OF_AMOUNTS,
    FIGURES_OF_CLASSES,
    LOSSES,
    OPTIMIZERS,
    GradientClip,
    ParameterGroup,
)
from tests.recipe_drafts import CARD, GRAPH, MODEL, drafted


def changed(path: str, value: Any) -> bytes:
    """A recipe's JSON with one field changed; the path is dotted."""
    tree: Any = json.loads(drafted().encode())
    *folders, last = path.split(".")
    place = tree
    for folder in folders:
        place = place[folder]
    place[last] = value
    return canonical_json(tree)


def test_draft_fills_in_everything() -> None:
    recipe = drafted()
    assert recipe.inputs == (("radius", "texture"), ("scan",))
    assert recipe.target == "diagnosis" and recipe.rows == (0, 455) and recipe.loss.name == "cross_entropy"
    assert (recipe.batch_size, recipe.steps, recipe.segment_steps, recipe.group_leaves) == (32, 280, 6, 16)
    assert recipe.learning_rates == ((280, 0.001),) and recipe.optimizer.name == "AdamW"
    assert recipe.transform["radius"] == {"mean": 14.1, "scale": 3.5}
    assert recipe.transform["diagnosis"] == {"categories": ["benign", "malignant"]}
    assert recipe.environment.name == "cpu-x86-64-v3" and recipe.metrics == ("loss", "accuracy")


def test_draft_takes_the_terms_of_a_toml_file() -> None:
    terms = tomllib.loads(
        """
        epochs = 2.5
        batch_size = 45
        optimizer = "SGD"
        momentum = 0.9
        nesterov = true
        learning_rate = 0.1
        schedule = "cosine"
        warmup_steps = 2
        inputs = ["radius"]
        rows = [0, 450]
        threads = 2
        [loss]
        name = "cross_entropy"
        label_smoothing = 0.1
        [audit]
        drawn_segments = 3
        """
    )
    recipe = drafted(**terms)
    assert recipe.steps == 25 and recipe.inputs == (("radius",),) and set(recipe.transform) == {"radius", "diagnosis"}
    assert recipe.optimizer.name == "SGD"
    assert recipe.optimizer.arguments == {"momentum": 0.9, "nesterov": True, "weight_decay": 0.0}
    assert recipe.loss.arguments == {"label_smoothing": 0.1, "reduction": "mean"}
    assert recipe.learning_rate(2) == 0.1 and recipe.learning_rate(24) < 0.01
    assert recipe.audit.drawn_segments == 3 and recipe.environment.threads == 2


def test_draft_of_a_real_target_takes_the_squared_error() -> None:
    recipe = drafted(target="radius")
    assert recipe.loss.name == "mse_loss" and recipe.metrics == ("loss",)
    assert recipe.inputs == (("texture", "diagnosis"), ("scan",))


def test_column_may_enter_two_arguments_and_be_the_target() -> None:
    recipe = drafted(inputs=[["radius", "diagnosis"], ["radius"]])
    assert recipe.inputs == (("radius", "diagnosis"), ("radius",)) and recipe.target == "diagnosis"
    assert list(recipe.transform) == ["radius", "diagnosis"]
    assert Recipe.parse(recipe.encode()) == recipe


def test_argument_columns_parts_scalars_from_tensors() -> None:
    assert argument_columns(CARD, "texture") == (("radius", "diagnosis"), ("scan",))


@pytest.mark.parametrize(
    ("terms", "words", "hint"),
    [
        ({"learnig_rate": 0.1}, "'learnig_rate'", "learning_rate"),
        ({"optimizer": "Adamw"}, "not 'Adamw'", "AdamW"),
        ({"optimizer": "Rprop"}, "not 'Rprop'", ""),
        ({"loss": "hinge_loss"}, "not 'hinge_loss'", ""),
        ({"optimizer": "AdamW", "momentum": 0.9}, "AdamW has an unknown field 'momentum'", ""),
        ({"epochs": 1, "steps": 1}, "twice", ""),
        ({"epochs": math.nan}, "finite", ""),
        ({"epochs": 10**400}, "finite", ""),
        ({"steps": True}, "steps is an integer", ""),
        ({"steps": 2.0}, "steps is an integer", ""),
        ({"batch_size": 456}, "456 records does not fit into 455 rows", ""),
        ({"rows": [0, 456]}, "0 to 455, not 456", ""),
        ({"rows": [5, 5]}, "no row", ""),
        ({"rows": 5}, "list", ""),
        ({"inputs": ["radiu"]}, "not 'radiu'", "radius"),
        ({"inputs": [["radius", "radius"]]}, "'radius' stands twice in one argument", ""),
        ({"target": "age"}, "no column 'age'", ""),
        ({"schedule": "cosin"}, "not 'cosin'", "cosine"),
        ({"learning_rate": -0.1}, "learning_rate", ""),
        ({"warmup_steps": 281}, "0 to 280", ""),
        ({"group_leaves": 12}, "power of two, not 12", ""),
        ({"segment_steps": 1}, "2 to", ""),
        ({"metrics": ["f2"]}, "f1, mae, not 'f2'", ""),
        ({"metrics": ["loss", "auc"]}, "ranks records by one model", 'evaluate = "segment"'),
        ({"target": "radius", "metrics": ["f1"]}, "f1 is of classes", ""),
        ({"target": "scan", "loss": BINARY, "best": "auc", "held_out": 0.2}, r"one answer a record, .* \[8, 8\]", "f1"),
        ({"metrics": ["loss", "loss"]}, "twice", ""),
        ({"target": "radius", "metrics": ["accuracy"]}, "accuracy is of classes", ""),
        ({"audit": {"drawn_segmens": 3}}, "'drawn_segmens'", "drawn_segments"),
        ({"audit": {"verifiers": 256}}, "0 to 255", ""),
        ({"audit": {"mode": "onsite"}}, "not 'onsite'", "on-site"),
        ({"audit": 3}, "table", ""),
        ({"environment": "../x"}, "letters", ""),
        ({"threads": 0}, "1 to 1024", ""),
        ({"optimizer": "SGD", "nesterov": True, "momentum": 0.0}, "momentum above 0", ""),
        ({"betas": [0.9]}, "a list of 2 items", ""),
        ({"betas": [0.9, 1.0]}, "betas", ""),
        ({"weight_decay": "no"}, "finite number", ""),
        ({"transform": {"radius": {"mean": 0, "scale": 0}}}, "above 0", ""),
        ({"transform": {"age": {"mean": 0, "scale": 1}}}, "'age'", ""),
        ({"transform": {"radius": {"categories": ["a", "a"]}}}, "rising", ""),
        ({"transform": {"radius": {"categories": [1, True]}}}, "rising", ""),
        ({"transform": 1}, "JSON object", ""),
        ({"gradient_clip": {"norm": 1, "value": 1}}, "a norm or a value", "{norm = 1.0}"),
        ({"gradient_clip": 0}, "gradient_clip", ""),
        ({"gradient_clip": {"length": 1}}, "unknown field 'length'", "norm"),
        ({"parameter_groups": [{"rate": 2}]}, "parameter group has no field 'match'", ""),
        ({"parameter_groups": [{"match": "a", "lr": 2}]}, "unknown field 'lr'", "rate"),
        ({"weight": []}, "weight", ""),
        ({"weight": [1, -1]}, "weight", ""),
        ({"loss": "focal_loss", "focusing": -1}, "focusing", ""),
    ],
)
def test_draft_refuses_a_bad_term_by_name(terms: Mapping[str, Any], words: str, hint: str) -> None:
    with pytest.raises(InputRefused, match=words) as refused:
        drafted(**terms)
    assert hint in refused.value.hint


@given(
    st.integers(1, 10_000),
    st.integers(2, 300),
    st.sampled_from(SCHEDULES),
    st.sampled_from(("SGD", "Adam", "AdamW")),
)
def test_parse_gives_back_what_was_encoded(steps: int, segment: int, schedule: str, optimizer: str) -> None:
    recipe = drafted(steps=steps, segment_steps=segment, schedule=schedule, optimizer=optimizer)
    again = Recipe.parse(recipe.encode())
    assert again == recipe and again.digest == recipe.digest == sha256(recipe.encode())


@given(st.integers(1, 10_000), st.integers(2, 300))
def test_leaves_cover_every_step(steps: int, segment: int) -> None:
    recipe = drafted(steps=steps, segment_steps=segment)
    places = [recipe.step_of(leaf) for leaf in range(recipe.leaf_count)]
    assert places[0] == 0 and places[-1] == steps
    assert all(0 < later - earlier <= segment for earlier, later in pairwise(places))


def test_there_is_no_leaf_and_no_step_beyond_the_last() -> None:
    recipe = drafted(steps=10, segment_steps=4)
    with pytest.raises(InputRefused, match="4 leaves and none of index 4"):
        recipe.step_of(4)
    with pytest.raises(InputRefused, match="10 steps and none of index 10"):
        recipe.learning_rate(10)


@given(st.integers(1, 2000), st.sampled_from(SCHEDULES), st.integers(0, 50))
def test_a_table_covers_its_steps_with_neighbours_that_differ(steps: int, schedule: str, warmup: int) -> None:
    table = learning_rates(schedule, 0.1, steps, min(warmup, steps), 7, 0.5)
    assert sum(count for count, _ in table) == steps and all(0 <= rate <= 0.1 for _, rate in table)
    assert all(left[1] != right[1] for left, right in pairwise(table))


def test_learning_rate_is_the_tables() -> None:
    recipe = drafted(steps=6, schedule="step", step_size=2, gamma=0.5, learning_rate=0.4)
    assert [recipe.learning_rate(step) for step in range(6)] == [0.4, 0.4, 0.2, 0.2, 0.1, 0.1]


def test_schedules_rise_and_fall_as_they_are_called() -> None:
    linear = drafted(steps=4, schedule="linear", learning_rate=0.4, minimum_learning_rate=0.2)
    assert [linear.learning_rate(step) for step in range(4)] == pytest.approx([0.4, 0.35, 0.3, 0.25])
    cycle = drafted(steps=100, schedule="one_cycle", learning_rate=0.5)
    rates = [cycle.learning_rate(step) for step in range(100)]
    assert rates[0] == 0.02 and max(rates) == rates[30] == 0.5 and rates[-1] < 0.001
    assert rates[:31] == sorted(rates[:31]) and rates[30:] == sorted(rates[30:], reverse=True)


def test_a_table_may_stand_for_a_schedule() -> None:
    recipe = drafted(steps=5, learning_rates=[[2, 0.1], [3, 0.01]])
    assert [recipe.learning_rate(step) for step in range(5)] == [0.1, 0.1, 0.01, 0.01, 0.01]
    with pytest.raises(InputRefused, match="learning_rates and schedule say the same twice"):
        drafted(steps=5, learning_rates=[[5, 0.1]], schedule="linear")


def test_draft_writes_out_clips_and_groups() -> None:
    assert drafted().gradient_clip is None and drafted().parameter_groups == ()
    assert drafted(gradient_clip=1).gradient_clip == GradientClip("norm", 1.0)
    assert drafted(gradient_clip={"value": 0.5}).gradient_clip == GradientClip("value", 0.5)
    groups = [{"match": "head.*", "rate": 10}, {"match": "*.bias", "weight_decay": 0}]
    assert drafted(parameter_groups=groups).parameter_groups == (
        ParameterGroup("head.*", 10.0),
        ParameterGroup("*.bias", 1.0, 0.0),
    )


def test_weights_are_one_for_each_class() -> None:
    assert drafted(weight=[1, 3.5]).loss.arguments["weight"] == [1.0, 3.5]
    with pytest.raises(InputRefused, match="3 class weights and the target 2 classes"):
        drafted(weight=[1, 2, 3])


def test_accuracy_is_reported_of_every_loss_of_classes() -> None:
    assert drafted(loss="binary_cross_entropy_with_logits").metrics == ("loss", "accuracy")
    assert drafted(target="radius", loss="mse_loss").metrics == ("loss",)


@pytest.mark.parametrize(
    ("terms", "reason", "hint"),
    [
        ({"ignore_index": 2}, "ignore_index is 2, and the target 'diagnosis' has the class numbers 0 to 1", "from 0"),
        ({"ignore_index": -1}, "the class numbers 0 to 1", "from 0"),
        ({"metrics": ["top5"]}, "top5 is of one of more than 5 classes, and the target 'diagnosis' has 2", "metrics"),
        ({"loss": "mse_loss"}, "is of amounts, and the target 'diagnosis' is one of 2 classes", "cross_entropy"),
        ({"loss": "poisson_nll_loss"}, "is of amounts, and the target 'diagnosis'", "cross_entropy"),
        ({"target": "radius", "loss": "nll_loss"}, "nll_loss is of classes, and the target 'radius'", "mse_loss"),
        ({"target": "radius", "loss": "dice_loss"}, "dice_loss is of what is true or not", "mse_loss"),
    ],
)
def test_what_means_nothing_of_the_target_is_refused(terms: Mapping[str, Any], reason: str, hint: str) -> None:
    with pytest.raises(InputRefused, match=reason) as refused:
        drafted(**terms)
    assert hint in refused.value.hint


def test_torchs_own_word_for_ignoring_nothing_is_refused_where_no_label_can_be_it() -> None:
    with pytest.raises(InputRefused, match="ignore_index is -100, and the target 'diagnosis'") as refused:
        drafted(ignore_index=-100)
    assert "leave it out" in refused.value.hint
    text = {"name": "note", "dtype": "int64", "kind": "tokens", "shape": [16]}
    of_texts = CARD | {"columns": [*CARD["columns"], text], "tokenizer": {"pad": 3, "vocabulary": 100}}
    terms = {"target": "note", "loss": "cross_entropy", "inputs": ["radius"]}
    with pytest.raises(InputRefused, match="the class numbers 0 to 99") as refused:
        draft(GRAPH, Root(MODEL), of_texts, "2.13.0+cpu", {**terms, "ignore_index": -100})
    assert "fills shorter texts up is 3" in refused.value.hint
    assert draft(GRAPH, Root(MODEL), of_texts, "2.13.0+cpu", {**terms, "ignore_index": 3}).target == "note"


def test_labels_that_a_card_does_not_tell_may_be_ignored_by_any_number() -> None:
    card = CARD | {"transform": {}}
    drawn = draft(GRAPH, Root(MODEL), card, "2.13.0+cpu", {"ignore_index": -100})
    assert drawn.loss.arguments["ignore_index"] == -100


def test_what_private_training_would_undo_is_refused() -> None:
    private = CARD | {"privacy": {"delta": 1e-4}}
    terms: dict[str, Any] = {"privacy": {"epsilon": 3}, "batch_size": 64}
    for further, words in (({"gradient_clip": 1}, "by its own terms"), ({"weight": [1, 2]}, "divides its weight out")):
        with pytest.raises(InputRefused, match=words):
            draft(GRAPH, Root(MODEL), private, "2.13.0+cpu", terms | further)
    draft(GRAPH, Root(MODEL), private, "2.13.0+cpu", terms | {"weight": [1, 2], "reduction": "sum"})


def test_a_table_of_many_steps_stays_small() -> None:
    table = learning_rates("cosine", 0.1, 3_000_000)
    assert len(table) <= MOST_RUNS and sum(count for count, _ in table) == 3_000_000


@pytest.mark.parametrize(
    ("terms", "meant"),
    [
        *(
            ({"schedule": name}, "one_cycle")
            for name in ("one-cycle", "OneCycleLR", "1cycle", "one cycle", "onecycle_schedule")
        ),
        *(({"schedule": name}, "cosine") for name in ("Cosine", "CosineAnnealingLR", "cosine_with_warmup", "cosin")),
        *(({"schedule": name}, "linear_warmup") for name in ("warm-up", "linear-warmup", "constant_with_warmup")),
        *(({"loss": name}, "cross_entropy") for name in ("CrossEntropyLoss", "cross-entropy", "CE")),
        *(({"loss": name}, "binary_cross_entropy_with_logits") for name in ("BCEWithLogitsLoss", "bce")),
        *(({"loss": {"name": name}}, "poisson_nll_loss") for name in ("PoissonNLLLoss", "poisson_nll")),
        *(({"loss": name}, "dice_loss") for name in ("Dice", "soft_dice_loss")),
        *(({"loss": name}, "kl_div") for name in ("KLDivLoss", "kl")),
        *(({"optimizer": name}, "AdamW") for name in ("adamw", "adam_w")),
        *(({"optimizer": name}, "RMSprop") for name in ("rmsprop", "RMSProp")),
        *(
            ({name: 4}, "micro_batch")
            for name in ("accumulate_grad_batches", "gradient_accumulation_steps", "micro_batch_size")
        ),
        *(({name: 1}, "gradient_clip") for name in ("clip_grad_norm_", "max_grad_norm", "clip-norm")),
        *(({name: 1}, "learning_rate") for name in ("lr", "max_lr", "learning_rat")),
        *(({name: 1}, "ema") for name in ("ema_decay", "EMA")),
        *(({name: 1}, "proximal") for name in ("mu", "FedProx")),
    ],
)
def test_a_name_as_it_is_said_elsewhere_is_refused_with_the_one_that_is_meant(terms: Any, meant: str) -> None:
    with pytest.raises(InputRefused) as refused:
        drafted(**terms)
    assert refused.value.hint.startswith(f"did you mean {meant}")


def test_every_other_name_leads_to_a_name_that_a_recipe_has() -> None:
    figures = {*FIGURES_OF_CLASSES, *FIGURES_OF_AMOUNTS}
    own = {"schedule": SCHEDULES, "loss": LOSSES, "optimizer": OPTIMIZERS, "recipe": TERMS, "figure": figures}
    for key, others in OTHER_NAMES.items():
        assert set(others.values()) <= set(own[key]) and not set(others) & set(own[key])


def test_no_key_that_is_meant_otherwise_is_one_that_a_recipe_has() -> None:
    assert not set(NO_KEYS) & ({*TERMS} | set(OTHER_NAMES["recipe"]))
    with pytest.raises(InputRefused, match="unknown field 'random_state'") as refused:
        drafted(random_state=1)
    assert "a block of the chain" in refused.value.hint


def each(path: str, *values: Any) -> list[tuple[str, Any]]:
    """A field with each of several values."""
    return [(path, value) for value in values]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        *each("version", "fitchain/recipe/v1", 1, None),
        *each("graph", "0x00", None, 7, "0x" + "g" * 64),
        *each("steps", 0, -1, 2**32, True, 1.5, "280", None),
        *each("rows", [], [0], [10, 0], [0, 2**60], [False, 5], {}),
        *each("learning_rates", [], [[280]], [[279, 0.1]], [[140, 0.1], [140, 0.1]], [[280, -1.0]]),
        *each("learning_rates", [[280, "0.1"]], [[280, True]], [[0, 0.2], [280, 0.1]], "x"),
        *each("inputs", [], [[]], [["a"] * 2], [[1]], "ab", [["x" * 201]], [["a\n"]]),
        *each("loss", {}, {"name": "mse_loss"}, {"name": "eval", "arguments": {}}, "mse_loss"),
        ("loss", {"name": "mse_loss", "arguments": {"reduction": "none"}}),
        ("loss", {"name": "mse_loss", "arguments": {"weight": 1}}),
        *each("environment.threads", 0, True, 1.5, None),
        *each("environment.probe", "", 0, "0x"),
        *each("environment.class", "", "a b", "x" * 81, None),
        ("dtype", "float16"),
        ("audit.panel", "none"),
        ("extra", 1),
        ("transform.radius", {"mean": 0.0}),
        ("transform.radius", {"mean": 0.0, "scale": 1.0, "code": "x"}),
        ("transform.radius", {"categories": []}),
    ],
)
def test_parse_refuses_a_field_out_of_bounds(path: str, value: Any) -> None:
    with pytest.raises(InputRefused):
        Recipe.parse(changed(path, value))


def test_a_recipe_names_the_root_of_a_base_or_none() -> None:
    values: tuple[Any, ...] = ({}, 0, False, "0x12")
    for value in values:
        with pytest.raises(InputRefused):
            Recipe.parse(changed("base", value))
    assert Recipe.parse(changed("base", str(MODEL))).base == MODEL
    assert Recipe.parse(changed("base", None)) == drafted()


def test_a_share_is_held_out_of_the_rows_that_are_trained_on() -> None:
    recipe = drafted(held_out=0.2)
    assert (recipe.row_count, recipe.held_out_count, recipe.training_count) == (455, 91, 364)
    assert recipe.steps == 20 * (364 // 32) and Recipe.parse(recipe.encode()) == recipe
    assert recipe.digest != drafted(steps=recipe.steps).digest
    assert recipe.most_records(1000) == 32_000


def test_a_draft_holds_out_what_the_policy_asks_for_where_it_says_nothing() -> None:
    card = CARD | {"policy": {"minimum_batch": 8, "held_out": 0.1}}
    assert draft(GRAPH, Root(MODEL), card, "2.13.0+cpu").held_out == 0.1
    assert draft(GRAPH, Root(MODEL), card, "2.13.0+cpu", {"held_out": 0.3}).held_out == 0.3
    assert drafted().held_out is None


@pytest.mark.parametrize("share", [0, -0.1, 0.51, "0.2", True, [0.2], 5e300])
def test_a_share_out_of_bounds_is_refused(share: Any) -> None:
    with pytest.raises(InputRefused, match="held_out"):
        drafted(held_out=share)
    with pytest.raises(InputRefused, match="held_out"):
        Recipe.parse(changed("held_out", share))


def test_evaluating_takes_no_longer_than_a_segment() -> None:
    with pytest.raises(InputRefused, match="evaluating 228 held-out records takes longer than a segment of 2 steps"):
        drafted(held_out=0.5, batch_size=8, steps=4, segment_steps=2)
    assert drafted(held_out=0.5, batch_size=8, steps=40).segment_steps == 10  # 3 * 10 * 8 are at least 228


def test_a_batch_fits_into_the_rows_that_are_left() -> None:
    with pytest.raises(InputRefused, match="a batch of 300 records does not fit into 227 rows"):
        drafted(held_out=0.5, batch_size=300, steps=2)


def test_parse_refuses_a_missing_field() -> None:
    whole = json.loads(drafted().encode())
    for key in whole:
        with pytest.raises(InputRefused, match=f"no field '{key}'"):
            Recipe.parse(canonical_json({name: whole[name] for name in whole if name != key}))


def test_parse_refuses_json_that_is_not_canonical() -> None:
    data = drafted().encode()
    for other in (b" " + data, data.replace(b",", b", ", 1), json.dumps(json.loads(data), indent=1).encode()):
        with pytest.raises(InputRefused, match="not canonical"):
            Recipe.parse(other)


@given(st.binary(max_size=100) | st.text(max_size=50).map(str.encode))
def test_parse_refuses_or_understands_any_bytes(data: bytes) -> None:
    with pytest.raises(InputRefused):
        Recipe.parse(data)


@pytest.mark.parametrize(
    "terms",
    [
        {"learning_rate": 0.002},
        {"batch_size": 31},
        {"steps": 281},
        {"segment_steps": 7},
        {"weight_decay": 0.02},
        {"rows": [0, 454]},
        {"threads": 2},
        {"label_smoothing": 0.1},
        {"transform": {"radius": {"mean": 14.1, "scale": 3.5000000000000004}}},
    ],
)
def test_digest_changes_with_every_term(terms: Mapping[str, Any]) -> None:
    assert drafted(**terms).digest != drafted().digest


def test_probe_and_panel_travel() -> None:
    probe, panel = sha256(b"probe"), sha256(b"panel")
    recipe = draft(GRAPH, Root(MODEL), CARD, "2.13.0", {"audit": {"panel": str(panel)}}, probe)
    again = Recipe.parse(recipe.encode())
    assert again.environment.probe == probe and again.audit.panel == panel and isinstance(again.graph, Digest)


def test_a_recipe_in_words_tells_what_is_done_with_batches_and_weights() -> None:
    pairs = dict(pairs_of(drafted(micro_batch=8, proximal=0.01, ema=0.999, optimizer="Adafactor")))
    assert pairs["steps"].endswith("8 records at once") and pairs["pulls"].endswith("by 0.01 times the distance")
    assert (
        "0.999 stays in a step; that is what is delivered" in pairs["averages"] and "torch's own" in pairs["optimizer"]
    )
