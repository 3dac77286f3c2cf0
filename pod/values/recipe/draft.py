"""Drafting: a whole recipe out of a dataset's card and the few terms that a scientist gave.

What a draft fills in is written out in the recipe, so that nothing depends on a default of a later
release.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from fitchain.pod.values.digest import Digest, Root
from fitchain.pod.values.errors import InputRefused
from fitchain.pod.values.limits import MOST_COLUMNS
from fitchain.pod.values.privacy.terms import sigma_for
from fitchain.pod.values.recipe.conditions import require_batch, require_held_out, require_steps
from fitchain.pod.values.recipe.fields import Fields, choice, integer, items, real, refuse_unknown, text
from fitchain.pod.values.recipe.privacy import (
    DEFAULT_CLIP,
    DEFAULT_GRID,
    FILLED,
    LEAST_SIGMA,
    MOST_SIGMA,
    Privacy,
    sampling_rate,
)
from fitchain.pod.values.recipe.schedule import SCHEDULES, learning_rates
from fitchain.pod.values.recipe.spellings import meant, named, of_another, require_known
from fitchain.pod.values.recipe.terms import (
    AMONG,
    AS_THEY_ARE,
    BINARY,
    CLASSIFICATION,
    CLIP_KINDS,
    CTC,
    END,
    KL,
    LOSSES,
    METRICS,
    MOST_BATCH,
    MOST_GROUPS,
    MOST_STEPS,
    OF_HITS,
    OF_TRUTHS,
    OPTIMIZERS,
    SEGMENT,
    VERSION,
    Audit,
    Environment,
    ParameterGroup,
    Recipe,
    figures_of,
    held_out_count,
    least_segment,
    parse_held_out,
)
from fitchain.pod.values.suggestions import hint

DEFAULT_CLASS = "cpu-x86-64-v3"
DEFAULT_EPOCHS = 20
DEFAULT_BATCH = 32
DEFAULT_SEGMENTS = 50
"""Segments of a draft that names no segment length: enough for an audit to draw from, few enough to
keep every state."""
DEFAULT_ANCHORS = 3
SHOWN_COLUMNS = 8
"""Of a dataset whose columns are listed where none is near to a name."""
TOKENS = "tokens"
"""The kind of a column of free text in a card."""

_ADAM = {"betas": [0.9, 0.999], "eps": 1e-8}
DEFAULT_ARGUMENTS: Mapping[str, Mapping[str, Any]] = {
    **{loss: {"reduction": "batchmean" if loss == KL else "mean"} for loss in LOSSES},
    "SGD": {"momentum": 0.9, "weight_decay": 0.0},
    "Adam": {**_ADAM, "weight_decay": 0.0},
    "AdamW": {**_ADAM, "weight_decay": 0.01},
    "RMSprop": {"alpha": 0.99, "eps": 1e-8, "momentum": 0.0, "weight_decay": 0.0},
    "Adafactor": {"beta2_decay": -0.8, "d": 1.0, "eps": [None, 1e-3], "weight_decay": 0.0},
    "Lion": {"betas": [0.9, 0.99], "weight_decay": 0.0},
    "LAMB": {"betas": [0.9, 0.999], "eps": 1e-6, "weight_decay": 0.01},
}
"""What a draft writes out where a scientist says nothing."""

_USUAL_RATES = {"SGD": 0.01, "RMSprop": 0.01, "Adafactor": 0.01, "Lion": 0.0001}
"""The learning rate of a draft that names none; 0.001 of any other optimizer."""
SCHEDULE_TERMS = ("learning_rate", "schedule", "warmup_steps", "step_size", "gamma", "minimum_learning_rate")
_OPTIMIZER_TERMS = tuple(sorted({term for terms in OPTIMIZERS.values() for term in terms}))
_LOSS_TERMS = tuple(sorted({term for terms in LOSSES.values() for term in terms}))
TERMS = (
    *("inputs", "target", "rows", "held_out", "evaluate", "best", "transform", "batch_size", "epochs", "steps"),
    *("segment_steps", "group_leaves", "metrics", "audit", "environment", "threads", "loss", "optimizer", "privacy"),
    *("gradient_clip", "parameter_groups", "learning_rates", "micro_batch", "proximal", "ema"),
    *_LOSS_TERMS,
    *_OPTIMIZER_TERMS,
    *SCHEDULE_TERMS,
)
"""Every term that a recipe file may give."""


def draft(
    graph: Digest,
    initial_model: Root,
    card: Mapping[str, Any],
    torch: str,
    terms: Mapping[str, Any] | None = None,
    probe: Digest | None = None,
    base: Root | None = None,
) -> Recipe:
    """Make a recipe of a card and the terms that a scientist gave.

    Args:
        graph: digest of the graph.
        initial_model: model root of the initial weights.
        card: the dataset's card as JSON: `root`, `count`, `columns` (name, dtype, shape), `target`,
            `transform`, `policy`, `privacy`, `unit`, `subgroups`.
        torch: torch's exact version, part of the environment.
        terms: any of `TERMS`, as a TOML file gives them; the rest is filled in.
        probe: digest of the environment class's probe, where the class does not ship it.
        base: model root of the base that the initial model is a delta over; None where it is whole.

    Returns:
        A recipe that parses.

    Raises:
        InputRefused: a term is unknown (near ones are named), out of bounds, or does not fit the
            card.
    """
    terms = terms or {}
    require_known("the recipe", terms, TERMS)
    target = text("target", terms.get("target", card["target"]), 200)
    inputs = _inputs(card, target, terms)
    rows = _rows(card, terms)
    held_out = _held_out(card, terms)
    units = max(0, rows[1] - rows[0]) // (_unit_records(card) or 1)
    trained = units - held_out_count(held_out, units)
    loss = _loss(card, target, terms)
    _require_of_task(card, target, loss, terms.get("metrics", ()))
    batch_size = _batch_size(card, trained, terms)
    steps = _steps(trained, batch_size, terms)
    if "steps" in terms or "epochs" in terms:
        require_steps(steps, card.get("policy", {}).get("maximum_steps"))
    evaluate = terms.get("evaluate", END if terms.get("best") is None else SEGMENT)
    default_segment = max(2, -(-steps // DEFAULT_SEGMENTS), least_segment(units - trained, batch_size, evaluate))
    segment_steps = integer("segment_steps", terms.get("segment_steps", default_segment), 2, MOST_STEPS)
    privacy = _privacy(card, trained, batch_size, steps, terms)
    metrics = ["loss", "accuracy"] if loss["name"] in OF_HITS else ["loss"]
    optimizer = _named(terms, "optimizer", "AdamW", OPTIMIZERS)
    return Recipe.from_json(
        {
            "version": VERSION,
            "graph": str(graph),
            "initial_model": str(initial_model),
            "base": None if base is None else str(base),
            "dataset": str(card["root"]),
            "inputs": inputs,
            "target": target,
            "rows": rows,
            "held_out": held_out,
            "evaluate": evaluate,
            "best": _best(card, target, loss["name"], terms),
            "held_out_from": None,
            "transform": terms.get("transform", _transform(card, inputs, target, loss["name"])),
            "loss": loss,
            "optimizer": optimizer,
            "gradient_clip": _gradient_clip(terms),
            "parameter_groups": _parameter_groups(terms),
            "proximal": terms.get("proximal"),
            "ema": terms.get("ema"),
            "learning_rates": _learning_rates(optimizer["name"], steps, terms),
            "batch_size": batch_size,
            "micro_batch": terms.get("micro_batch"),
            "steps": steps,
            "segment_steps": segment_steps,
            "group_leaves": terms.get("group_leaves", _group_leaves(-(-steps // segment_steps) + 1)),
            "dtype": "float32",
            "environment": _environment(torch, terms, probe),
            "metrics": _metrics(terms, [] if privacy else metrics),
            "privacy": privacy,
            "subgroups": {} if held_out is None else groups_of(card),
            "audit": {**Audit().json(), **_table(terms, "audit")},
        }
    )


def argument_columns(card: Mapping[str, Any], target: str | None = None) -> tuple[tuple[str, ...], ...]:
    """Part a card's columns into the arguments of a model that takes them all.

    Args:
        card: a dataset's card.
        target: the column left out; the card's own target if None.

    Returns:
        One argument of all scalar columns, in the card's order, then one for each tensor column.
    """
    target = card["target"] if target is None else target
    _require_column(card, target)
    evaluating = [name for name, subgroup in card.get("subgroups", {}).items() if not subgroup["is_input"]]
    no_features = (target, *evaluating, *((FILLED,) if card.get("unit") else ()))
    columns = [column for column in card["columns"] if column["name"] not in no_features]
    scalars = tuple(column["name"] for column in columns if not column["shape"])
    return (*([scalars] if scalars else []), *((column["name"],) for column in columns if column["shape"]))


def _require_column(card: Mapping[str, Any], target: str) -> None:
    names = [column["name"] for column in card["columns"]]
    if target not in names:
        more = f" and {len(names) - SHOWN_COLUMNS} more" if len(names) > SHOWN_COLUMNS else ""
        advice = hint(target, names) or f"it has {', '.join(names[:SHOWN_COLUMNS])}{more}"
        raise InputRefused(f"the dataset has no column {target!r} for a target", advice)


def groups_of(card: Mapping[str, Any]) -> dict[str, list[Any]]:
    """The groups by which a dataset's results on held-out records are told, by column."""
    return {column: list(subgroup["groups"]) for column, subgroup in card.get("subgroups", {}).items()}


