"""The conformance suite remembers what it ran, counts what gave no bits as failed, and writes its
table; what it compares is compared by `make conformance` itself."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest

from fitchain.pod.compute.environment import DEFAULT, Environment, installed_torch
from scripts import conformance
from scripts.bench.figures import Figure
from scripts.bench.picture import draw

EXPECTED = {"a": "0x1", "b": "0x2", "200 steps/mlp": "0x3", "outside/c": "0x4"}


def row(**found: str) -> conformance.Row:
    return conformance.Row(
        conformance.PLACES[2], 1, EXPECTED, EXPECTED | {key.replace("_", "/"): found[key] for key in found}
    )


def test_a_row_tells_what_parts_inside_and_outside_of_the_class() -> None:
    parted = row(a="0x9", outside_c="0x9")
    assert (parted.equal, parted.admitted, parted.broken, parted.missing) == (2, ["a"], [], [])
    assert "outside the class, and different: ['c']" in parted.describe()
    assert row().line() == "| Intel Haswell | emulated, `Haswell-v4` | 1 | 4 of 4 | 1 of 1 | 0 | 0 |"


def test_what_fails_alike_everywhere_is_not_equal() -> None:
    failing = EXPECTED | {"b": conformance.ENDED, "a": "RuntimeError"}
    alike = conformance.Row(conformance.HERE, 1, failing, failing)
    assert (alike.equal, alike.broken) == (2, ["a", "b"])


def test_a_runner_remembers_all_but_a_torn_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conformance, "RESULTS", tmp_path)
    runner = conformance.Runner(Environment(DEFAULT.name, 1, installed_torch()), conformance.HERE, quick=True)
    assert dict(runner.remembered()) == {}
    runner.remember("a", "0x1")
    runner.remember("200 steps/mlp", "0x2")
    with runner.memory_of_cases.open("a") as memory:
        memory.write('["b", "0x')
    assert dict(runner.remembered()) == {"a": "0x1", "200 steps/mlp": "0x2"}
    assert runner.memory_of_cases != runner.memory_of_trainings


def test_each_place_has_a_memory_of_its_own() -> None:
    environments = [Environment(DEFAULT.name, threads, installed_torch()) for threads in (1, 2)]
    places = [place for place in conformance.PLACES if not place.cpu]
    runners = [conformance.Runner(each, place, quick=False) for each in environments for place in places]
    memories = {runner.memory_of_cases for runner in runners}
    assert len(memories) == len(environments) * len(places)


def test_docstrings_and_comments_compute_nothing(tmp_path: Path) -> None:
    codes = []
    for number, text in enumerate(['"""A."""\nx = 1\n', "x = 1  # one\n", "x = 2\n"]):
        path = tmp_path / f"{number}.py"
        path.write_text(text)
        codes.append(conformance.code_of(path))
    assert codes[0] == codes[1] != codes[2]


def test_the_table_stands_between_its_marks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    note = tmp_path / "note.md"
    note.write_text(f"before\n{conformance.BEGIN}\nold\n{conformance.END}\nafter\n")
    monkeypatch.setattr(conformance, "NOTE", note)
    monkeypatch.setattr(conformance, "qemu", lambda: "7.2")  # not every machine has it
    conformance.write_table([row()])
    written = note.read_text()
    assert written.startswith("before\n") and written.endswith(f"{conformance.END}\nafter\n")
    assert row().line() in written and "old" not in written


def test_a_partial_run_does_not_write_the_table(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["conformance", "--write", "--threads", "1"])
    with pytest.raises(SystemExit):
        conformance.main()
    assert "the whole table" in capsys.readouterr().err


def test_a_picture_has_a_bar_for_each_figure_and_a_mark_for_each_goal() -> None:
    figures = [Figure("MLP: a / b", 0.5, goal=1.0), Figure("MLP: c / b", 0.7), Figure("CNN: a / b", 1.2, goal=1.4)]
    root = ElementTree.fromstring(draw("A title", figures))
    texts = [text.text for text in root.iter("{http://www.w3.org/2000/svg}text")]
    assert texts[0] == "A title" and {"MLP", "CNN", "0.50", "0.70", "1.20", "a / b", "c / b"} <= set(texts)
    assert len(list(root.iter("{http://www.w3.org/2000/svg}path"))) == 2 + 1
