"""One concept, one word: what the glossary names is there, and what was given up does not come
back."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.source_text import DOCUMENTS, FOLDERS, ROOT, name_of, nodes_of, python_in

GLOSSARY = ROOT / "docs" / "glossary.md"
SOURCES = "\n".join(path.read_text() for path in sorted((ROOT / "contracts").rglob("*.sol")))


# The glossary


def entries() -> dict[str, list[str]]:
    """The cells of each word: what it is, its Solidity, Python and command-line forms."""
    lines = re.findall(r"^\| (.+) \|$", GLOSSARY.read_text(), re.MULTILINE)
    rows = [line.split(" | ") for line in lines]
    return {row[0]: row[1:] for row in rows[1:]}


def forms(column: int) -> list[str]:
    return sorted({form for cells in entries().values() for form in re.findall(r"`([^`]+)`", cells[column])})


def test_words_are_in_order_and_each_has_a_line_and_a_form() -> None:
    assert list(entries()) == sorted(entries())
    assert all(len(cells) == 4 and cells[0] != "-" for cells in entries().values())
    assert [word for word, cells in entries().items() if set(cells[1:]) == {"-"}] == []


def body_of(name: str) -> str:
    """What a contract, interface, struct, enum, event or type of a name holds, between its braces
    or parentheses."""
    bodies = ""
    for match in re.finditer(rf"\b(?:contract|interface|library|struct|enum|event|type) I?{name}\b", SOURCES):
        start, depth = match.end(), 0
        for end, sign in enumerate(SOURCES[start:], start):
            depth += (sign in "{(") - (sign in "})")
            if (sign in "})" and depth == 0) or (sign == ";" and depth == 0):
                bodies += f" {SOURCES[start : end + 1]}"
                break
    return bodies


@pytest.mark.parametrize("form", forms(1))
def test_solidity_form_is_there(form: str) -> None:
    *outer, name = form.split(".")
    assert re.search(rf"\b{name}\b", body_of(outer[0])) if outer else body_of(name)


@pytest.mark.parametrize("form", forms(2))
def test_python_form_is_there(form: str) -> None:
    value = importlib.import_module("fitchain.pod")
    for name in form.split("."):
        if hasattr(value, name):
            value = getattr(value, name)
        elif name not in getattr(
            value, "__annotations__", {}
        ):  # a field without a default is no attribute of its class
            value = importlib.import_module(f"{value.__name__}.{name}")


# Words that were given up. The command-line forms of the glossary are checked with those of all
# documents (tests/test_documents.py).

RETIRED_MODULES = {
    "pod": {
        "docket": "turns",
        "patience": "retry",
        "parcel": "exchange",
        "order": "task (of the worker; the order of batches keeps its name)",
        "moments": "diagnosis",
        "detached": "processes",
        "landing": "unpack",
        "sending": "upload",
        "transfer": "download",
        "wire": "kubo_rpc",
        "swarm": "devnet_nodes",
        "peers": "endpoints",
        "quiet": "torch_output",
        "dry": "shape_check",
        "writer": "lowering",
        "story": "history",
        "facts": "chain_record",
    },
    "cli": {
        "wishes": "audit_options, in pod",
        "story": "history",
        "stage": "parties",
        "court": "audit",
        "teller": "progress",
        "summary": "result",
    },
    "tests": {
        "hearings": "audit_actors",
        "mortal": "killable_pod",
        "forgery": "dishonest_parties",
        "confined": "without_folder",
        "field": "attack_lab",
        "test_swarm": "test_devnet_nodes",
        "test_peers": "test_endpoints",
        "test_parcel": "test_exchange",
    },
}
"""Names of modules by folder, and what they are called now."""

KEPT_MODULES = {"pod/compute/dataset/order.py"}

RETIRED_WORDS = {
    "docket": "turns",
    "patience": "retry, in the store stall timeout",
    "parcel": "exchange",
    "parcels": "exchange",
    "restate": "recompute",
    "restated": "recomputed",
    "hearing": "audit status",
    "hearings": "audit actors",
    "wishes": "audit options",
    "teller": "progress",
    "enlist": "register_or_update",
    "forgery": "dishonest parties",
    "mortal": "killable",
}
"""Words that stand in no name that is defined anywhere."""

RETIRED_NAMES = {
    "pod": {
        "Story": "AgreementHistory",
        "story": "history",
        "Standing": "JobStatus",
        "standing": "status",
        "Moment": "StateDigests",
        "moments": "state digests",
        "Facts": "ChainRecord",
        "facts": "record",
        "Order": "Task",
        "Proof": "RunRecord",
        "Run": "RunRecord, or TrainingSession",
        "LeafOpening": "Leaf",
        "Teller": "Progress",
        "meet": "add_peer",
        "let_go": "release_objects",
        "alone": "exclusive_lock",
        "keyCid": "identity",
        "key_cid": "identity",
        "q": "drawn_segments",
        "_same": "require_equal",
        "_shown": "require_equal",
        "_told": "require_equal",
        "tell": "emit, log or describe",
        "say": "log",
    },
    "cli": {
        "Story": "AgreementHistory",
        "Standing": "JobStatus",
        "Teller": "Progress",
        "Outcome": "DemoResult, of the demonstration",
        "tell": "emit, log or describe",
        "say": "log",
    },
    "tests": {
        "Bench": "StakedVerifiers",
        "Court": "AuditScenario",
        "Field": "AttackLab",
        "Trial": "ManualAudit",
    },
}
"""Whole names that are not defined in a folder, and what they are called now."""

RETIRED_PREFIXES = {"told_": "describe_"}

KEPT_NAMES = {
    "store_patience_s": "a key of settings.toml and a variable of the environment",
    "STORE_PATIENCE_S": "likewise",
}
"""Names that people or files hold on to: they follow with version 2."""

RETIRED_LOCALS = {"found", "told", "one", "place", "given", "known", "here", "there"}
"""What says nothing of what it holds: a name that is assigned, or a parameter, is a noun."""

RETIRED_IN_DOCUMENTS = [
    "docket",
    "patience",
    "parcels?",
    "restated?",
    "moments",
    "detached",
    "hearings?",
    "wishes",
    "teller",
]
"""Words of the house that documents do not speak; keys of hashed JSON, of the ABI and of `--json`
stand in backticks."""


def defined(path: Path) -> Iterator[tuple[int, str]]:
    """Every name that a file defines, as (line, name): functions, classes, parameters, variables,
    fields."""
    for node in nodes_of(path):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.lineno, node.name
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.attr
        elif isinstance(node, ast.alias) and node.asname:
            yield node.lineno, node.asname


def words_of(name: str) -> set[str]:
    """The words of a name: of `read_auditStatus` read, audit and status."""
    return {word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)}


def successor_of(folder: str, name: str) -> str:
    """What a name that was given up is called now; empty for every other name."""
    if name in KEPT_NAMES:
        return ""
    prefixed = [new for old, new in RETIRED_PREFIXES.items() if name.startswith(old)]
    by_word = [RETIRED_WORDS[word] for word in sorted(words_of(name)) if word in RETIRED_WORDS]
    return next(iter([*prefixed, *by_word, RETIRED_NAMES.get(folder, {}).get(name, "")]))


PYTHON_FOLDERS = [folder for folder in FOLDERS if folder != "contracts"]


@pytest.mark.parametrize("folder", PYTHON_FOLDERS)
def test_no_module_has_a_name_that_was_given_up(folder: str) -> None:
    retired = [
        f"{name_of(path)} is now {RETIRED_MODULES[folder][path.stem]}"
        for path in python_in(folder)
        if path.stem in RETIRED_MODULES.get(folder, {}) and name_of(path) not in KEPT_MODULES
    ]
    assert retired == []


@pytest.mark.parametrize("folder", PYTHON_FOLDERS)
def test_no_name_that_was_given_up_is_defined(folder: str) -> None:
    retired = [
        f"{name_of(path)}:{line} {name}: {successor}"
        for path in python_in(folder)
        for line, name in defined(path)
        if (successor := successor_of(folder, name))
    ]
    assert not retired, "\n".join([f"{len(retired)} of them", *retired])


@pytest.mark.parametrize("folder", ["pod", "cli"])
def test_every_variable_and_parameter_is_a_noun(folder: str) -> None:
    vague = [
        f"{name_of(path)}:{line} {name}"
        for path in python_in(folder)
        for line, name in defined(path)
        if name in RETIRED_LOCALS
    ]
    assert not vague, "\n".join([f"{len(vague)} of them", *vague])


@pytest.mark.parametrize("path", [path for path in DOCUMENTS if path.name != "CHANGELOG.md"], ids=name_of)
def test_documents_speak_the_words_of_the_field(path: Path) -> None:
    prose = re.sub(r"`[^`]*`", "", re.sub(r"^```.*?^```", "", path.read_text(), flags=re.MULTILINE | re.DOTALL))
    assert re.findall(rf"\b(?:{'|'.join(RETIRED_IN_DOCUMENTS)})\b", prose, re.IGNORECASE) == []