def _inputs(card: Mapping[str, Any], target: str, terms: Mapping[str, Any]) -> Sequence[Sequence[Any]]:
    """The columns of each argument; a flat list is one argument."""
    if "inputs" not in terms:
        return argument_columns(card, target)
    entries = items("inputs", terms["inputs"], 1, MOST_COLUMNS)
    nested = [entries] if all(isinstance(column, str) for column in entries) else entries
    arguments = [items("inputs", columns, 1, MOST_COLUMNS) for columns in nested]
    for column in (column for columns in arguments for column in columns):
        choice("inputs", column, (described["name"] for described in card["columns"]))
    return arguments


def _rows(card: Mapping[str, Any], terms: Mapping[str, Any]) -> list[int]:
    count = card["count"]
    start, stop = (integer("rows", row, 0, count) for row in items("rows", terms.get("rows", [0, count]), 2, 2))
    return [start, stop]


def _held_out(card: Mapping[str, Any], terms: Mapping[str, Any]) -> float | None:
    """The share that is held out: where a recipe names none, the least that the dataset's policy
    asks for."""
    least = card.get("policy", {}).get("held_out")
    asked = terms.get("held_out", least)
    share = None if asked is None else parse_held_out("held_out", asked, least)
    require_held_out(share, least)
    return share


