"""`import fitchain`: few names, each of a known type, none imported before it is used."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import assert_type

import pytest

import fitchain
from fitchain.pod.jobs.home import Home
from fitchain.pod.jobs.job_status import JobStatus
from fitchain.pod.proof.certificate import Verdict
from tests.without_torch import WITHOUT_TORCH

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
    "ContinuedModel",
    "DatasetId",
    "DatasetOffer",
    "Delivery",
    "Digest",
    "Evaluation",
    "FIT",
    "FitchainError",
    "Home",
    "InitialWeights",
    "JobRequest",
    "JobStatus",
    "KeyInfo",
    "MergedModel",
    "ModelId",
    "ModuleSource",
    "OnnxCheck",
    "OwnTable",
    "Owner",
    "PanelId",
    "Passphrase",
    "Policy",
    "PrivacyOffer",
    "PublishedModel",
    "Refuted",
    "RegisteredDataset",
    "Replay",
    "Scientist",
    "ServedPod",
    "State",
    "TrainedModel",
    "Unusable",
    "Verdict",
    "Verifier",
    "accept_result",
    "approve",
    "continue_job",
    "create_keys",
    "devnet",
    "dispute",
    "errors",
    "evaluate",
    "export_onnx",
    "fetch_model",
    "list_jobs",
    "load",
    "merge_model",
    "merge_result",
    "open_home",
    "plan_audit",
    "preprocess",
    "publish_model",
    "read_card",
    "register_dataset",
    "reject",
    "replay_job",
    "request_job",
    "restore",
    "serve",
    "state_dict",
    "verify",
    "watch_job",
    "weights_of_certificate",
    "weights_of_file",
    "weights_of_job",
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


def test_verifying_needs_no_torch() -> None:
    """It gets as far as asking the node, and there is none."""
    files = [str(next((ROOT / "tests" / "golden").rglob(name))) for name in ("model.safetensors", "certificate.json")]
    call = f"fitchain.verify(*map(pathlib.Path, {files}), 'http://127.0.0.1:9')"
    lines = ["import pathlib, fitchain", "try:", f"    {call}", "except fitchain.Unusable as error:"]
    code = "\n".join([WITHOUT_TORCH, *lines, "    print(type(error).__name__)"])
    assert python(code) == "NodeUnreachable\n"


def for_the_type_checker(home: fitchain.Home, job: fitchain.AgreementId, path: Path) -> None:
    """Never called: mypy, which lists `tests`, refuses a face whose names have lost their types."""
    assert_type(home, Home)
    assert_type(fitchain.watch_job(home, job), Iterator[JobStatus])
    assert_type(fitchain.verify(path, path), Verdict)
    assert_type(fitchain.fetch_model(home, job).model, Path)
    assert_type(fitchain.FIT, int)
    assert_type(fitchain.load(path), fitchain.TrainedModel)
    assert_type(fitchain.__version__, str)
