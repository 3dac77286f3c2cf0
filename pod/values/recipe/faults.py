"""Faults: all that is wrong with a recipe file, where `draft` stops at the first.

The terms are drafted one after the other, each beside those before it that are right, so that what
is said is what a draft says. Without a dataset a card stands in that gives each term the benefit of
the doubt: what only a dataset can tell, such as the names of columns, is not looked at.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fitchain.pod.values.digest import Root, sha256
from fitchain.pod.values.errors import InputRefused
from fitchain.pod.values.recipe.draft import DEFAULT_BATCH, SCHEDULE_TERMS, TERMS, draft
from fitchain.pod.values.recipe.keys import PARTS
from fitchain.pod.values.recipe.spellings import require_known
from fitchain.pod.values.recipe.terms import LOSSES, MOST_BATCH, MOST_ROWS, MOST_STEPS, OPTIMIZERS

ORDER = (
    *("environment", "threads", "target", "inputs", "rows", "held_out", "batch_size", "micro_batch", "steps", "epochs"),
    *("segment_steps", "group_leaves", "loss", *(term for term in TERMS if any(term in of for of in LOSSES.values()))),
    *("transform", "metrics", "evaluate", "best", "optimizer"),
    *(term for term in TERMS if any(term in of for of in OPTIMIZERS.values())),
    *("schedule", "warmup_steps", "step_size", "gamma", "learning_rate", "minimum_learning_rate", "learning_rates"),
    *("gradient_clip", "parameter_groups", "proximal", "ema", "audit", "privacy"),
)
"""Every term, behind those that it may depend on."""
HEADS: Mapping[str, Mapping[str, Any]] = {"loss": LOSSES, "optimizer": OPTIMIZERS}
"""Terms that say which others there may be."""
TASKS = ("classification", "regression", "multi-label")
"""Of a dataset that nobody names; the usual loss follows from it."""
A_RECORD = 2.0**-20
"""A share that holds one record out, where it is not known how many there are."""
IN_PLACE_OF = {"epochs": ("steps",), "learning_rates": SCHEDULE_TERMS}
"""Terms that stand in place of others: beside them each is looked at by itself, too."""
DOUBTED_STEPS, MANY = 1000, 100_000
"""Steps of a training, and records, where nobody says how many there are."""
EXAMPLES = {key.name: key.example for part in PARTS for key in part.keys}
_LONGEST = 80
_DIGEST = sha256(b"stands in for what only a request knows")


def faults_of(terms: Mapping[str, Any], card: Mapping[str, Any] | None = None) -> list[InputRefused]:
    """All that is wrong with the terms of a recipe file, as far as they are wrong by themselves or
    beside each other.

    Args:
        terms: as a TOML file gives them.
        card: the dataset's card as JSON; None looks at what is wrong on every dataset.

    Returns:
        what `draft` would refuse, in the order in which a recipe is read; empty where nothing is
        wrong.
    """
    if card is not None:
        return list(_faults(terms, card, is_doubted=False))
    by_task = list[list[InputRefused]]()
    for task in TASKS if "loss" not in terms else TASKS[:1]:
        by_task.append(list(_faults(terms, _stand_in(terms, task), is_doubted=True)))
        if not by_task[-1]:
            break
    return min(by_task, key=len)


def _faults(terms: Mapping[str, Any], card: Mapping[str, Any], is_doubted: bool) -> Iterator[InputRefused]:
    for key in terms:
        if (fault := _refusal(require_known, "the recipe", (key,), TERMS)) is not None:
            yield fault
    taken, refused, looked_at = dict[str, Any](), set[str](), set[str]()
    if card.get("privacy") is not None:  # without these terms none is drafted
        looked_at.add("privacy")
        offered = {"privacy": terms["privacy"]} if "privacy" in terms else {}
        if (fault := _draft_refusal({**card, "count": MANY} if is_doubted else card, offered)) is not None:
            yield fault
        taken["privacy"] = {"sigma": 1.0}
    if is_doubted and "steps" not in terms:  # how many steps the epochs are depends on the records
        looked_at.add("epochs")
        if "epochs" in terms and (fault := _fault_of("epochs", terms["epochs"], taken, refused, card)) is not None:
            yield _advised(fault, "epochs", terms["epochs"], taken, card)
        taken["steps"] = _doubted_steps(terms)
    for key in (key for key in ORDER if key in terms and key not in looked_at):
        instead = [other for other in IN_PLACE_OF.get(key, ()) if other in terms]
        if instead and (fault := _draft_refusal(card, {**taken, **{each: terms[each] for each in (key, instead[0])}})):
            yield fault
        beside = {term: taken[term] for term in taken if term not in instead}
        if (fault := _fault_of(key, terms[key], beside, refused, card)) is not None:
            refused.add(key)
            yield _advised(fault, key, terms[key], beside, card)
        elif not instead:
            taken[key] = terms[key]
        if key == "held_out" and key in refused:  # what needs some to be held out is not wrong for that
            taken[key] = card.get("policy", {}).get("held_out") or A_RECORD


def _fault_of(
    key: str, value: Any, taken: Mapping[str, Any], refused: set[str], card: Mapping[str, Any]
) -> InputRefused | None:
    """What is wrong with a term beside those that are right. Of an argument of a loss or an
    optimizer that is refused itself, what any would say that has such an argument."""
    for head, choices in HEADS.items():
        if head in refused and any(key in arguments for arguments in choices.values()):
            having = [name for name in choices if key in choices[name]]
            others = {term: taken[term] for term in taken if not any(term in of for of in choices.values())}
            faults = [_draft_refusal(card, {**others, head: name, key: value}) for name in having]
            return None if None in faults else faults[0]
    return _draft_refusal(card, {**taken, key: value})


def _advised(
    fault: InputRefused, key: str, value: Any, taken: Mapping[str, Any], card: Mapping[str, Any]
) -> InputRefused:
    """A fault with what to write instead, where it says nothing of that: the value as it was meant,
    or the key's example, whichever a draft takes first."""
    is_quoted = isinstance(value, str) and len(value) <= _LONGEST and _bare(value) is not None
    if fault.hint and not is_quoted:
        return fault
    for meant, advice in _meant(key, value):
        if _draft_refusal(card, {**taken, key: meant}) is None:
            return InputRefused(fault.message, advice)
    return fault


