"""A job's folder: its names are spelt in one module, looking makes nothing, and what was left
behind goes."""

from __future__ import annotations

import ast
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from fitchain.pod.values import job_folder
from fitchain.pod.values.digest import sha256
from fitchain.pod.values.job_folder import JobFolder, Kept, Scratch, part_of, scratch, sweep_left
from tests.source_text import ROOT

OWN = "pod/values/job_folder.py"
NAMES = {
    value.rpartition("/")[2]
    for name, value in vars(job_folder).items()
    if name.isupper() and isinstance(value, str) and ("." in value or "/" in value)
}
ELSEWHERE = {
    "pod/ports/chain/devnet.py",
    "pod/proof/certificate/statement.py",
    "cli/commands/proof.py",
}
"""Where `states` is another word: a devnet's states, a certificate's field, a column of a table."""


def texts_of(path: Path) -> set[str]:
    """Every text in a module's code, those of f-strings among them, but for docstrings."""
    tree = ast.parse(path.read_text())
    documented = ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef
    bodies = [node.body for node in ast.walk(tree) if isinstance(node, documented)]
    said = {id(body[0].value) for body in bodies if body and isinstance(body[0], ast.Expr)}
    constants = [node for node in ast.walk(tree) if isinstance(node, ast.Constant) and id(node) not in said]
    return {node.value for node in constants if isinstance(node.value, str)}


def test_the_names_of_a_job_s_folder_are_known_here() -> None:
    assert {"recipe.json", "leaves.jsonl", "task.json", "identity.age", "states", "evidence.json"} <= NAMES


@pytest.mark.parametrize("folder", ["pod", "cli"])
def test_a_name_in_a_job_s_folder_is_spelt_in_one_module(folder: str) -> None:
    spelt = [
        f"{relative}: {text}"
        for path in sorted((ROOT / folder).rglob("*.py"))
        if (relative := str(path.relative_to(ROOT))) != OWN
        for text in texts_of(path)
        if (text in NAMES - ({"states"} if relative in ELSEWHERE else set()))
        or any(text.startswith(kind.prefix) for kind in Scratch)
    ]
    assert spelt == []


def test_looking_makes_nothing(tmp_path: Path) -> None:
    folder = JobFolder(tmp_path / "jobs" / "0x1")
    for name in [name for name, value in vars(JobFolder).items() if isinstance(value, property)]:
        getattr(folder, name)
    assert folder.audits() == [] and not folder.audit(3).exists
    folder.sweep()
    folder.remove(Kept)
    assert not (tmp_path / "jobs").exists()


def test_a_folder_is_made_when_asked_for_the_pod_s_eyes_alone(tmp_path: Path) -> None:
    folder = JobFolder(tmp_path / "0x1").create()
    assert folder.exists and folder == JobFolder(tmp_path / "0x1").create()
    assert stat.S_IMODE(folder.path.stat().st_mode) == 0o700


def test_audits_have_folders_of_their_own(tmp_path: Path) -> None:
    folder = JobFolder(tmp_path).create()
    assert folder.audit(0) is folder
    for ordinal in (11, 2):
        folder.audit(ordinal).create()
    (tmp_path / "audit-x").mkdir()
    assert folder.audits() == [2, 11]


def test_what_a_killed_process_left_is_swept_and_nothing_else(tmp_path: Path) -> None:
    folder = JobFolder(tmp_path)
    for kind in Scratch:
        with scratch(tmp_path, kind) as path:
            name = path.name
        (tmp_path / name).mkdir()
        (tmp_path / name / "record").touch()
    part_of(tmp_path).touch()
    folder.recipe.touch()
    folder.sweep([Scratch.EVIDENCE], parts=False)
    assert len(list(tmp_path.iterdir())) == len(Scratch) + 1
    folder.sweep()
    assert list(tmp_path.iterdir()) == [folder.recipe]


def test_scratch_of_a_killed_process_is_swept_and_of_a_living_one_not(tmp_path: Path) -> None:
    code = "from fitchain.pod.values.job_folder import *; import os, signal, sys; from pathlib import Path\n"
    code += "with scratch(Path(sys.argv[1]), Scratch.REHEARSAL) as at:\n    (at / 'records.npz').touch()\n"
    code += "    os.kill(os.getpid(), signal.SIGKILL)"
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False).returncode == -signal.SIGKILL
    (tmp_path / "kept").touch()
    (tmp_path / ".opened-x").symlink_to(tmp_path, target_is_directory=True)
    with scratch(tmp_path, Scratch.EVALUATION) as used:
        assert len(list(tmp_path.iterdir())) == 4
        sweep_left(tmp_path)
        assert set(tmp_path.iterdir()) == {used, tmp_path / "kept", tmp_path / ".opened-x"}


@pytest.mark.parametrize("place", ["", "run", "run/states"])
def test_sweeping_finds_what_is_half_written_wherever_a_worker_writes(tmp_path: Path, place: str) -> None:
    folder = JobFolder(tmp_path / "0x1").create()
    written = folder.path / place / "400.safetensors"
    written.parent.mkdir(parents=True, exist_ok=True)
    half = written.with_name(f".{written.name}.01455e51.part")
    for path in (written, half):
        path.touch()
    folder.sweep()
    assert written.exists() and not half.exists()


def test_sweeping_follows_no_link(tmp_path: Path) -> None:
    outside, folder = tmp_path / "outside", JobFolder(tmp_path / "job").create()
    outside.mkdir()
    (outside / "kept").touch()
    (folder.path / ".opened-x").symlink_to(outside, target_is_directory=True)
    folder.sweep()
    assert list(folder.path.iterdir()) == [] and (outside / "kept").exists()


def test_a_run_that_is_set_aside_takes_its_files_with_it(tmp_path: Path) -> None:
    folder, seed = JobFolder(tmp_path), sha256(b"seed")
    folder.states.mkdir(parents=True)
    for path in (folder.state(4), folder.leaves, folder.final, folder.recipe):
        path.touch()
    folder.set_aside(seed)
    aside = tmp_path / f"aside-{seed.value.hex()[:8]}"
    assert {path.name for path in (aside / "run").iterdir()} == {"states", "leaves.jsonl", "final.safetensors"}
    assert folder.kept(Kept.STATES) == [aside]
    folder.remove([Kept.STATES])
    assert list(tmp_path.iterdir()) == [folder.recipe]


def test_each_kind_is_removed_by_itself_and_the_offer_stays(tmp_path: Path) -> None:
    folder = JobFolder(tmp_path)
    folder.states.mkdir(parents=True)
    (tmp_path / ".evidence-x").mkdir()
    files = {
        Kept.RECORDS: [folder.records],
        Kept.KEYS: [folder.identity],
        Kept.SEAT_KEYS: [folder.seat_identity, folder.released_identity],
        Kept.STATES: [folder.state(4)],
        Kept.EVIDENCE: [folder.handed_over(0), tmp_path / ".evidence-x" / "records.bin"],
        Kept.MODEL: [folder.final, folder.model],
        Kept.RISK_REPORT: [folder.risk_report, folder.worker_risk_report],
        Kept.TRAINING: [folder.leaves, folder.task, folder.log],
    }
    for path in [folder.recipe, folder.certificate, *(path for each in files.values() for path in each)]:
        path.touch()
    assert set(files) == set(Kept)
    for kind, paths in files.items():
        assert folder.kept(kind)
        folder.remove([kind])
        assert not folder.kept(kind) and not any(path.exists() for path in paths)
    assert set(tmp_path.iterdir()) == {folder.recipe, folder.certificate}
