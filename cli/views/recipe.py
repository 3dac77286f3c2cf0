"""A recipe in words: how a model is to be trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fitchain.cli.views.amounts import counted
from fitchain.cli.views.output import cut_middle
from fitchain.pod.values.counting import ignored_class, ignored_label
from fitchain.pod.values.recipe import Recipe
from fitchain.pod.values.recipe.terms import SEGMENT, Choice

MOST_COLUMNS, MOST_NAME, MOST_LABEL = 6, 32, 60
"""Columns that are named; of more, how many there are. Letters of a name, and of a class."""


def describe(recipe: Recipe) -> str:
    """A recipe in a line: `12 steps of 8 records, 2.4 passes over 40; AdamW at 0.01; ...`."""
    training = f"{recipe.steps:,} steps of {_passes(recipe)}; {recipe.optimizer.name} at {_rates(recipe)}"
    return f"{training}; {recipe.loss.name} of {_named(recipe.target)}{_left_out(recipe, ', of which {} is left out')}"


def pairs_of(recipe: Recipe) -> list[tuple[str, Any]]:
    """A recipe in labelled lines."""
    environment = recipe.environment
    where = f"{environment.name}, {counted(environment.threads, 'thread')}, torch {environment.torch}"
    return [
        ("steps", f"{recipe.steps:,} of {_passes(recipe)}{_parts(recipe)}"),
        ("optimizer", _choice(recipe.optimizer)),
        ("learning rate", _rates(recipe)),
        *_gradients(recipe),
        ("loss", f"{_choice(recipe.loss)}, of the column {_named(recipe.target)}"),
        *_ignores(recipe),
        ("reports", f"{_and(recipe.metrics)} of each checkpoint" if recipe.metrics else "no metric"),
        ("reads", " | ".join(_columns(columns) for columns in recipe.inputs) + _transforms(recipe)),
        *_held_out(recipe),
        *_privacy(recipe),
        ("environment", where),
        ("checkpoints", f"{recipe.leaf_count}, one every {recipe.segment_steps} steps"),
    ]


def _ignores(recipe: Recipe) -> list[tuple[str, Any]]:
    """Which class counts in nothing."""
    left_out = _left_out(recipe, "{}: its targets count in no loss, no metric and no figure on held-out records")
    return [("leaves out", left_out)] if left_out else []


def _left_out(recipe: Recipe, words: str) -> str:
    """Words about the class that a recipe ignores; empty where it ignores none."""
    label = ignored_label(recipe)
    return words.format(cut_middle(label, MOST_LABEL)) if label else ""


def _gradients(recipe: Recipe) -> list[tuple[str, Any]]:
    """What is done to gradients, which parameters move otherwise than the rest, and
    what is done with the weights."""
    clip, pairs = recipe.gradient_clip, list[tuple[str, Any]]()
    if clip is not None:
        what = "shortened together" if clip.kind == "norm" else "each number cut"
        pairs.append(("gradients", f"{what} to {clip.most:g} at most"))
    for group in recipe.parameter_groups:
        decay = "" if group.weight_decay is None else f", weight decay {group.weight_decay:g}"
        pairs.append((f"parameters {_named(group.match)}", f"{group.rate:g} times the learning rate{decay}"))
    if recipe.proximal is not None:
        pairs.append(("pulls", f"towards the initial model, by {recipe.proximal:g} times the distance"))
    if recipe.ema is not None:
        pairs.append(("averages", f"the weights, of which {recipe.ema:g} stays in a step; that is what is delivered"))
    return pairs


def _parts(recipe: Recipe) -> str:
    return "" if recipe.micro_batch is None else f", {counted(recipe.micro_batch, 'record')} at once"


def _held_out(recipe: Recipe) -> list[tuple[str, Any]]:
    """How many records only evaluate the model."""
    if recipe.held_out is None:
        return []
    kept = recipe.held_out_from
    drawn = "drawn by the same seed" if kept is None else f"those of the job {kept.agreement.short}"
    when = " after each segment" if recipe.evaluate == SEGMENT else ""
    by = f", also by {_and(sorted(recipe.subgroups))}" if recipe.subgroups else ""
    held_out = f"{counted(recipe.held_out_count, unit_noun(recipe))}, {drawn}, to evaluate the model{by}{when}"
    best = [("delivers", f"the checkpoint with the best {recipe.best} on them")] if recipe.best else []
    return [("held out", held_out), *best]


def _privacy(recipe: Recipe) -> list[tuple[str, Any]]:
    """Which records a step takes, and what is added to their gradients."""
    if (terms := recipe.privacy) is None:
        return [("order", "of the records by a seed that the chain draws after the acceptance")]
    return [
        ("order", f"each {unit_noun(recipe)} with chance {recipe.sampling_rate:.3g} a step, drawn in secret"),
        (
            "noise",
            f"{terms.sigma:g} times the clip, {terms.clip:g}, to which each {unit_noun(recipe)}'s gradient is cut",
        ),
    ]


def values(recipe: Recipe) -> dict[str, Any]:
    """The JSON form: the recipe itself, its learning rates summed up, and how many passes over the
    records it makes."""
    rates = [rate for _, rate in recipe.learning_rates]
    ends = {"first": rates[0], "last": rates[-1], "highest": max(rates), "changes": len(rates) - 1}
    return {
        **recipe.json(),
        "learning_rates": ends,
        "epochs": epochs_of(recipe),
        "checkpoints": recipe.leaf_count,
        "ignored_class": ignored_class(recipe),
    }


def epochs_of(recipe: Recipe) -> float:
    """How often a recipe goes over its records; each pass leaves out a last, smaller batch."""
    return recipe.steps / max(recipe.training_count // recipe.batch_size, 1)


def _passes(recipe: Recipe) -> str:
    about = "about " if recipe.privacy is not None else ""  # each is drawn by itself
    taken = counted(recipe.batch_size, unit_noun(recipe))
    epochs = epochs_of(recipe)
    passes = f"{epochs:,.0f}" if epochs >= 1000 else f"{epochs:.3g}"
    return f"{about}{taken}, {passes} passes over {recipe.training_count:,} {unit_noun(recipe)}s"


def unit_noun(recipe: Recipe) -> str:
    """What a step takes so many of: records, or units of privacy with several."""
    return "record" if recipe.privacy is None or recipe.privacy.unit_records is None else "unit"


def _rates(recipe: Recipe) -> str:
    rates = [rate for _, rate in recipe.learning_rates]
    if len(rates) == 1:
        return f"{rates[0]:g}"
    highest = f", {max(rates):g} at most" if max(rates) not in (rates[0], rates[-1]) else ""
    return f"{rates[0]:g} to {rates[-1]:g} in {counted(len(rates) - 1, 'change')}{highest}"


def _choice(choice: Choice) -> str:
    arguments = [
        f"{value} over a batch" if name == "reduction" else f"{name.replace('_', ' ')} {_value(value)}"
        for name, value in choice.arguments.items()
    ]
    return ", ".join([choice.name, *arguments])


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if value is None:
        return "torch's own"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return _and([_value(each) for each in value])
    return f"{value:g}" if isinstance(value, float) else str(value)


def _columns(columns: Sequence[str]) -> str:
    more = f" and {counted(len(columns) - MOST_COLUMNS, 'more column')}" if len(columns) > MOST_COLUMNS else ""
    return ", ".join(_named(column) for column in columns[:MOST_COLUMNS]) + more


def _named(column: str) -> str:
    return cut_middle(column, MOST_NAME)


def _transforms(recipe: Recipe) -> str:
    of_inputs: list[Mapping[str, Any]] = [
        recipe.transform[column] for columns in recipe.inputs for column in columns if column in recipe.transform
    ]
    scaled = sum("scale" in transform for transform in of_inputs)
    classes, columns = len(of_inputs) - scaled, sum(map(len, recipe.inputs))
    done = [f"{'all' if scaled == columns else scaled} scaled"] * bool(scaled)
    done += [f"{'all' if classes == columns else classes} as categories"] * bool(classes)
    return f"; {', '.join(done)}" if done else ""


def _and(items: Sequence[str]) -> str:
    return " and ".join([", ".join(items[:-1]), items[-1]] if len(items) > 1 else items)