def _transform(card: Mapping[str, Any], inputs: Sequence[Sequence[Any]], target: str, loss: str) -> dict[str, Any]:
    """The card's constants of the columns that are used; of counts and shares none."""
    used = {target, *(column for columns in inputs for column in columns)} - (
        {target} if loss in AS_THEY_ARE else set()
    )
    return {column: transform for column, transform in card.get("transform", {}).items() if column in used}


def _loss(card: Mapping[str, Any], target: str, terms: Mapping[str, Any]) -> dict[str, Any]:
    """By the card's task: cross entropy for one of several classes, binary cross entropy for
    labels, the mean squared error for an amount; of another column than the card's target by
    whether that has categories."""
    _require_column(card, target)
    has_classes = "categories" in card.get("transform", {}).get(target, {})
    task = card["task"] if target == card["target"] else "classification" if has_classes else "regression"
    usual = {"classification": "cross_entropy", "multi-label": BINARY}.get(task, "mse_loss")
    return _named(terms, "loss", usual, LOSSES)


def _require_of_task(card: Mapping[str, Any], target: str, loss: Mapping[str, Any], metrics: Any) -> None:
    """Refuse a loss, one of its terms or a metric that means nothing of what the card says of the
    target: it would train, and to nothing.

    Raises:
        InputRefused: there is one.
    """
    name, constants = loss["name"], card.get("transform", {}).get(target, {})
    is_labels = target == card["target"] and card["task"] == "multi-label"
    what = f"{name} is of"
    if name in (*CLASSIFICATION, CTC) and (is_labels or {"mean", "low"} & constants.keys()):
        usual = BINARY if is_labels else "mse_loss"
        kind = "labels, each of which is there or not" if is_labels else "an amount, and scaled"
        raise InputRefused(f"{what} classes, and the target {target!r} is {kind}", f'write loss = "{usual}"')
    if name in OF_TRUTHS and "mean" in constants:
        raise InputRefused(
            f"{what} what is true or not, and the target {target!r} is an amount, and scaled", 'write loss = "mse_loss"'
        )
    _require_ignored_class(card, target, loss)
    if (categories := constants.get("categories")) is None:
        return
    count = len(categories)
    if name in OF_TRUTHS and count > 2:
        raise InputRefused(
            f"{what} what is true or not, and the target {target!r} has {count} classes", 'write loss = "cross_entropy"'
        )
    if name not in OF_HITS and isinstance(categories[0], str):
        raise InputRefused(
            f"{what} amounts, and the target {target!r} is one of {count} classes by name",
            'write loss = "cross_entropy"',
        )
    if isinstance(metrics, Sequence) and "top5" in metrics and count <= AMONG:
        raise InputRefused(
            f"top5 is of one of more than {AMONG} classes, and the target {target!r} has {count}: it would always hit",
            "leave it out of metrics",
        )


