"""Every test is run by exactly one of `make test`, `make test-long` and `make nightly`; and what a
run says of its optional tests."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from itertools import product
from pathlib import Path

import pytest
from _pytest.mark.expression import Expression

from scripts.nightly import PARTS
from scripts.tests_summary import main, summary
from tests.optional import REQUIREMENTS
from tests.speeds import LONG, NIGHTLY, QUICK, speed_of

ROOT = Path(__file__).parent.parent


def expressions() -> dict[str, list[str]]:
    """Which tests each command selects, as it says so to pytest."""
    options = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]["addopts"]
    long = re.findall(r"^ +(?:\w+=\w+ )?tests -m (\S+)", (ROOT / "scripts" / "check").read_text(), re.MULTILINE)
    nights = [command[2] for part in PARTS for command in part.commands if command[:2] == ("pytest", "-m")]
    return {QUICK: [options[options.index("-m") + 1]], LONG: long, NIGHTLY: [one for one in nights if NIGHTLY in one]}


@pytest.mark.parametrize("speed", ["", LONG, NIGHTLY])
def test_exactly_one_command_runs_a_test_whatever_it_wants(speed: str) -> None:
    """All subsets of what tests want of the machine, thousands: in one test, for each costs one."""
    compiled = [(command, Expression.compile(text)) for command, texts in expressions().items() for text in texts]
    for wants in product([False, True], repeat=len(REQUIREMENTS)):
        marks = {speed, *(name for name, wanted in zip(REQUIREMENTS, wants, strict=True) if wanted)}
        has = marks.__contains__
        selected = [command for command, text in compiled if text.evaluate(lambda name, /, has=has, **_: has(name))]
        assert selected == [speed_of(marks)] == [speed or QUICK], marks


def test_a_test_that_two_commands_would_run_is_refused() -> None:
    with pytest.raises(pytest.UsageError, match="not both"):
        speed_of({LONG, NIGHTLY})


def run(folder: Path, text: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run tests of somebody's own under this suite's plugins."""
    (folder / "test_made.py").write_text(text)
    plugins = ["-p", "tests.speeds", "-p", "tests.optional", "-p", "no:cacheprovider"]
    command = [sys.executable, "-m", "pytest", "-c", str(ROOT / "pyproject.toml"), f"--rootdir={ROOT}", *plugins]
    return subprocess.run([*command, *arguments, str(folder)], cwd=ROOT, capture_output=True, text=True)


def test_a_run_refuses_it_by_name(tmp_path: Path) -> None:
    marks = "@pytest.mark.long\n@pytest.mark.nightly\n"
    done = run(tmp_path, f"import pytest\n\n{marks}def test_both():\n    pass\n")
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "test_both: a test is `long` or `nightly`, not both" in done.stderr


def test_a_run_says_which_optional_tests_it_skipped_and_why(tmp_path: Path) -> None:
    text = "import pytest\n\n@pytest.mark.probe\ndef test_skipped():\n    pytest.skip('there is no probe')\n"
    done = run(tmp_path, f"{text}\n\ndef test_passed():\n    pass\n", "--results", str(tmp_path / "results.json"))
    line = "probe: 1 skipped; there is no probe"
    assert f"optional, {line}" in done.stdout.splitlines()
    counts = json.loads((tmp_path / "results.json").read_text())
    assert counts == {"passed": 1, "failed": 0, "error": 0, "skipped": 1, "optional": [line]}


def test_runs_are_added_up_and_the_sum_stands_alone(tmp_path: Path) -> None:
    quick, long = tmp_path / "test.json", tmp_path / "test-long.json"
    counts = {"passed": 3, "failed": 0, "error": 0, "skipped": 2, "optional": ["ipfs: 2 skipped; there is no Kubo"]}
    quick.write_text(json.dumps(counts))
    long.write_text(json.dumps(counts | {"passed": 1, "skipped": 0, "optional": []}))
    lines = ["test, optional, ipfs: 2 skipped; there is no Kubo", "2 skipped", "4 passed, 0 failed"]
    assert list(summary([quick, long])) == lines
    assert main([quick, long]) == 0


def test_a_failed_test_and_a_run_without_results_fail_the_sum(tmp_path: Path) -> None:
    quick, absent = tmp_path / "test.json", tmp_path / "test-long.json"
    quick.write_text(json.dumps({"passed": 1, "failed": 1, "error": 1, "skipped": 0, "optional": []}))
    assert list(summary([quick])) == ["1 passed, 2 failed"]
    assert main([quick]) == 1
    assert list(summary([absent])) == ["test-long: ended before its tests", "0 passed, 1 failed"]
    assert main([absent]) == 1
