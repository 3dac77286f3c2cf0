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

from scripts.nightly import PARTS, SEED, Night, Part, digest_of_paths

ROOT = Path(__file__).parent.parent


def part(name: str, program: str = "", **how: Any) -> Part:
    """A part that writes its seed down, and then does something."""
    noting = f"open({name!r}, 'a').write(sys.argv[1] + ' ')"
    how = {"paths": (".",)} | how
    return Part(name, "something", ((sys.executable, "-c", f"import sys; {noting}; {program}", SEED),), **how)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A working copy with one commit of one file."""

    def git(*arguments: str) -> None:
        who = ("-c", "user.name=x", "-c", "user.email=x@example.org", "-c", "commit.gpgsign=false")
        subprocess.run(["git", *who, *arguments], cwd=tmp_path, check=True, capture_output=True)

    git("init")
    (tmp_path / ".gitignore").write_text("results\n[a-c]\n")
    (tmp_path / "file").write_text("one")
    git("add", ".")
    git("commit", "-m", "one")
    return tmp_path


def night(folder: Path, *parts: Part) -> Night:
    """A night in a folder."""
    return Night(parts, folder / "results" / "nightly.jsonl", folder)


def seeds(folder: Path, name: str) -> list[int]:
    """With which seeds a part was run."""
    return [int(word) for word in (folder / name).read_text().split()] if (folder / name).exists() else []


def lines(given: Night) -> list[dict[str, Any]]:
    return [json.loads(line) for line in given.results.read_text().splitlines()]


def test_each_part_that_ends_adds_a_line(folder: Path) -> None:
    given = night(folder, part("a", "print('hello')"), part("b", "sys.exit(7)", variables={"X": "1"}))
    assert given.run()
    first, second = lines(given)
    assert (first["part"], first["commit"], first["exit"]) == ("a", given.commit, 0)
    assert (second["part"], second["exit"], second["lacks"]) == ("b", 7, "")
    assert [first["seed"]] == seeds(folder, "a")
    assert (folder / "results" / "nightly" / "a.log").read_text() == "hello\n"


def test_what_passed_is_not_run_again_and_what_failed_is_with_its_seed(folder: Path) -> None:
    given = night(folder, part("a"), part("b", "sys.exit(1)"), part("c"))
    assert given.run() and given.run()
    assert [len(seeds(folder, name)) for name in "abc"] == [1, 2, 1]
    assert len(set(seeds(folder, "b"))) == 1


def test_a_part_that_was_cut_off_is_run_again(folder: Path) -> None:
    broken = replace(part("b"), commands=(("/no/such/command",),))
    with pytest.raises(FileNotFoundError):
        night(folder, part("a"), broken).run()
    assert not night(folder, part("a"), part("b")).run()
    assert [len(seeds(folder, name)) for name in "ab"] == [1, 1]


def test_a_named_part_is_run_alone_and_whether_it_passed_or_not(folder: Path) -> None:
    given = night(folder, part("a"), part("b"))
    given.run(["b"])
    given.run(["b"], seed=5)
    assert (seeds(folder, "a"), seeds(folder, "b")[1:]) == ([], [5])


def test_begun_anew_everything_is_run_and_a_cut_is_taken_up(folder: Path) -> None:
    given = night(folder, part("a"), part("b"))
    given.run()
    given.begin_anew()
    given.run(["a"])
    given.run()
    assert [len(seeds(folder, name)) for name in "ab"] == [2, 2]


def test_a_part_is_run_again_once_something_changed_that_it_rests_on(folder: Path) -> None:
    (folder / "x").mkdir()
    parts = part("a"), part("b", paths=("x",)), part("c", paths=("file", "x"))
    for name in ("file", "x/new", "results/new"):
        night(folder, *parts).run()
        (folder / name).write_text("other")
    night(folder, *parts).run()
    assert [len(seeds(folder, name)) for name in "abc"] == [3, 2, 3]
    night(folder, part("a"), part("b", "1 + 1", paths=("x",)), part("c", variables={"X": "1"})).run()
    assert [len(seeds(folder, name)) for name in "abc"] == [3, 3, 4]


def test_a_part_that_cannot_run_here_says_why_and_fails_nothing(folder: Path) -> None:
    given = night(folder, part("a", lacks=lambda: "there is no moon"))
    assert not given.run()
    assert not given.run()
    assert [(line["exit"], line["lacks"]) for line in lines(given)] == [(None, "there is no moon")] * 2
    assert (given.standing(given.parts[0]), seeds(folder, "a")) == ("cannot run: there is no moon", [])


def test_a_command_that_fails_ends_its_part(folder: Path) -> None:
    failing, after = part("a", "sys.exit(3)"), part("b")
    assert night(folder, replace(failing, commands=failing.commands + after.commands)).run()
    assert seeds(folder, "b") == []


def test_sources_are_names_and_bytes_of_what_git_does_not_ignore(folder: Path) -> None:
    digests = [digest_of_paths(folder, ["."])]
    for name, text in (("file", "two"), ("new", "new"), ("new", "other"), ("other", "other")):
        (folder / name).write_text(text)
        digests.append(digest_of_paths(folder, ["."]))
    assert len(set(digests)) == 5
    (folder / "a").write_text("ignored")
    (folder / "other").unlink()
    assert digest_of_paths(folder, ["."]) == digests[3]


@pytest.mark.parametrize("given", PARTS, ids=lambda given: given.name)
def test_a_part_names_commands_that_there_are(given: Part) -> None:
    for command in given.commands:
        assert all((ROOT / path).exists() for path in given.paths)
        module = [word for word in command if word.startswith("scripts")]
        assert command[0] in {"forge", "pytest", "python"}
        paths = [ROOT / word.removesuffix(".py").replace(".", "/") for word in module]
        assert all(path.with_suffix(".py").exists() or (path / "__main__.py").exists() for path in paths)
