"""The demonstration, as `make demo` runs it, on a devnet and in a home folder of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fitchain.cli.demo.parties import next_folder
from fitchain.cli.demo.samples import SAMPLES
from fitchain.pod.ports.store.kubo import kubo, version
from tests.limits import LIMIT_S

pytestmark = pytest.mark.long

ROOT = Path(__file__).parent.parent
FIELDS = {
    *("agreement", "state", "dataset_records", "steps", "checkpoints", "anchors", "transactions", "gas_total"),
    *("test_accuracy", "model", "certificate", "replayed_segments", "seconds", "store", "ipfs_version"),
    *("assurance", "audited_again", "verifiers", "cheat", "privacy", "held_out", "risk"),
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("demo")
    yield folder
    fitchain(folder, "devnet", "down")


def fitchain(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    variables = {**os.environ, "HOME": str(folder), "FITCHAIN_DEVNET": str(folder / "devnet"), "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-m", "fitchain.cli", *arguments],
        cwd=folder,
        env=variables,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
    )


def play(folder: Path, data: str, *how: str) -> tuple[dict[str, Any], str]:
    done = fitchain(folder, "demo", "--data", data, "--port", "0", "--json", *how)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1]), done.stderr


@pytest.fixture(scope="module")
def played(place: Path) -> dict[str, Any]:
    return play(place, "breast-cancer")[0]


def test_the_demonstration_prints_one_object_with_the_agreed_fields(played: dict[str, Any]) -> None:
    assert set(played) == FIELDS and set(played["seconds"]) == {"setup", "train", "total"}
    assert (played["state"], played["dataset_records"], played["replayed_segments"]) == ("Settled", 455, 7)
    assert played["test_accuracy"] > 0.8
    assert played["checkpoints"] == -(-played["steps"] // 2) + 1 and played["anchors"] == played["checkpoints"] // 16


def test_each_pod_has_an_ipfs_node_of_its_own_where_kubo_is(place: Path, played: dict[str, Any]) -> None:
    found = kubo()
    assert (played["store"], played["ipfs_version"]) == (("ipfs", version(found)) if found else ("local", None))
    homes = [place / "demo-run" / "1" / name / "settings.toml" for name in ("owner", "scientist")]
    stores = {tomllib.loads(path.read_text())["store"] for path in homes}
    assert len(stores) == (2 if found else 1)


def test_an_unknown_store_is_refused(tmp_path: Path) -> None:
    done = fitchain(tmp_path, "demo", "--store", "cloud")
    assert done.returncode == 3 and "--store local or --store ipfs" in done.stderr
    assert not (tmp_path / "demo-run").exists()


def test_an_audited_job_stays_within_its_budget_of_gas(played: dict[str, Any]) -> None:
    assert (played["anchors"], played["verifiers"]) == (3, 3)
    assert played["transactions"] <= 22 and played["gas_total"] <= 1_620_000


def test_it_is_charged_to_the_owner_s_privacy_budget(place: Path, played: dict[str, Any]) -> None:
    spent = played["privacy"]
    assert spent["delta"] == 1e-4 and "held-out" in played["held_out"]
    assert "of 91; AUC" in played["risk"]
    assert 2.9 < spent["epsilon"] <= 3 and spent["left"] == pytest.approx(1, abs=0.1)
    verified = fitchain(place, "proof", "verify", played["model"], played["certificate"], "--json")
    assert json.loads(verified.stdout)["privacy"]["epsilon"] == spent["epsilon"]


def test_a_model_that_mixes_records_is_not_demonstrated_with_a_budget(tmp_path: Path) -> None:
    done = fitchain(tmp_path, "demo", "--data", "digits", "--privacy")
    assert done.returncode == 3 and "cannot be trained in private" in done.stderr
    assert not (tmp_path / "demo-run").exists()


def test_a_stranger_has_it_audited_again_by_verifiers_of_its_own(place: Path, played: dict[str, Any]) -> None:
    again = played["audited_again"]
    assert (played["assurance"], again["assurance"]) == ("vouched", "sampled")
    assert (again["ordinal"], again["verdict"], again["votes"], again["fees"]) == (1, "Match", ["Match"] * 3, "3")
    assert {0, -(-played["steps"] // 2) - 1} <= set(again["segments"]) and len(again["segments"]) == 7
    verify = ("proof", "verify", played["model"], played["certificate"], "--require", "sampled", "--json", "--home")
    homes = place / "demo-run" / "1"
    assert fitchain(place, *verify, str(homes / "stranger")).returncode == 0
    refused = fitchain(place, *verify, str(homes / "scientist"))
    assert refused.returncode == 3 and "fitchain proof reaudit" in refused.stderr
    key = ("--home", str(homes / "stranger"), "--passphrase-file", str(homes / "stranger" / "passphrase"))
    even = ("--panel", "pool", "--verifiers", "2", *key)
    assert "odd number" in fitchain(place, "proof", "reaudit", played["agreement"][:10], *even).stderr
    panel = fitchain(place, "trust", "list", "--home", str(homes / "stranger"), "--json").stdout
    assert len(json.loads(panel)["panels"][0]["members"]) == 5


def test_the_owner_that_cheats_is_caught_and_the_scientist_refunded(place: Path, played: dict[str, Any]) -> None:
    cheat = played["cheat"]
    assert (cheat["verdict"], cheat["state"], cheat["bond_lost"]) == ("Mismatch", "Forfeited", "10")
    assert (cheat["to_verifiers"], cheat["to_scientist"], cheat["burned"]) == ("3", "16.5", "3.5")
    home = ["--home", str(place / "demo-run" / "1" / "scientist"), "--json"]
    shown = json.loads(fitchain(place, "job", "show", cheat["agreement"][:10], *home).stdout)
    assert (shown["state"], shown["audit"]["verdict"]) == ("Forfeited", "Mismatch")


def test_its_model_verifies_afterwards_and_an_altered_one_is_refuted(place: Path, played: dict[str, Any]) -> None:
    assert fitchain(place, "proof", "verify", played["model"], played["certificate"]).returncode == 0
    altered = place / "altered.safetensors"
    data = bytearray(Path(played["model"]).read_bytes())
    data[-1] ^= 1
    altered.write_bytes(data)
    refuted = fitchain(place, "proof", "verify", str(altered), played["certificate"])
    assert refuted.returncode == 1 and refuted.stderr.startswith("error: ")


def test_an_unmet_level_of_assurance_is_not_passed(place: Path, played: dict[str, Any]) -> None:
    done = fitchain(place, "proof", "verify", played["model"], played["certificate"], "--require", "open")
    assert done.returncode != 0


def test_what_it_leaves_can_be_inspected(place: Path, played: dict[str, Any]) -> None:
    home = ["--home", str(place / "demo-run" / "1" / "scientist"), "--json"]
    job = played["agreement"][:10]
    shown = json.loads(fitchain(place, "job", "show", job, *home).stdout)
    proof = json.loads(fitchain(place, "proof", "show", job, *home).stdout)
    watched = fitchain(place, "job", "watch", job, *home)
    assert shown["gas"] == played["gas_total"] and len(proof["anchors"]) == played["anchors"]
    assert watched.returncode == 0 and json.loads(watched.stdout)["state"] == "Settled"


def test_its_passphrases_are_for_their_owner_alone(place: Path, played: dict[str, Any]) -> None:
    for side in ("owner", "scientist", "neighbour", "verifier-5", "stranger", "own-verifier-5", "cheat"):
        assert (place / "demo-run" / "1" / side / "passphrase").stat().st_mode & 0o077 == 0


def test_a_second_run_uses_the_same_chain_and_a_folder_of_its_own(place: Path, played: dict[str, Any]) -> None:
    again, told = play(place, "digits", "--store", "local", "--no-audit")
    assert again["transactions"] <= 8 and again["gas_total"] <= 800_000
    assert (again["assurance"], again["verifiers"]) == ("unaudited", 0)
    assert (again["cheat"], again["audited_again"]) == (None, None)
    assert (again["store"], again["ipfs_version"]) == ("local", None)
    assert again["agreement"] != played["agreement"]
    assert str(place / "demo-run" / "2") in again["model"] and "demo-run/2" in told
    assert again["state"] == "Settled" and again["test_accuracy"] > 0.9 and again["dataset_records"] == 1438


def test_an_unknown_demonstration_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    done = fitchain(tmp_path, "demo", "--data", "mnist")
    assert done.returncode == 3 and "breast-cancer, digits" in done.stderr
    assert not (tmp_path / "demo-run").exists()


def test_every_run_takes_the_next_number(tmp_path: Path) -> None:
    assert [next_folder(tmp_path).name for _ in range(3)] == ["1", "2", "3"]


@pytest.mark.parametrize("name", SAMPLES)
def test_a_sample_is_written_alike_every_time(name: str, tmp_path: Path) -> None:
    one, two = (SAMPLES[name](tmp_path / run / "owner", tmp_path / run / "scientist") for run in "ab")
    assert one.private.read_bytes() == two.private.read_bytes() and one.test.read_bytes() == two.test.read_bytes()


def test_no_patient_is_in_both_parts_of_the_sample(tmp_path: Path) -> None:
    sample = SAMPLES["breast-cancer"](tmp_path, tmp_path)
    parts = [
        {line.split(",")[0] for line in path.read_text().splitlines()[1:]} for path in (sample.private, sample.test)
    ]
    assert (len(parts[0]), len(parts[1]), parts[0] & parts[1]) == (455, 114, set())
