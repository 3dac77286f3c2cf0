"""Settings: who wins, what is refused, and when the devnet counts."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from codecs import BOM_UTF8
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from fitchain.cli.app import INTERRUPTED
from fitchain.pod.ports.settings import (
    _ENVIRONMENT,
    _NAMES,
    DEVNET_CHAIN_ID,
    DevnetRecord,
    Settings,
    load,
    process_start,
)
from fitchain.pod.values.errors import InputRefused, Refuted, Unusable


def in_home(home: Path, text: str = "", environ: dict[str, str] | None = None, **flags: object) -> Settings:
    home.mkdir(exist_ok=True)
    (home / "settings.toml").write_text(text)
    variables = {"FITCHAIN_DEVNET": str(home / "devnet")} | (environ or {})
    return load(home=home, environ=variables, **flags)  # type: ignore[arg-type]


def record_here(folder: Path) -> DevnetRecord:
    """A record of a devnet whose process is this one."""
    started = process_start(os.getpid())
    assert started is not None
    record = DevnetRecord("http://127.0.0.1:9", DEVNET_CHAIN_ID, os.getpid(), started, 9, str(folder / "store"), "v1")
    write_record(folder, record)
    return record


def write_record(folder: Path, record: DevnetRecord) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "devnet.json").write_text(json.dumps(asdict(record)))


def test_defaults_without_any_choice(tmp_path: Path) -> None:
    settings = in_home(tmp_path)
    assert (settings.rpc, settings.chain_id, settings.key) == ("", None, "default")
    assert settings.store == tmp_path / "store"


def test_flags_win_over_environment_over_file(tmp_path: Path) -> None:
    text = 'rpc = "http://file"\nkey = "file"\nchain_id = 1'
    environ = {"FITCHAIN_RPC": "http://environment", "FITCHAIN_KEY": "environment"}
    settings = in_home(tmp_path, text, environ, rpc="http://flag")
    assert (settings.rpc, settings.key, settings.chain_id) == ("http://flag", "environment", 1)


def test_a_mark_of_byte_order_is_no_part_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "settings.toml").write_bytes(BOM_UTF8 + b'key = "file"')
    assert load(tmp_path, environ={}).key == "file"


def test_home_comes_from_the_environment(tmp_path: Path) -> None:
    assert load(environ={"FITCHAIN_HOME": str(tmp_path / "pod")}).home == tmp_path / "pod"


def test_running_devnet_is_the_default_node(tmp_path: Path) -> None:
    record = record_here(tmp_path / "devnet")
    settings = in_home(tmp_path)
    assert (settings.rpc, settings.chain_id, settings.store) == (record.rpc, record.chain_id, Path(record.store))
    assert (settings.confirmations, settings.poll_s) == (0, 0.02)


def test_record_of_a_dead_process_does_not_count(tmp_path: Path) -> None:
    record = record_here(tmp_path / "devnet")
    write_record(tmp_path / "devnet", replace(record, started=record.started - 1))
    assert in_home(tmp_path).rpc == ""


def test_devnet_store_and_chain_never_go_with_another_node(tmp_path: Path) -> None:
    record_here(tmp_path / "devnet")
    settings = in_home(tmp_path, rpc="http://elsewhere")
    assert (settings.chain_id, settings.store) == (None, tmp_path / "store")


def test_chain_defaults_follow_the_chain_the_node_turns_out_to_be_on(tmp_path: Path) -> None:
    settings = in_home(tmp_path, "poll_s = 0.5")
    assert (settings.confirmations, settings.poll_s) == (12, 0.5)
    devnet = settings.on_chain(DEVNET_CHAIN_ID)
    assert (devnet.confirmations, devnet.poll_s, devnet.chain_id) == (0, 0.5, DEVNET_CHAIN_ID)


@pytest.mark.parametrize(("chain_id", "confirmations"), [(DEVNET_CHAIN_ID, 0), (1, 12), (11155111, 12), (7777, 12)])
def test_confirmations_follow_from_the_chain_unless_they_are_chosen(
    tmp_path: Path, chain_id: int, confirmations: int
) -> None:
    assert in_home(tmp_path, chain_id=chain_id).confirmations == confirmations
    assert in_home(tmp_path).on_chain(chain_id).confirmations == confirmations
    chosen = in_home(tmp_path, "confirmations = 64")
    assert chosen.confirmations == chosen.on_chain(chain_id).confirmations == 64


def test_deployments_are_looked_for_in_the_home_first(tmp_path: Path) -> None:
    paths = in_home(tmp_path).deployment_paths(5)
    assert paths == (tmp_path / "deployments/5.json", tmp_path / "devnet/deployments/5.json")


@pytest.mark.parametrize(
    "text",
    [
        "colour = 1",
        "chain_id = 'x'",
        "poll_s = -1",
        "rpc = 3",
        "rpc = ''",
        "= no TOML",
        "chain_id = true",
        "store = 3",
        "poll_s = nan",
    ],
)
def test_malformed_file_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(InputRefused):
        in_home(tmp_path, text)


def test_malformed_devnet_record_is_refused(tmp_path: Path) -> None:
    (tmp_path / "devnet").mkdir()
    (tmp_path / "devnet" / "devnet.json").write_text('{"rpc": 1}')
    with pytest.raises(InputRefused, match="is not a devnet's record"):
        in_home(tmp_path)


def test_zombie_does_not_count_as_running() -> None:
    child = os.posix_spawn("/bin/true", ["true"], {})
    while process_start(child) is not None:
        pass
    assert process_start(child) is None
    os.waitpid(child, 0)


@pytest.mark.parametrize(
    "module",
    [
        "fitchain.pod.ports.settings",
        "fitchain.pod.ports.keys",
        "fitchain.pod.ports.chain",
        "fitchain.pod.ports.registry",
        "fitchain.pod.ports.agreement",
    ],
)
def test_import_is_light(module: str) -> None:
    heavy = ("torch", "web3", "eth_account", "requests")
    code = f"import sys, {module}; sys.exit(any(name in sys.modules for name in {heavy}))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_page_names_every_setting_and_exit_code() -> None:
    page = (Path(__file__).parent.parent / "docs/settings.md").read_text()
    assert {name for name in _NAMES if f"| `{name}` |" not in page} == set()
    assert {variable for variable in _ENVIRONMENT.values() if f"`{variable}`" not in page} == set()
    codes = {Refuted.exit_code, Unusable.exit_code, INTERRUPTED, 0, 2}
    assert {int(code) for code in re.findall(r"^\| (\d+) \|", page, re.MULTILINE)} == codes
