"""Preprocessing: how a record of raw cells becomes what a trained model takes, and what its outputs
mean, as a document that travels with the model.

It is canonical JSON (`fitchain/preprocessing/v2`; docs/format.md has its fields), made of the card,
the recipe and the names and types of the graph's inputs, and of nothing else: it says no more of
the records than the card publishes, and whoever has a certificate makes it again. `assembly` does
what it says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fitchain.pod.compute.dataset.card import Card
from fitchain.pod.compute.dataset.columns import Column, Kind, missing_name
from fitchain.pod.values.digest import Json, canonical_json, parse_json, sha256
from fitchain.pod.values.errors import ClaimMismatch, InputRefused
from fitchain.pod.values.graph import Input
from fitchain.pod.values.limits import MOST_RANK, PREPROCESSING
from fitchain.pod.values.recipe import Recipe
from fitchain.pod.values.recipe.fields import Fields, integer
from fitchain.pod.values.recipe.terms import BINARY, CLASSIFICATION, MOST_ROWS

VERSION = "fitchain/preprocessing/v2"
METADATA_KEY = "preprocessing"
"""Of the delivered file's metadata, where the document stands."""
METADATA_BYTES = 1 << 20
"""A longer document is named there by its digest alone, since a file's header is read whole."""
_DTYPES = ("F32", "F64", "I64")


def preprocessing_of(recipe: Recipe, card: Card, inputs: Sequence[Input]) -> bytes:
    """Make the document.

    Args:
        recipe: of the training; its constants are the card's.
        card: of the dataset.
        inputs: of the recipe's graph.

    Returns:
        canonical JSON.

    Raises:
        InputRefused: the recipe is of another number of inputs, or names a column that the card
            lacks.
    """
    if len(inputs) != len(recipe.inputs):
        raise InputRefused(f"the recipe has {len(recipe.inputs)} inputs and the graph {len(inputs)}")
    names = dict.fromkeys(name for columns in recipe.inputs for name in columns)
    made: dict[str, Json] = {
        "version": VERSION,
        "recipe": str(recipe.digest),
        "card": str(card.digest),
        "graph": str(recipe.graph),
        "inputs": [
            {"name": each.name, "dtype": each.dtype, "shape": list(each.shape), "columns": list(columns)}
            for each, columns in zip(inputs, recipe.inputs, strict=True)
        ],
        "columns": {name: _column(card.column(name), recipe, card) for name in names},
        "target": _target(recipe, card),
        "tokenizer": _tokenizer(recipe, card),
    }
    return canonical_json(made)


def parse_inputs(document: bytes) -> tuple[Input, ...]:
    """The inputs of the graph as a document names them; the rest of it follows from card and recipe
    (`check_preprocessing`).

    Raises:
        InputRefused: it is no such document.
    """
    value = parse_json(document, PREPROCESSING)
    fields = Fields("the preprocessing", value, _FIELDS, version=VERSION)
    inputs = []
    for each in fields.items("inputs", 1, 16):
        its = Fields("an input of the preprocessing", each, ("name", "dtype", "shape", "columns"))
        shape = tuple(integer("an input's shape", size, 0, MOST_ROWS) for size in its.items("shape", 0, MOST_RANK))
        inputs.append(Input(its.text("name", 200), its.choice("dtype", _DTYPES), shape))
    return tuple(inputs)


def check_preprocessing(document: bytes, recipe: Recipe, card: Card, inputs: Sequence[Input] | None = None) -> None:
    """Make a document again and compare.

    Args:
        document: as it came.
        recipe, card: of the certificate.
        inputs: of the recipe's graph; without it those that the document itself names.

    Raises:
        InputRefused: it is no such document.
        ClaimMismatch: it does not follow from recipe, card and inputs.
    """
    named = parse_inputs(document)
    expected = preprocessing_of(recipe, card, named if inputs is None else inputs)
    if document != expected:
        raise ClaimMismatch(
            f"the preprocessing is the document {sha256(document)}, and {sha256(expected)} follows from the "
            "certificate's recipe and card",
            "do not use it: the columns would enter the model in another way than in the training",
        )


def preprocessing_metadata(document: bytes) -> dict[str, str]:
    """What a delivered file says of it: itself, or where it is long its digest."""
    text = document.decode() if len(document) <= METADATA_BYTES else str(sha256(document))
    return {"format": "pt", METADATA_KEY: text}  # the format is what readers of such files look for


_FIELDS = ("recipe", "card", "graph", "inputs", "columns", "target", "tokenizer")


def _described(column: Column) -> dict[str, Json]:
    return {"kind": str(column.kind), "dtype": column.dtype, "shape": list(column.shape), "unit": column.unit}


def _column(column: Column, recipe: Recipe, card: Card) -> dict[str, Json]:
    """A column that a model takes: of categories what its class numbers mean, of any other by what
    it is scaled, and what stands in for a cell that is missing."""
    constants = recipe.transform.get(column.name)
    if constants is not None and "categories" in constants:
        return _described(column) | {"categories": list(constants["categories"])}
    if column.kind is Kind.TOKENS:
        return _described(column)
    may_miss = any(each.name == missing_name(column.name) for each in card.columns)
    fill = constants.get("fill") if constants is not None and may_miss else None
    return _described(column) | {**_scaling(constants), "fill": fill}


def _scaling(constants: Mapping[str, Any] | None) -> dict[str, Json]:
    """(x - subtract) / divide, in doubles."""
    if constants is None or "categories" in constants:
        return {"subtract": 0.0, "divide": 1.0}
    if "low" in constants:
        return {"subtract": float(constants["low"]), "divide": float(constants["high"]) - float(constants["low"])}
    return {"subtract": float(constants["mean"]), "divide": float(constants["scale"])}


def _target(recipe: Recipe, card: Card) -> dict[str, Json]:
    """The column that is predicted, and what an output means."""
    column, constants = card.column(recipe.target), recipe.transform.get(recipe.target)
    classes: list[Json] | None = None if constants is None else list(constants.get("categories", ())) or None
    described = {"name": column.name, **_described(column), "loss": recipe.loss.name}
    if recipe.loss.name in CLASSIFICATION:
        return described | {"encoding": "classes", "classes": _of_truth(column, classes)}
    if recipe.loss.name == BINARY:
        encoding = "labels" if column.shape else "truth"
        return described | {"encoding": encoding, "classes": _of_truth(column, classes)}
    return described | {"encoding": "amount", **_scaling(constants)}


def _of_truth(column: Column, classes: list[Json] | None) -> list[Json] | None:
    """The classes by their numbers; those of truth values go without saying."""
    return [False, True] if classes is None and column.kind is Kind.BOOLEAN and not column.shape else classes


def _tokenizer(recipe: Recipe, card: Card) -> Json:
    """What reads the free texts that the model takes; None where it takes none."""
    taken = [card.column(name) for columns in recipe.inputs for name in columns]
    has_texts = card.tokenizer is not None and any(column.kind is Kind.TOKENS for column in taken)
    return card.tokenizer.json() if has_texts and card.tokenizer is not None else None
