"""The documents say of the contracts' gas what forge measured (`snapshots/`)."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MEASURED = {
    "a job without verifiers, three anchors, 8 transactions": ("Job", "whole"),
    "an audited job, three verifiers of the pool, three anchors, 20 transactions": ("AuditedJob", "whole"),
    "the same, of a panel": ("AuditedJobOfPanel", "whole"),
    "the first anchor": ("Anchor", "first"),
    "an anchor after 511 groups, whose floor is 39,610": ("Anchor", "after 511 groups"),
    "a charge to a privacy ledger, beside the rest of an acceptance": ("Ledger", "what a charge adds"),
    "a draw of five of a panel of ten": ("Draw", "five of a panel of ten"),
    "a draw of five where 56 of 75 left since the request": ("Draw", "five of a panel of 75 of whom 56 left"),
    "a draw of five where all 75 left, so that every place is looked at": (
        "Draw",
        "five of a panel of 75 who all left",
    ),
    "a deployment": ("Deployment", "whole"),
}


def snapshot(group: str, name: str) -> int:
    return int(json.loads((ROOT / "snapshots" / f"{group}.json").read_text())[name])


def rows() -> dict[str, str]:
    section = (ROOT / "docs" / "architecture.md").read_text().partition("\n## What the contracts cost\n")[2]
    table = section.partition("\n## ")[0]
    return dict(re.findall(r"^\| (?!what|---)(.+?) \| .+? \| ([\d,]+) \|$", table, re.M))


@pytest.mark.parametrize("what", MEASURED)
def test_document_says_what_was_measured(what: str) -> None:
    assert rows()[what] == f"{snapshot(*MEASURED[what]):,}"


def test_document_says_nothing_else() -> None:
    assert list(rows()) == list(MEASURED)


def test_floor_of_an_anchor_is_the_one_that_was_measured() -> None:
    floor = snapshot("Anchor", "after 511 groups, floor of its bytes")
    assert f"{floor:,}" == "39,610"
    assert snapshot("Anchor", "after 511 groups") <= 1.5 * floor


def test_steps_of_a_job_are_its_whole() -> None:
    for group in ("Job", "AuditedJob", "AuditedJobOfPanel", "Deployment"):
        steps = json.loads((ROOT / "snapshots" / f"{group}.json").read_text())
        assert sum(int(gas) for name, gas in steps.items() if name != "whole") == int(steps["whole"])
