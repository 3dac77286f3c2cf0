"""`import fitchain`: few names, each of a known type, none imported before it is used."""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, assert_type

import pytest

import fitchain
from tests.test_layers import WITHOUT_TORCH

if TYPE_CHECKING:
    pass

ROOT = Path(__file__).parent.parent
FACE = Path(fitchain.__file__)

NAMES = [
    "Agreement",
    "AgreementId",
    "Assurance",
    "AuditMode",
    "AuditOptions",
    "AuditPlan",
    "AuditTerms",
    "Card",
    "DatasetId",
    "DatasetOffer",
    "Delivery",
    "Digest",
    "Evaluation",
    "FIT",
    "FitchainError",
    "Home",
    "JobRequest",
    "JobStatus",
    "KeyInfo",
    "ModelId",
    "ModuleSource",
    "Owner",
    "PanelId",
    "Passphrase",
    "Policy",
    "PublishedModel",
    "Refuted",
    "RegisteredDataset",
    "Replay",
    "Scientist",
    "ServedPod",
    "State",
    "Unusable",
    "Verdict",
    "Verifier",
    "accept_result",
    "approve",
    "create_keys",
    "devnet",
    "dispute",
    "errors",
    "evaluate",
    "fetch_model",
    "list_jobs",
    "open_home",
    "plan_audit",
    "publish_model",
    "read_card",
    "register_dataset",
    "reject",
    "replay_job",
    "request_job",
    "restore",
    "serve",
    "verify",
    "watch_job",
]


def python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout


def test_the_public_names_are_these_and_every_one_is_there() -> None:
    assert sorted(NAMES) == NAMES == sorted(fitchain.__all__)
    assert dir(fitchain) == sorted([*NAMES, "__version__"])
    assert all(getattr(fitchain, name) is not None for name in NAMES)


def test_what_a_type_checker_sees_is_what_is_imported() -> None:
    seen = {
        name.name: getattr(import_module(node.module), name.name)
        for node in ast.walk(ast.parse(FACE.read_text()))
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("fitchain.")
        for name in node.names
    }
    assert {name for name in NAMES if getattr(fitchain, name) is not seen.get(name)} == set()


def test_an_unknown_name_is_no_attribute() -> None:
    with pytest.raises(AttributeError, match="module 'fitchain' has no attribute 'train'"):
        _ = fitchain.train  # type: ignore[attr-defined]


def test_importing_it_imports_nothing_heavy() -> None:
    loaded = python("import sys, fitchain; print(*sorted(name.split('.')[0] for name in sys.modules))").split()
    assert {"torch", "web3", "numpy", "requests", "typer", "rich"}.isdisjoint(loaded)
    assert (
        python("import sys, fitchain; print(*[name for name in sys.modules if name.startswith('fitchain.')])") == "\n"
    )


def test_importing_it_takes_milliseconds() -> None:
    code = "import time, typing; start = time.perf_counter(); import fitchain; print(time.perf_counter() - start)"
    assert min(float(python(code)) for _ in range(3)) < 0.05


def test_verifying_needs_no_torch() -> None:
    assert python(
        f"{WITHOUT_TORCH}\nimport fitchain; print(fitchain.verify.__name__, fitchain.errors.Refuted.exit_code)"
    )


def test_types_are_the_real_ones(tmp_path: Path) -> None:
    """Checked by mypy, which lists `tests`; nothing of it runs."""

    def uses(home: fitchain.Home, job: fitchain.AgreementId) -> None:
        assert_type(home, "RealHome")
        assert_type(fitchain.watch_job(home, job), "Iterator[RealJobStatus]")
        assert_type(fitchain.verify(tmp_path, tmp_path), "RealVerdict")
        assert_type(fitchain.fetch_model(home, job).model, Path)
        assert_type(fitchain.FIT, int)

    assert uses.__name__ == "uses"
