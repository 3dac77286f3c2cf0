"""What is said of `model publish`'s arguments before anything is run, all of it at once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fitchain.cli.app import run
from fitchain.cli.model_source import require_source
from fitchain.pod.values.errors import FitchainError

MODULE = """
raise AssertionError("nothing is run")
from torch import nn
from elsewhere import *  # noqa: F403
"""
NET = """
from torch import nn
class Net(nn.Module):
    def f(self):
        inner = 1
def small(): ...
if nn:
    other = Net()
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (path := tmp_path / "net.py").write_text(NET)
    return path


@pytest.mark.parametrize("name", ["Net", "small", "other", "nn"])
def test_a_name_that_a_file_binds_is_taken(file: Path, name: str) -> None:
    require_source(f"{file}:{name}")


@pytest.mark.parametrize("text", [MODULE, "globals()['Net'] = 1", "exec('Net = 1')"])
def test_names_that_only_running_tells_are_not_judged(file: Path, text: str) -> None:
    file.write_text(text)
    require_source(f"{file}:Net")


@pytest.mark.parametrize(
    ("source", "reason", "advice"),
    [
        ("net.py", "names a file and no module in it", "net.py:Net"),
        ("net.py:", "does not name a module in a file", "FILE.py:NAME"),
        ("net.py:Nett", "defines no 'Nett'", "did you mean Net?"),
        ("net.py:inner", "defines no 'inner'", "it has the classes Net"),
        ("net.py:Zebra", "defines no 'Zebra'", "it has the classes Net"),
        ("nets.py:Net", "there is no file", "did you mean net.py"),
        ("empty.py:Net", "defines no 'Net'", "it has no class"),
        ("bad.py:Net", "line 1 is no Python", "FILE.py:NAME"),
        (".", "is a folder", "FILE.py:NAME"),
        ("Net", "does not name a module in a file", "FILE.py:NAME"),
    ],
)
def test_what_names_no_module_is_told_with_the_next_step(
    source: str, reason: str, advice: str, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(file.parent)
    Path("empty.py").write_text("")
    Path("bad.py").write_text("class :")
    with pytest.raises(FitchainError, match=reason) as refused:
        require_source(source)
    assert advice in refused.value.hint


def test_all_that_is_wrong_is_told_before_anything_is_opened(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "pytorch_model.bin").write_bytes(b"x")
    words = ["--public", "--partial", "--input", "x", "--input", "y=@catgory", "--parent", str(tmp_path / "no.json")]
    command = ["model", "publish", str(tmp_path / "no.py:Net"), "--dataset", "abcdef", *words]
    assert run([*command, "--home", str(tmp_path / "home"), "--json"]) == 3
    faults = json.loads(capsys.readouterr().out)["error"]["faults"]
    said = ("no.py", "--public", "--partial", "no.json", "'x' does not say", "@catgory is none of")
    assert [word in each["message"] for word, each in zip(said, faults, strict=True)] == [True] * len(said)
    assert faults[-1]["hint"] == "did you mean category?"
    command = ["model", "publish", str(tmp_path / "no.py:Net"), "--dataset", "abcdef", "--base", str(tmp_path)]
    assert run([*command, "--home", str(tmp_path / "home"), "--json"]) == 3
    faults = json.loads(capsys.readouterr().out)["error"]["faults"]
    assert "is a pickle" in faults[1]["message"] and not (tmp_path / "home").exists()
