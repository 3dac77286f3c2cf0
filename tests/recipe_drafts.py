"""A card of four columns, and recipes that are drafted of it."""

from __future__ import annotations

from typing import Any

from fitchain.pod.values.digest import Root, sha256
from fitchain.pod.values.recipe import Recipe, draft

GRAPH, MODEL, DATA = (sha256(word) for word in (b"graph", b"model", b"data"))
CARD: dict[str, Any] = {
    "root": str(DATA),
    "count": 455,
    "columns": [
        {"name": "radius", "dtype": "float64", "shape": []},
        {"name": "scan", "dtype": "uint8", "shape": [8, 8]},
        {"name": "texture", "dtype": "float64", "shape": []},
        {"name": "diagnosis", "dtype": "int64", "shape": []},
    ],
    "target": "diagnosis",
    "task": "classification",
    "transform": {
        "radius": {"mean": 14.1, "scale": 3.5},
        "texture": {"mean": 19.3, "scale": 4.3},
        "diagnosis": {"categories": ["benign", "malignant"]},
    },
    "policy": {"minimum_batch": 8},
}


def drafted(**terms: Any) -> Recipe:
    return draft(GRAPH, Root(MODEL), CARD, "2.13.0+cpu", terms)