def _require_ignored_class(card: Mapping[str, Any], target: str, loss: Mapping[str, Any]) -> None:
    """Refuse to ignore a class that no record can have, -100 of torch and Hugging Face among them:
    who writes it means that something is ignored, and nothing would be."""
    ignored = loss["arguments"].get("ignore_index")
    if type(ignored) is not int or (count := _class_count(card, target)) is None or 0 <= ignored < count:
        return
    column = next(column for column in card["columns"] if column["name"] == target)
    if column.get("kind") == TOKENS:
        advice = f"what fills shorter texts up is {card['tokenizer']['pad']}; leave it out to ignore none"
    else:
        advice = "count classes from 0, in the order of the card's categories; leave it out to ignore none"
    raise InputRefused(
        f"ignore_index is {ignored}, and the target {target!r} has the class numbers 0 to {count - 1}", advice
    )


def _class_count(card: Mapping[str, Any], target: str) -> int | None:
    """How many classes a card tells of a target; None where it tells none."""
    if (categories := card.get("transform", {}).get(target, {}).get("categories")) is not None:
        return len(categories)
    column = next(column for column in card["columns"] if column["name"] == target)
    is_tokens = column.get("kind") == TOKENS and card.get("tokenizer")
    return int(card["tokenizer"]["vocabulary"]) if is_tokens else None


def _best(card: Mapping[str, Any], target: str, loss: str, terms: Mapping[str, Any]) -> Any:
    """By which figure a checkpoint is chosen."""
    best, columns = terms.get("best"), {column["name"]: column for column in card["columns"]}
    if best == "auc" and columns[target]["shape"]:
        raise InputRefused(
            f"the best checkpoint is chosen by auc, which is of one answer a record, and {target!r} has"
            f" {list(columns[target]['shape'])}",
            'write best = "f1", or "accuracy"; `fitchain model test` tells the mean over the labels',
        )
    return None if best is None else named("best", best, figures_of(loss), "figure")


