"""`fitchain store` over a folder and over Kubo, and `fitchain devnet up --ipfs`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fitchain.cli.app import run
from fitchain.pod.ports.chain import devnet
from fitchain.pod.ports.settings import load
from fitchain.pod.ports.store import devnet_nodes

Fitchain = Callable[..., tuple[int, dict[str, Any], str]]


@pytest.fixture
def fitchain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Fitchain:
    """Runs a command of a fresh home: exit code, JSON object, what was told on stderr."""
    monkeypatch.setenv("FITCHAIN_DEVNET", str(tmp_path / "devnet"))
    monkeypatch.setenv("FITCHAIN_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)

    def command(*arguments: str) -> tuple[int, dict[str, Any], str]:
        code = run([*arguments, "--json"])
        told = capsys.readouterr()
        return code, json.loads(told.out.splitlines()[-1]) if told.out else {}, told.err

    return command


def test_an_object_goes_in_out_onto_a_stick_and_away(fitchain: Fitchain, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.txt").write_text("hello\n")
    _, added, _ = fitchain("store", "add", "in")
    cid = added["cid"]
    assert fitchain("store", "list")[1] == {"pins": [cid]}
    assert fitchain("store", "get", cid, "out")[0] == 0
    assert (tmp_path / "out" / "a.txt").read_text() == "hello\n"
    assert fitchain("store", "export", cid, "stick.car")[0] == 0
    assert fitchain("store", "pin", cid, "--remove")[1] == {"cid": cid, "pinned": False}
    code, told, _ = fitchain("store", "gc")
    assert (code, told["blocks"], told["freed_bytes"]) == (0, 2, 0)
    assert fitchain("store", "get", cid, "again")[0] == 0
    assert fitchain("store", "gc", "--yes")[1]["freed_bytes"] > 0
    assert fitchain("store", "get", cid, "gone")[0] == 3
    assert fitchain("store", "import", "stick.car")[1] == {"cid": cid}
    code, status, _ = fitchain("store", "status")
    assert (code, status["kind"], status["blocks"], status["pins"]) == (0, "local", 2, 1)
    assert fitchain("store", "gc")[1] == {"blocks": 0, "size_bytes": 0, "freed_bytes": 0}


def test_what_is_there_is_not_fetched_over(fitchain: Fitchain, tmp_path: Path) -> None:
    (tmp_path / "one").write_text("theirs")
    (tmp_path / "notes").write_text("mine")
    cid = fitchain("store", "add", "one")[1]["cid"]
    code, told, _ = fitchain("store", "get", cid, "notes")
    assert code == 3 and "notes exists already and would be overwritten" in told["error"]["message"]
    assert (tmp_path / "notes").read_text() == "mine"


@pytest.mark.parametrize(
    "arguments", [("get", "nonsense"), ("import", "missing.car"), ("add", "missing"), ("pin", "bafkqaaa")]
)
def test_what_cannot_be_done_exits_with_3(fitchain: Fitchain, arguments: tuple[str, ...]) -> None:
    code, told, _ = fitchain("store", *arguments)
    assert code == 3 and told["error"]["message"]


def test_an_absent_node_is_told_with_what_to_do(fitchain: Fitchain, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FITCHAIN_STORE_PATIENCE_S", "0.1")
    code, told, _ = fitchain("store", "status", "--store", "ipfs:/ip4/127.0.0.1/tcp/1")
    assert code == 3 and "no IPFS node answers" in told["error"]["message"] and "ipfs daemon" in told["error"]["hint"]


@pytest.fixture
def stopped(tmp_path: Path) -> Iterator[None]:
    yield
    devnet.down(tmp_path / "devnet")
    devnet_nodes.down(tmp_path / "devnet")


@pytest.mark.ipfs
@pytest.mark.usefixtures("stopped")
def test_devnet_up_brings_two_nodes_and_down_takes_them(fitchain: Fitchain, tmp_path: Path) -> None:
    code, up, told = fitchain("devnet", "up", "--ipfs", "--port", "0")
    assert code == 0, told
    first, second = (node["store"] for node in up["ipfs"])
    assert up["store"] == first == load(home=tmp_path, devnet=tmp_path / "devnet", environ={}).store
    assert up["ipfs_version"] == fitchain("store", "status")[1]["version"]
    (tmp_path / "file").write_bytes(b"content")
    _, added, _ = fitchain("store", "add", "file")
    assert fitchain("store", "get", added["cid"], "out", "--store", second)[0] == 0
    assert (tmp_path / "out").read_bytes() == b"content"
    assert fitchain("devnet", "down")[1] == {"stopped": True}
    assert fitchain("devnet", "status")[1]["running"] is False
    assert devnet_nodes.status(tmp_path / "devnet") is None
