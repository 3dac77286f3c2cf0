"""Breaking the contracts on purpose: what is changed, what became of it, and that a run that was
cut off goes on."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from scripts.mutation.equivalent import EQUIVALENT
from scripts.mutation.fates import Fates, digest_of_sources
from scripts.mutation.forge_copy import ROOT, Fate, ForgeCopy
from scripts.mutation.operators import (
    Mutant,
    all_mutants,
    mutants_of,
    report,
    sources,
    try_all,
)
from scripts.mutation.rules import RULES, Rule

FORGE_TESTS = {
    name
    for path in (ROOT / "tests" / "contracts").glob("*.sol")
    for name in re.findall(r"contract (\w+)", path.read_text())
}


@dataclass(frozen=True)
class CountingCopy(ForgeCopy):
    """A copy in which nothing is compiled: what is tried is written down."""

    fates: Sequence[Fate] = ()
    tried: list[str] = field(default_factory=list)

    def fate(self, source: str, text: str, tests: str = "", test: str = "") -> Fate:
        self.tried.append(text)
        return self.fates[len(self.tried) - 1]


def changes(line: str, before: str = "{") -> list[str]:
    """What a line may become."""
    return [mutant.new for mutant in mutants_of("A.sol", f"{before}\n    {line}")]


# Rules


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_a_rule_stands_in_the_contracts_once_and_names_tests_that_there_are(rule: Rule) -> None:
    assert rule.broken() != (ROOT / "contracts" / rule.source).read_text()
    assert set(rule.tests.split("|")) <= FORGE_TESTS


def test_a_rule_has_a_name_of_its_own() -> None:
    assert len({rule.name for rule in RULES}) == len(RULES)


@pytest.mark.nightly
def test_a_rule_taken_out_is_noticed_and_a_comment_is_not() -> None:
    rule = next(rule for rule in RULES if rule.source == "Directory.sol")
    with ForgeCopy.made() as copy:
        assert copy.fate(rule.source, rule.broken(), rule.tests) is Fate.NOTICED
        text = (ROOT / "contracts" / rule.source).read_text()
        assert copy.fate(rule.source, text + "// the end\n", rule.tests) is Fate.SURVIVED
        assert copy.fate(rule.source, text + "}", rule.tests) is Fate.STILLBORN
        assert (copy.folder / "contracts" / rule.source).read_text() == text


# Operators


def test_a_comparison_moves_by_one_and_turns_round() -> None:
    assert changes("if (a < b) revert A();") == ["if (a <= b) revert A();", "if (a >= b) revert A();", ""]


def test_a_sum_a_number_and_a_statement() -> None:
    assert changes("count += seats + 1;") == [
        "count -= seats + 1;",
        "count = seats + 1;",
        "count += seats - 1;",
        "count += seats + 2;",
        "",
    ]


def test_a_branch_is_taken_always_and_never() -> None:
    assert changes("} else if (isWithheld) {") == ["} else if (true) {", "} else if (false) {"]


def test_a_truth_and_a_negation() -> None:
    assert changes("return !settled || true;") == [
        "return !settled && true;",
        "return settled || true;",
        "return !settled || false;",
    ]


@pytest.mark.parametrize(
    "line",
    [
        "// a < b and true",
        "/// @dev a < b and true",
        'import {A} from "a.sol";',
        "event Settled(uint256 a);",
        "uint256[3] memory seats_;",
        "mapping(address account => uint256) private _a;",
        "return known;",
        "address public immutable owner;",
    ],
)
def test_comments_declarations_and_results_stay(line: str) -> None:
    assert changes(line) == []


def test_the_rest_of_a_statement_is_not_left_out() -> None:
    assert changes("known.price);", before="    emit Paid(") == []


def test_a_change_is_of_its_line_alone() -> None:
    text = "{\n    a = b + c;\n    a = b + c;\n}\n"
    second = [mutant for mutant in mutants_of("A.sol", text) if mutant.line == 3]
    assert second[0].applied(text) == "{\n    a = b + c;\n    a = b - c;\n}\n"
    assert second[-1].applied(text) == "{\n    a = b + c;\n\n}\n"


def test_every_contract_has_changes() -> None:
    names = sources()
    assert {mutant.source for mutant in all_mutants(names)} >= {name for name in names if "/" not in name}
    assert not any("interfaces" in name for name in names)


def test_what_was_tried_over_these_sources_is_known(tmp_path: Path) -> None:
    mutants = all_mutants(["Directory.sol"])[:3]
    copy = CountingCopy(tmp_path, [Fate.NOTICED, Fate.SURVIVED, Fate.STILLBORN])
    fates = Fates("digest", tmp_path / "results" / "mutants.jsonl")
    try_all(mutants[:2], copy, fates)
    assert [fates.known().get(mutant.tried_as) for mutant in mutants] == [Fate.NOTICED, Fate.SURVIVED, None]
    assert fates.known("OtherTest") == Fates("another digest", fates.path).known() == {}
    try_all(mutants[2:], copy, fates)
    assert len(copy.tried) == len(fates.known()) == 3


def test_a_survivor_is_not_hidden_by_a_line_that_reads_the_same(tmp_path: Path) -> None:
    line = "_conclude(hearing, known, ruling);"
    twins = [mutant for mutant in all_mutants(["Audits.sol"]) if mutant.old == line][:2]
    assert len(twins) == 2 and twins[0].key == twins[1].key
    fates = Fates("digest", tmp_path / "mutants.jsonl")
    try_all(twins, CountingCopy(tmp_path, [Fate.SURVIVED, Fate.NOTICED]), fates)
    assert report(twins, fates.known()) == twins[:1]


def test_what_makes_no_difference_in_one_function_is_not_excused_in_another() -> None:
    excused = next(mutant for mutant in all_mutants(["Audits.sol"]) if mutant.key in EQUIVALENT)
    twin = replace(excused, line=excused.line + 1, function="elsewhere")
    twins = [excused, twin]
    assert report(twins, {mutant.tried_as: Fate.SURVIVED for mutant in twins}) == [twin]


def test_a_change_knows_the_function_it_stands_in() -> None:
    text = """uint256 constant A = 1 + 2;