def _meant(key: str, value: Any) -> Iterator[tuple[Any, str]]:
    """What a value of another type may have been meant as, each with the advice to write that."""
    if isinstance(value, str) and len(value) <= _LONGEST and (bare := _bare(value)) is not None:
        yield bare, f"write {key} = {value}, without quotes"
    if isinstance(value, str | int | float):
        yield [value], f"it is a list: write {key} = [{json.dumps(value, ensure_ascii=False)}]"
    if isinstance(value, Mapping):
        yield [value], f"it is a list: write {key} = [{{...}}], or [[{key}]] as a table of its own"
    if isinstance(value, float) and value.is_integer():
        yield int(value), f"write {key} = {int(value)}, without a point"
    if type(value) is int and value in (0, 1):
        yield bool(value), f"write {key} = {str(bool(value)).lower()}"
    if (example := EXAMPLES.get(key)) is not None:
        yield tomllib.loads(f"value = {example}")["value"], f"write {key} = {example}, say"


def _bare(text: str) -> Any:
    """What a text is as a value of TOML; None where it is none."""
    try:
        return tomllib.loads(f"value = {text}").get("value")
    except tomllib.TOMLDecodeError:
        return None


def _draft_refusal(card: Mapping[str, Any], terms: Mapping[str, Any]) -> InputRefused | None:
    return _refusal(draft, _DIGEST, Root(_DIGEST), card, "0", terms)


def _refusal(read: Any, *arguments: Any) -> InputRefused | None:
    """What a reader refuses; None where it does not."""
    try:
        read(*arguments)
    except InputRefused as refusal:
        return refusal
    return None


def _stand_in(terms: Mapping[str, Any], task: str) -> dict[str, Any]:
    """A card of as many records as the terms need, with the columns that they name."""
    batch = _whole(terms.get("batch_size"), DEFAULT_BATCH, MOST_BATCH) or DEFAULT_BATCH
    rows = terms.get("rows")
    end = _whole(rows[-1], 0, MOST_ROWS) if isinstance(rows, list) and rows else 0
    target = terms["target"] if _is_name(terms.get("target")) else "target"
    scaled = terms.get("transform") if "inputs" not in terms else None
    named = [*_names(terms.get("inputs")), *(filter(_is_name, scaled) if isinstance(scaled, Mapping) else [])]
    columns = dict.fromkeys([*([each for each in named if each != target] or ["input"]), target])
    return {
        "root": str(_DIGEST),
        # so few that a held-out share of them is evaluated within any segment
        "count": max(2 * batch, end),
        "columns": [{"name": name, "dtype": "float64", "shape": []} for name in columns],
        "target": target,
        "task": task,
        "policy": {"held_out": A_RECORD} if "rows" not in terms and "held_out" not in terms else {},
        "privacy": {"delta": 1e-5} if "privacy" in terms else None,
        "transform": {},
    }


def _doubted_steps(terms: Mapping[str, Any]) -> int:
    """Steps of a training over nobody knows how many records: enough for the terms that count
    them."""
    table = terms.get("learning_rates")
    if isinstance(table, list) and table and all(isinstance(run, list) and run for run in table):
        return max(1, min(MOST_STEPS, sum(_whole(run[0], 0, MOST_STEPS) for run in table)))
    return max(DOUBTED_STEPS, _whole(terms.get("warmup_steps"), 0, MOST_STEPS))


def _names(inputs: Any) -> Sequence[str]:
    """The names in `inputs`, nested or flat."""
    entries = inputs if isinstance(inputs, list) else []
    flat = [each for entry in entries for each in (entry if isinstance(entry, list) else [entry])]
    return [each for each in flat if _is_name(each)]


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def _whole(value: Any, default: int, most: int) -> int:
    """A whole number between 0 and the most; the default for anything else, which its own reader
    refuses."""
    return value if type(value) is int and 0 <= value <= most else default
