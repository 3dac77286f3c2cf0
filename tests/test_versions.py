"""Formats of another version: no release refutes, or takes for malformed, what a later one wrote."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fitchain.pod.compute.dataset.card import VERSION as CARD
from fitchain.pod.compute.dataset.card import Card
from fitchain.pod.ports import keys
from fitchain.pod.ports.chain.base import DEPLOYMENT_VERSION, Deployment
from fitchain.pod.ports.chain.known import KNOWN_FILE, KNOWN_VERSION, KnownChain
from fitchain.pod.ports.trust import TRUST_FILE, TrustList
from fitchain.pod.ports.trust import VERSION as TRUST
from fitchain.pod.proof.audit.evidence import VERSION as EVIDENCE_VERSION
from fitchain.pod.proof.audit.evidence import Evidence
from fitchain.pod.proof.trail import VERSION as TRAIL
from fitchain.pod.proof.trail import read_trail
from fitchain.pod.values.digest import canonical_json
from fitchain.pod.values.errors import InputRefused, OtherVersion
from fitchain.pod.values.graph import Graph
from fitchain.pod.values.graph.document import VERSION as GRAPH
from fitchain.pod.values.job_folder import EVIDENCE
from fitchain.pod.values.recipe import Recipe
from fitchain.pod.values.recipe.terms import VERSION as RECIPE
from fitchain.pod.values.risk.report import VERSION as REPORT
from fitchain.pod.values.risk.report import RiskReport
from fitchain.pod.values.versions import require_version

Reader = Callable[[Path, dict[str, Any]], object]


def file(name: str, read: Callable[[Path], object], end: bytes = b"") -> Reader:
    """Reads a value from a file of that name."""

    def written(folder: Path, value: dict[str, Any]) -> object:
        (folder / name).write_bytes(canonical_json(value) + end)
        return read(folder / name)

    return written


READERS: dict[str, tuple[str, Reader]] = {
    "card": (CARD, lambda folder, value: Card.from_json(value)),
    "recipe": (RECIPE, lambda folder, value: Recipe.from_json(value)),
    "graph": (GRAPH, lambda folder, value: Graph.parse(canonical_json(value))),
    "risk report": (REPORT, lambda folder, value: RiskReport.parse(canonical_json(value))),
    "trust list": (TRUST, file(TRUST_FILE, lambda path: TrustList.read(path.parent))),
    "known chain": (KNOWN_VERSION, file(KNOWN_FILE, lambda path: KnownChain.read(path.parent))),
    "deployment": (DEPLOYMENT_VERSION, file("1.json", Deployment.read)),
    "backup": (keys.BACKUP_VERSION, file("b.json", lambda path: keys.import_key(path.parent, "name", path, "secret"))),
    "evidence": (EVIDENCE_VERSION, file(EVIDENCE, lambda path: Evidence.read(path.parent))),
    "trail": (TRAIL, file("trail.jsonl", read_trail, b"\n")),
}


@pytest.mark.parametrize("what", READERS)
def test_a_later_version_is_named_before_anything_else_of_its_form(tmp_path: Path, what: str) -> None:
    version, read = READERS[what]
    later = {"version": version.replace("/v2", "/v3"), "kind": "header", "an": "added field"}
    with pytest.raises(OtherVersion, match="is of version v3, and this release of Fitchain reads v2") as error:
        read(tmp_path, later)
    assert error.value.hint == "it is of a later version: use a newer release of Fitchain"
    assert error.value.exit_code == 3
    none: dict[str, Any]
    for none in ({}, {"version": 3}, {"version": None}):
        with pytest.raises(InputRefused) as refusal:
            read(tmp_path, none | {"kind": "header"})
        assert not isinstance(refusal.value, OtherVersion)


@pytest.mark.parametrize(
    ("version", "told", "hint"),
    [
        ("fitchain/card/v1", "is of version v1", "of an earlier version: use the release of Fitchain that made it"),
        ("fitchain/card/v10", "is of version v10", "of a later version"),
        ("fitchain/recipe/v2", "says that it is 'fitchain/recipe/v2'", "something else"),
        ("v2", "says that it is 'v2'", "something else"),
        ("", "says that it is ''", "something else"),
        ("fitchain/card/v\u0663", r"v\\u0663", "something else"),
        ("fitchain/card/v" + "9" * 5000, "says that it is", "something else"),
    ],
)
def test_other_versions_are_told_apart(version: str, told: str, hint: str) -> None:
    with pytest.raises(OtherVersion, match=told) as error:
        require_version("the card", {"version": version}, "fitchain/card/v2")
    assert hint in error.value.hint and len(error.value.message) < 250


def test_a_version_is_looked_for_in_objects_alone() -> None:
    value: object
    for value in (None, [], "fitchain/card/v3", json.loads("{}"), {"version": "fitchain/card/v2"}):
        require_version("the card", value, "fitchain/card/v2")
