"""The night: parts that passed are not run again, parts that failed fail again with their seed, and
what is asked for is run."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from scripts.nightly import PARTS, SEED, Night, Part, state_of_sources

ROOT = Path(__file__).parent.parent
SOURCES = ("commit", "")


def part(name: str, program: str = "", **how: Any) -> Part:
    """A part that writes its seed down, and then does something."""
    noting = f"open({name!r}, 'a').write(sys.argv[1] + ' ')"
    return Part(name, "something", ((sys.executable, "-c", f"import sys; {noting}; {program}", SEED),), **how)


def night(folder: Path, *parts: Part) -> Night:
    """A night in a folder."""
    return Night(parts, folder / "results" / "nightly.jsonl", SOURCES, folder)


def seeds(folder: Path, name: str) -> list[int]:
    """With which seeds a part was run."""
    return [int(word) for word in (folder / name).read_text().split()] if (folder / name).exists() else []


def lines(given: Night) -> list[dict[str, Any]]:
    return [json.loads(line) for line in given.results.read_text().splitlines()]


def test_each_part_that_ends_adds_a_line(tmp_path: Path) -> None:
    given = night(tmp_path, part("a", "print('hello')"), part("b", "sys.exit(7)", variables={"X": "1"}))
    assert given.run()
    first, second = lines(given)
    assert (first["part"], first["commit"], first["changes"], first["exit"]) == ("a", "commit", "", 0)
    assert (second["part"], second["exit"], second["lacks"]) == ("b", 7, "")
    assert [first["seed"]] == seeds(tmp_path, "a")
    assert (tmp_path / "results" / "nightly" / "a.log").read_text() == "hello\n"


def test_what_passed_is_not_run_again_and_what_failed_is_with_its_seed(tmp_path: Path) -> None:
    given = night(tmp_path, part("a"), part("b", "sys.exit(1)"), part("c"))
    assert given.run() and given.run()
    assert [len(seeds(tmp_path, name)) for name in "abc"] == [1, 2, 1]
    assert len(set(seeds(tmp_path, "b"))) == 1


def test_a_part_that_was_cut_off_is_run_again(tmp_path: Path) -> None:
    broken = replace(part("b"), commands=(("/no/such/command",),))
    with pytest.raises(FileNotFoundError):
        night(tmp_path, part("a"), broken).run()
    assert not night(tmp_path, part("a"), part("b")).run()
    assert [len(seeds(tmp_path, name)) for name in "ab"] == [1, 1]


def test_a_named_part_is_run_alone_and_whether_it_passed_or_not(tmp_path: Path) -> None:
    given = night(tmp_path, part("a"), part("b"))
    given.run(["b"])
    given.run(["b"], seed=5)
    assert (seeds(tmp_path, "a"), seeds(tmp_path, "b")[1:]) == ([], [5])


def test_begun_anew_everything_is_run_and_a_cut_is_taken_up(tmp_path: Path) -> None:
    given = night(tmp_path, part("a"), part("b"))
    given.run()
    given.begin_anew()
    given.run(["a"])
    given.run()
    assert [len(seeds(tmp_path, name)) for name in "ab"] == [2, 2]


def test_other_sources_are_another_night(tmp_path: Path) -> None:
    given = night(tmp_path, part("a"))
    given.run()
    replace(given, sources=("commit", "changed")).run()
    replace(given, sources=("another", "")).run()
    given.run()
    assert len(seeds(tmp_path, "a")) == 3


def test_a_part_that_cannot_run_here_says_why_and_fails_nothing(tmp_path: Path) -> None:
    given = night(tmp_path, part("a", lacks=lambda: "there is no moon"))
    assert not given.run()
    assert not given.run()
    assert [(line["exit"], line["lacks"]) for line in lines(given)] == [(None, "there is no moon")] * 2
    assert (given.standing(given.parts[0]), seeds(tmp_path, "a")) == ("cannot run: there is no moon", [])


def test_a_command_that_fails_ends_its_part(tmp_path: Path) -> None:
    failing, after = part("a", "sys.exit(3)"), part("b")
    assert night(tmp_path, replace(failing, commands=failing.commands + after.commands)).run()
    assert seeds(tmp_path, "b") == []


def test_sources_are_the_commit_and_what_the_working_tree_has_beside_it(tmp_path: Path) -> None:
    def git(*arguments: str) -> None:
        who = ("-c", "user.name=x", "-c", "user.email=x@example.org", "-c", "commit.gpgsign=false")
        subprocess.run(["git", *who, *arguments], cwd=tmp_path, check=True, capture_output=True)

    git("init")
    (tmp_path / "file").write_text("one")
    git("add", ".")
    git("commit", "-m", "one")
    commit, changes = state_of_sources(tmp_path)
    assert (len(commit), changes) == (40, "")
    states = set()
    for name, text in (("file", "two"), ("new", "new"), ("new", "other")):
        (tmp_path / name).write_text(text)
        states.add(state_of_sources(tmp_path))
    assert len(states) == 3
    assert {state[0] for state in states} == {commit}
    assert "" not in {state[1] for state in states}


@pytest.mark.parametrize("given", PARTS, ids=lambda given: given.name)
def test_a_part_names_commands_that_there_are(given: Part) -> None:
    for command in given.commands:
        module = [word for word in command if word.startswith("scripts")]
        assert command[0] in {"forge", "pytest", "python"}
        assert all((ROOT / word.removesuffix(".py").replace(".", "/")).with_suffix(".py").exists() for word in module)
