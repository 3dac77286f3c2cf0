"""Text: prose is wrapped at 100 columns, code at 120; what is hard says why; what would grow long
stays short."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.source_text import (
    DOCUMENTS,
    FOLDERS,
    ROOT,
    Function,
    comments_of,
    document_lines,
    functions_of,
    in_folder,
    name_of,
    prose_lines,
    python_in,
)

PROSE_COLUMNS, CODE_COLUMNS = 100, 120
README_LINES = 120
MOST_PARAMETERS = 7
MOST_COMPLEXITY = 10
CODE_SUFFIXES = {".py", ".sol", ".toml", ".sh"}
LINK = re.compile(r"\]\([^)\s]+\)")
POSITION = re.compile(r"\bStands? (after|before|beside)\b|\b(First|Second|Third|Last)( but \w+)? in (the flow|`)")


def is_code(path: Path) -> bool:
    return path.suffix in CODE_SUFFIXES or path.name == "Makefile" or path.parent == ROOT / "scripts"


def too_long(columns: int, text: str) -> bool:
    """Whether a line should have been broken: a word that is longer than the line stays whole."""
    return len(text) > columns and " " in text.strip(" #-")


def listing(findings: list[str]) -> str:
    return "\n".join([f"{len(findings)} of them", *findings])


@pytest.mark.parametrize("folder", [*FOLDERS, ""])
def test_code_is_wrapped_at_120_columns(folder: str) -> None:
    long = [
        f"{name_of(path)}:{number} has {len(line)} columns"
        for path in in_folder(folder)
        if is_code(path)
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if too_long(CODE_COLUMNS, line)
    ]
    assert not long, listing(long)


@pytest.mark.parametrize("folder", [folder for folder in FOLDERS if folder != "contracts"])
def test_docstrings_and_comments_are_wrapped_at_100_columns(folder: str) -> None:
    long = [
        f"{name_of(path)}:{number} has {len(line)} columns"
        for path in python_in(folder)
        for number, line in prose_lines(path)
        if too_long(PROSE_COLUMNS, line)
    ]
    assert not long, listing(long)


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_documents_are_wrapped_at_100_columns_and_their_code_at_120(path: Path) -> None:
    """A table's row cannot be broken, and a test vector's value has a line to itself."""
    limits = {"prose": PROSE_COLUMNS, "table": sys.maxsize, "json": sys.maxsize}
    long = [
        f"line {number} has {len(line)} columns"
        for number, kind, line in document_lines(path)
        if too_long(limits.get(kind, CODE_COLUMNS), LINK.sub("]", line))
    ]
    assert not long, listing(long)


def test_readme_is_read_in_a_few_minutes() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= README_LINES


def parameters_of(function: Function) -> list[str]:
    given = function.args
    names = [one.arg for one in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
    names += [one.arg for one in (given.vararg, given.kwarg) if one]
    return [name for name in names if name not in ("self", "cls")]


def says_why(path: Path, first: int, last: int) -> bool:
    """Whether a comment stands in these lines or directly above them."""
    return any(first - 1 <= line <= last for line in comments_of(path))


@pytest.mark.parametrize("folder", ["cli", "examples", "fitchain", "pod", "scripts"])
def test_function_of_more_than_seven_parameters_says_why(folder: str) -> None:
    silent = [
        f"{name_of(path)}:{function.lineno} {function.name} takes {len(parameters_of(function))}"
        for path in python_in(folder)
        for function in functions_of(path)
        if len(parameters_of(function)) > MOST_PARAMETERS
        and not says_why(path, first_line(function), function.body[0].lineno - 1)
    ]
    assert not silent, listing(silent)


def first_line(function: Function) -> int:
    return min([function.lineno, *(decorator.lineno for decorator in function.decorator_list)])


def complex_functions(folder: str) -> Iterator[tuple[Path, Function]]:
    """The functions that branch in more ways than one keeps in mind, as ruff counts them."""
    limit = f"lint.mccabe.max-complexity={MOST_COMPLEXITY}"
    done = subprocess.run(
        [
            *(sys.executable, "-m", "ruff", "check", "--isolated", "--select", "C901", "--config", limit),
            *("--exit-zero", "--no-cache", "--output-format", "json", folder),
        ],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    for finding in json.loads(done.stdout):
        path, line = Path(finding["filename"]), finding["location"]["row"]
        yield path, next(function for function in functions_of(path) if function.lineno == line)


@pytest.mark.parametrize("folder", [folder for folder in FOLDERS if folder != "contracts"])
def test_function_that_branches_much_has_a_comment(folder: str) -> None:
    silent = [
        f"{name_of(path)}:{function.lineno} {function.name}"
        for path, function in complex_functions(folder)
        if not says_why(path, first_line(function), function.end_lineno or function.lineno)
    ]
    assert not silent, listing(silent)


@pytest.mark.parametrize("folder", ["cli", "pod", "scripts"])
def test_no_docstring_says_where_its_module_stands(folder: str) -> None:
    """The storey says it, and tests/test_layers.py holds it; a sentence would be forgotten at the
    next move."""
    said = [
        f"{name_of(path)}:{number} {line.strip()}"
        for path in python_in(folder)
        for number, line in prose_lines(path)
        if POSITION.search(line)
    ]
    assert not said, listing(said)


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_no_document_says_where_a_module_stands_in_a_list(path: Path) -> None:
    assert POSITION.findall(path.read_text()) == []
