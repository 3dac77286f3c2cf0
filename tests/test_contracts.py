"""The contracts as they are shipped: artifacts, vectors, sizes. What they do is tested in Solidity
(tests/contracts, by forge)."""

from __future__ import annotations

import fcntl
import json
import re
import subprocess
from enum import Enum
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from fitchain.pod.ports.agreement import AuditKind, Outcome, Phase, State
from fitchain.pod.ports.chain import node_tools
from fitchain.pod.values.audit_mode import AuditMode
from fitchain.pod.values.errors import NotFound
from scripts import compile_contracts, contract_vectors

CODE_LIMIT_BYTES = 20_000  # a chain takes 24,576 (EIP-170); what is left is for mending
INITCODE_LIMIT_BYTES = 49_152  # EIP-3860


def artifact(contract: str) -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads((compile_contracts.ARTIFACTS / f"{contract}.json").read_text())
    return parsed


def inspect(contract: str, what: str) -> str:
    """Ask forge for a part of what it compiled (and let it compile, if the sources are newer); one
    that compiles already, with `make test`, is waited for (scripts/check)."""
    command: list[str | Path] = [node_tools.binary("forge"), "inspect", contract, what]
    environment = node_tools.variables()
    cache = compile_contracts.ROOT / "forge-cache"
    cache.mkdir(exist_ok=True)
    with (cache / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done: subprocess.CompletedProcess[str] = subprocess.run(
            command, cwd=compile_contracts.ROOT, env=environment, capture_output=True, text=True, check=True
        )
    return done.stdout.strip()


def size_bytes(code: str) -> int:
    return len(code.removeprefix("0x")) // 2


# `make test` has it cheaper: forge's own code is compared with each artifact below. A compiler of
# its own takes a minute of a core.
@pytest.fixture(scope="module")
def compiled() -> dict[str, str]:
    return compile_contracts.artifacts()


@pytest.mark.long
@pytest.mark.parametrize("contract", compile_contracts.CONTRACTS)
def test_committed_artifact_is_what_the_sources_compile_to(contract: str, compiled: dict[str, str]) -> None:
    committed = (compile_contracts.ARTIFACTS / f"{contract}.json").read_text()

    assert committed == compiled[contract], "run `python -m scripts.compile_contracts` and commit the artifacts"


def test_committed_compilers_input_is_that_of_the_artifacts() -> None:
    committed = compile_contracts.STANDARD_INPUT.read_text()

    assert committed == compile_contracts.standard_input_text(), "run `python -m scripts.compile_contracts`"
    assert str(compile_contracts.ROOT) not in committed


@pytest.mark.long
def test_no_artifact_holds_a_path_of_this_machine(compiled: dict[str, str]) -> None:
    assert not [name for name, text in compiled.items() if str(compile_contracts.ROOT) in text]


@pytest.mark.parametrize("contract", compile_contracts.CONTRACTS)
def test_forge_tests_the_code_that_is_shipped(contract: str) -> None:
    assert inspect(contract, "bytecode") == artifact(contract)["bytecode"]


def test_every_event_is_expected_by_a_test_of_forge() -> None:
    folders = [compile_contracts.ROOT / name for name in ("contracts/interfaces", "tests/contracts")]
    interfaces, tests = ({path.stem: path.read_text() for path in folder.glob("*.sol")} for folder in folders)
    events = [
        f"{interface}.{name}"
        for interface, text in interfaces.items()
        for name in re.findall(r"^    event (\w+)", text, re.MULTILINE)
    ]
    assert events
    assert [event for event in events if f"emit {event}(" not in "".join(tests.values())] == []


@pytest.mark.parametrize("contract", compile_contracts.CONTRACTS)
def test_code_stays_within_the_chains_limits(contract: str) -> None:
    assert size_bytes(inspect(contract, "deployedBytecode")) <= CODE_LIMIT_BYTES
    assert size_bytes(artifact(contract)["bytecode"]) <= INITCODE_LIMIT_BYTES


def test_enums_have_the_members_and_numbers_of_the_contracts() -> None:
    pods: dict[str, type[Enum]] = {
        "State": State,
        "Phase": Phase,
        "Outcome": Outcome,
        "DisclosureMode": AuditMode,
        "AuditKind": AuditKind,
    }

    assert compile_contracts.enums() == {name: [camel(member) for member in pods[name]] for name in pods}
    assert all([member.value for member in kind] == list(range(len(kind))) for kind in pods.values())


def camel(member: Enum) -> str:
    return "".join(word.capitalize() for word in member.name.split("_"))


def test_every_function_event_and_error_is_explained() -> None:
    unexplained = [
        f"{path.name}: {line.strip()}"
        for path in (compile_contracts.ROOT / "contracts" / "interfaces").glob("*.sol")
        for before, line in pairwise(path.read_text().splitlines())
        if re.match(r"    (function|event|error) ", line) and not before.startswith("    ///")
    ]

    assert not unexplained


def test_committed_vectors_are_those_of_the_pods() -> None:
    committed = contract_vectors.PATH.read_text()

    assert committed == contract_vectors.vectors() + "\n", "run `python -m scripts.contract_vectors`"


def test_committed_payouts_are_those_of_the_pods() -> None:
    committed = contract_vectors.PAYOUTS.read_text()

    assert committed == contract_vectors.payouts() + "\n", "run `python -m scripts.contract_vectors`"


def test_binary_names_the_platforms_own_file() -> None:
    anvil = node_tools.binary("anvil")

    assert anvil.is_file() and anvil.name == "anvil"


def test_binary_that_is_nowhere_is_not_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(NotFound) as refusal:
        node_tools.binary("no-such-tool")

    assert refusal.value.hint == "run `make setup`"
