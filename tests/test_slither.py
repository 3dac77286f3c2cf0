"""Slither finds nothing grave in the contracts that is not explained."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.slither import (
    EXPLAINED,
    WANTED,
    Finding,
    command,
    finding_of,
    findings,
    outdated,
    unexplained,
)

ROOT = Path(__file__).parent.parent


@pytest.mark.slither
@pytest.mark.long
def test_no_finding_of_high_or_medium_impact_is_unexplained() -> None:
    slither = command()
    assert slither
    found = findings(slither)
    assert len(found) > len(EXPLAINED), "it looked at the contracts"
    assert unexplained(found) == []
    assert outdated(found) == []


def test_a_grave_finding_without_a_reason_is_unexplained() -> None:
    known = next(iter(EXPLAINED))
    high, medium = (Finding("reentrancy-eth", impact, "Audits.draw", "it is") for impact in ("High", "Medium"))
    low, explained = Finding("timestamp", "Low", "Audits.draw", "it is"), Finding(known[0], "High", known[1], "it is")
    assert unexplained([low, high, explained, medium]) == [high, medium]


def test_an_explanation_of_what_is_not_found_is_outdated() -> None:
    known, *others = EXPLAINED
    assert outdated([Finding(check, "Medium", place, "it is") for check, place in others]) == [known]


def test_a_place_is_contract_function_and_variable() -> None:
    contract = {"type": "contract", "name": "Audits", "type_specific_fields": {"parent": None}}
    function = {"type": "function", "name": "_tally", "type_specific_fields": {"parent": contract}}
    source = {"filename_relative": "contracts/Audits.sol"}
    variable = {"name": "against", "type_specific_fields": {"parent": function}, "source_mapping": source}
    told = {"check": "uninitialized-local", "impact": "Medium", "description": "it is\n", "elements": [variable]}
    assert finding_of(told) == Finding("uninitialized-local", "Medium", "Audits._tally.against", "it is")
    source["filename_relative"] = "@openzeppelin/contracts/utils/math/Math.sol"
    assert finding_of(told) is None


def test_places_that_are_explained_are_in_the_contracts() -> None:
    text = "\n".join(path.read_text() for path in (ROOT / "contracts").rglob("*.sol"))
    assert all(word in text for _, place in EXPLAINED for word in place.split("."))


def test_what_is_installed_is_fixed_by_its_hash() -> None:
    lines = Path(WANTED).read_text().splitlines()
    assert any(line.startswith("slither-analyzer==") for line in lines)
    assert all("==" in line for line in lines if line and not line.startswith((" ", "#")))
    assert sum("--hash=sha256:" in line for line in lines) > len([line for line in lines if "==" in line])
