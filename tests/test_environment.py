"""Environment classes: what they set, what they refuse, and the probe that tells hosts apart."""

from __future__ import annotations

import json
import platform
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from fitchain.pod.compute import environment
from fitchain.pod.compute.environment import Environment
from fitchain.pod.compute.environment.classes import X86_64_V3, environment_class
from fitchain.pod.values.digest import ZERO, Digest
from fitchain.pod.values.errors import EnvironmentRefused
from fitchain.pod.values.recipe import OPTIMIZERS

V3 = Environment("cpu-x86-64-v3", 1, environment.installed_torch())
NATIVE = replace(V3, name="cpu-native")


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that remembers probes, so that each runs once in this module."""
    return tmp_path_factory.mktemp("cache")


def test_the_portable_class_sets_every_library() -> None:
    assert X86_64_V3.variables(3) == {
        "ATEN_CPU_CAPABILITY": "avx2",
        "MKL_CBWR": "COMPATIBLE",
        "OPENBLAS_CORETYPE": "Haswell",
        "OPENBLAS_L2_SIZE": "512",
        "OPENBLAS_THREAD_TIMEOUT": "4",
        "OMP_WAIT_POLICY": "PASSIVE",
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "MKL_DYNAMIC": "FALSE",
        "OMP_DYNAMIC": "FALSE",
        "OMP_NUM_THREADS": "3",
        "MKL_NUM_THREADS": "3",
    }


def test_the_native_class_leaves_the_kernels_alone() -> None:
    fixed = {"MKL_DYNAMIC": "FALSE", "OMP_DYNAMIC": "FALSE", "OMP_NUM_THREADS": "2", "MKL_NUM_THREADS": "2"}
    assert environment.NATIVE.variables(2) == fixed


def test_an_unknown_class_is_refused_by_name() -> None:
    with pytest.raises(EnvironmentRefused, match="'cuda-h100' is not known"):
        environment_class("cuda-h100")


def test_a_training_process_gets_nothing_of_the_callers_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FITCHAIN_HOME", "/secret")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    given = environment.clean_variables(V3, Path("/tmp"))
    assert not [name for name in given if name.startswith(("FITCHAIN", "AWS", "LD_", "PYTHONPATH"))]


def test_configure_refuses_a_process_without_the_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MKL_CBWR", raising=False)
    for name, value in X86_64_V3.variables(1).items():
        if name != "MKL_CBWR":
            monkeypatch.setenv(name, value)
    with pytest.raises(EnvironmentRefused, match="MKL_CBWR is None in this process"):
        environment.configure(V3)


def test_another_build_of_torch_is_refused() -> None:
    with pytest.raises(EnvironmentRefused, match=r"the recipe says 2\.0\.0\+cpu"):
        environment.check(replace(V3, torch="2.0.0+cpu"))


def test_another_machine_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    with pytest.raises(EnvironmentRefused, match="Fitchain trains on Linux on x86_64"):
        environment.check(V3)


@pytest.mark.probe
def test_a_probe_other_than_the_shipped_one_is_refused_with_both() -> None:
    with pytest.raises(EnvironmentRefused, match=f"{ZERO}.*{X86_64_V3.shipped[V3.torch, 1]}"):
        environment.check(replace(V3, probe=ZERO))


def test_a_native_environment_without_a_probe_is_refused() -> None:
    with pytest.raises(EnvironmentRefused, match="no probe is known for cpu-native"):
        environment.check(NATIVE)


@pytest.mark.probe
def test_this_host_reproduces_the_shipped_probe(cache: Path) -> None:
    assert environment.check(V3, cache) == Digest.parse(X86_64_V3.shipped[V3.torch, 1])


def test_a_host_whose_probe_differs_is_refused_with_both_digests(cache: Path) -> None:
    found = environment.probe(NATIVE, cache)
    with pytest.raises(EnvironmentRefused, match=f"gives {found} here, not {ZERO}") as refusal:
        environment.check(replace(NATIVE, probe=ZERO), cache)
    assert refusal.value.exit_code == 3


def test_a_host_describes_itself_so_that_it_passes_its_own_check(cache: Path) -> None:
    own = environment.describe_host("cpu-native", 1, cache)
    assert environment.check(own, cache) == own.probe


def test_a_probe_is_remembered_until_the_next_boot(cache: Path, tmp_path: Path) -> None:
    environment.probe(NATIVE, cache)
    shutil.copytree(cache, tmp_path, dirs_exist_ok=True)
    for memory in (tmp_path / "probes").iterdir():
        memory.write_text(json.dumps({"probe": str(ZERO)}))
    assert environment.probe(NATIVE, tmp_path) == ZERO


MOVED = """
import hashlib, sys

import torch

from fitchain.pod.compute.training import OPTIMIZER_FORMS

def moved(name):
    weights = torch.linspace(-1, 1, 1000).requires_grad_()
    moves = OPTIMIZER_FORMS[name]([weights], lr=0.1)
    for _ in range(3):
        (weights.sin() * weights).sum().backward()
        moves.step()
        moves.zero_grad()
    return hashlib.sha256(weights.detach().numpy().tobytes()).hexdigest()

torch.use_deterministic_algorithms(True)
print(*map(moved, sys.argv[1:]))
print("torch._dynamo.eval_frame" in sys.modules, torch.are_deterministic_algorithms_enabled())
"""
UNCOMPILED = """
from fitchain.pod.compute.environment.uncompiled import leave_out_compiler

leave_out_compiler()
"""


@pytest.mark.long
def test_optimizers_move_weights_alike_without_torchs_compiler() -> None:
    def words(program: str) -> list[str]:
        command = [sys.executable, "-c", program, *OPTIMIZERS]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()

    *compiled, is_there, deterministic = words(MOVED)
    assert (is_there, deterministic) == ("True", "True")
    assert words(UNCOMPILED + MOVED) == [*compiled, "False", "True"]


def test_the_compiler_stays_where_it_is() -> None:
    program = "import torch._dynamo as there\n" + UNCOMPILED + "import torch._dynamo as still; print(there is still)"
    assert subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, check=True).stdout == b"True\n"