def _metrics(terms: Mapping[str, Any], usual: list[str]) -> Any:
    """What each checkpoint reports; the recipe's own reader tells what there is of which loss."""
    asked = terms.get("metrics", usual)
    for metric in asked if isinstance(asked, list | tuple) else ():
        if metric != "auc":  # why that is none says the recipe's reader
            named("metrics", metric, METRICS, "figure")
    return asked


def _named(
    terms: Mapping[str, Any], key: str, default: str, choices: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """Read `key = "NAME"` with its arguments beside it, or `[key]` with `name` and the arguments
    inside."""
    value = terms.get(key, default)
    inside = dict(value) if isinstance(value, Mapping) else {"name": value}
    name = named(key, inside.pop("name", default), choices)
    beside = {term: terms[term] for term in terms if any(term in arguments for arguments in choices.values())}
    for term in (term for term in (*inside, *beside) if term not in choices[name]):
        try:
            refuse_unknown(f"{key} {name}", [term], choices[name])
        except InputRefused as error:
            raise InputRefused(error.message, _of_others(key, term, choices) or error.hint) from None
    return {"name": name, "arguments": {**DEFAULT_ARGUMENTS[name], **beside, **inside}}


def _of_others(key: str, term: str, choices: Mapping[str, Mapping[str, Any]]) -> str:
    """What is meant by an argument that a loss or an optimizer lacks: another's, or a key that
    stands beside the table."""
    if advice := of_another(key, term, choices):
        return advice
    arguments = {argument for having in choices.values() for argument in having}
    if term in TERMS and term not in arguments:
        return f"{term} stands outside of the table [{key}]"
    asked = meant("recipe", term, [each for each in TERMS if each not in arguments])
    return f"{asked} It stands outside of the table [{key}]" if asked else ""


def _unit_records(card: Mapping[str, Any]) -> int | None:
    """How many rows each unit of privacy has; None where a record is the unit."""
    return card["unit"]["most_records"] if card.get("unit") else None


def _batch_size(card: Mapping[str, Any], units: int, terms: Mapping[str, Any]) -> int:
    least = card.get("policy", {}).get("minimum_batch", 1)
    if "batch_size" not in terms:
        return int(min(max(DEFAULT_BATCH, least), max(1, units)))
    size = integer("batch_size", terms["batch_size"], 1, MOST_BATCH)
    require_batch(size, least)
    return size


def _steps(units: int, batch_size: int, terms: Mapping[str, Any]) -> int:
    if "steps" in terms and "epochs" in terms:
        raise InputRefused("epochs and steps say the same twice", "give one of them")
    if "steps" in terms:
        return integer("steps", terms["steps"], 1, MOST_STEPS)
    epochs = real("epochs", terms.get("epochs", DEFAULT_EPOCHS), 0, 1e6)
    if epochs == 0:
        raise InputRefused("epochs is a number above 0, not 0", "write epochs = 20, say, or steps = 1 for one step")
    return max(1, math.floor(epochs * (units // batch_size)))


def _privacy(
    card: Mapping[str, Any], units: int, batch_size: int, steps: int, terms: Mapping[str, Any]
) -> dict[str, Any] | None:
    """Terms of privacy where a recipe or the dataset asks for them: a sigma, or the least that
    keeps the training within an epsilon beside the dataset's delta."""
    offered = card.get("privacy")
    if "privacy" not in terms:
        if offered is None:
            return None
        raise InputRefused(
            "trainings on this dataset are charged to a privacy budget, and the recipe has no terms of privacy",
            "add [privacy] with epsilon = 3, say, or sigma, to the recipe; `fitchain data show` tells what is left",
        )
    asked = _table(terms, "privacy")
    refuse_unknown("privacy", asked, ("epsilon", "sigma", "clip", "grid"))
    if ("epsilon" in asked) == ("sigma" in asked):
        raise InputRefused("privacy names an epsilon or a sigma, one of them", "write epsilon = 3, say")
    if offered is None:
        raise InputRefused(
            "the dataset has no privacy budget, so nothing could be charged for its terms of privacy",
            "leave [privacy] out, or ask for a dataset with a budget",
        )
    rate = sampling_rate(batch_size, units)
    if "sigma" in asked:
        advice = "write sigma = 1, say, or epsilon = 3, from which it follows"
        sigma = real("privacy: sigma", asked["sigma"], LEAST_SIGMA, MOST_SIGMA, advice)
    else:
        epsilon = real("privacy: epsilon", asked["epsilon"], 0, 1e6, "write epsilon = 3, say")
        sigma = max(LEAST_SIGMA, sigma_for(epsilon, offered["delta"], rate, steps))
    rest = {"clip": asked.get("clip", DEFAULT_CLIP), "grid": asked.get("grid", DEFAULT_GRID)}
    return Privacy.parse({"sigma": sigma, **rest, "unit_records": _unit_records(card)}).json()


def _gradient_clip(terms: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """`gradient_clip = {norm = 1.0}`, or `{value = 0.5}`; a number alone is a norm."""
    if (clip := terms.get("gradient_clip")) is None:
        return None
    kinds = _table(terms, "gradient_clip") if isinstance(clip, Mapping) else {"norm": clip}
    refuse_unknown("gradient_clip", kinds, CLIP_KINDS)
    if len(kinds) != 1:
        raise InputRefused("gradient_clip names a norm or a value", "write gradient_clip = {norm = 1.0}, say")
    ((kind, most),) = kinds.items()
    return {"kind": kind, "most": most}


def _parameter_groups(terms: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """`[[parameter_groups]]` with `match`, `rate` (times the learning rate), `weight_decay`."""
    groups = items("parameter_groups", terms.get("parameter_groups", []), 0, MOST_GROUPS)
    read = [Fields("a parameter group", group, ("match",), ("rate", "weight_decay")).value for group in groups]
    return [{"rate": 1.0, "weight_decay": None, **group} for group in read]


def groups_in(terms: Mapping[str, Any]) -> tuple[ParameterGroup, ...]:
    """The parameter groups that a recipe file gives.

    Raises:
        InputRefused: they cannot be read.
    """
    return tuple(map(ParameterGroup.parse, _parameter_groups(terms)))


def _learning_rates(optimizer: str, steps: int, terms: Mapping[str, Any]) -> Any:
    """A named schedule's table, or the table itself."""
    if "learning_rates" in terms:
        if beside := [term for term in SCHEDULE_TERMS if term in terms]:
            raise InputRefused(f"learning_rates and {beside[0]} say the same twice", "give one of them")
        return terms["learning_rates"]
    schedule = named("schedule", terms.get("schedule", "constant"), SCHEDULES)
    warmup = {"linear_warmup": -(-steps // 20), "one_cycle": -(-steps * 3 // 10)}.get(schedule, 0)
    return learning_rates(
        schedule,
        real("learning_rate", terms.get("learning_rate", _USUAL_RATES.get(optimizer, 0.001)), 0, 1e6),
        steps,
        integer("warmup_steps", terms.get("warmup_steps", warmup), 0, steps),
        integer("step_size", terms.get("step_size", max(1, steps // 3)), 1, MOST_STEPS),
        real("gamma", terms.get("gamma", 0.1), 0, 1),
        real("minimum_learning_rate", terms.get("minimum_learning_rate", 0.0), 0, 1e6),
    )


def _group_leaves(leaves: int) -> int:
    """The smallest power of two with which about `DEFAULT_ANCHORS` anchors cover the leaves."""
    return 1 << max(0, (leaves // (DEFAULT_ANCHORS + 1)).bit_length())


def _environment(torch: str, terms: Mapping[str, Any], probe: Digest | None) -> Any:
    return Environment(terms.get("environment", DEFAULT_CLASS), terms.get("threads", 1), torch, probe).json()


def _table(terms: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = terms.get(key, {})
    if not isinstance(value, Mapping):
        raise InputRefused(f"{key} is a table of terms, not {value!r:.80}")
    return value