contract B {
    uint256 constant C = 1 + 2;

    constructor() {
        c = 1 + 2;
    }

    function d() private {
        c = 1 + 2;
    }

    function e(uint256 f)
        private
    {
        if (f > 2) {
            c = f;
        }
        c = f + 2;
    }

    uint256 constant G = 1 + 2;
}
function h() pure {
    if (true) {
        c();
    }
    c = 1 + 2;
}
uint256 constant I = 1 + 2;
"""
    functions = {mutant.line: mutant.function for mutant in mutants_of("B.sol", text)}
    of_e, of_h = dict.fromkeys((16, 17, 19), "e"), dict.fromkeys((25, 26, 28), "h")
    assert functions == {1: "", 3: "", 6: "constructor", 10: "d", **of_e, 22: "", **of_h, 30: ""}


def test_survivors_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    mutants = [Mutant("A.sol", 7, "a < b;", "a <= b;"), Mutant("A.sol", 8, "a = b;", "")]
    assert report(mutants, {mutants[0].tried_as: Fate.NOTICED, mutants[1].tried_as: Fate.SURVIVED}) == mutants[1:]
    shown = capsys.readouterr().out
    assert "of 2 changes 2 were tried over these sources: 1 noticed, 1 SURVIVED, 0 does not compile" in shown
    assert "survivor  A.sol:8: a = b;  ->  (left out)" in shown


def test_what_makes_no_difference_is_explained_and_stands_in_the_contracts() -> None:
    keys = {mutant.key for mutant in all_mutants([])}
    assert [key for key in EQUIVALENT if key not in keys] == []
    assert all(EQUIVALENT.values())


def test_digest_is_of_contracts_and_tests() -> None:
    assert re.fullmatch("[0-9a-f]{16}", digest_of_sources())
