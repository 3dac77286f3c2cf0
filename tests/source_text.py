"""What the tests of text read: tracked files, comments and docstrings, the prose and the code of
documents."""

from __future__ import annotations

import ast
import io
import re
import subprocess
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parent.parent
DOCUMENTS = tuple(sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]))
FOLDERS = ("cli", "contracts", "examples", "fitchain", "pod", "scripts", "tests")
"""Where code stands; what stands beside them belongs to no folder."""

Function = ast.FunctionDef | ast.AsyncFunctionDef
FENCE = re.compile(r"^ *```")
PRAGMA = re.compile(r"# *(noqa|type:|fmt:|mypy:|pragma)")


@cache
def tracked() -> tuple[Path, ...]:
    """Every file under version control that is text of ours, links left out."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    paths = [ROOT / name for name in listed.split("\0") if name]
    return tuple(path for path in paths if path.is_file() and not path.is_symlink())


def in_folder(folder: str) -> Iterator[Path]:
    """The tracked files of a folder; of the root itself where the folder is empty."""
    for path in tracked():
        inside = path.relative_to(ROOT).parts[0]
        if inside == folder or (not folder and inside not in FOLDERS):
            yield path


def python_in(folder: str) -> list[Path]:
    return [path for path in in_folder(folder) if path.suffix == ".py"]


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


@cache
def nodes_of(path: Path) -> tuple[ast.AST, ...]:
    """Every node of a file's tree."""
    return tuple(ast.walk(tree_of(path)))


def functions_of(path: Path) -> Iterator[Function]:
    yield from (node for node in nodes_of(path) if isinstance(node, Function))


@cache
def comments_of(path: Path) -> dict[int, str]:
    """Comments by their line, pragmas left out; those that stand beside code too."""
    tokens = tokenize.generate_tokens(io.StringIO(path.read_text()).readline)
    found = {token.start[0]: token.string for token in tokens if token.type == tokenize.COMMENT}
    return {line: text for line, text in found.items() if not PRAGMA.match(text)}


@cache
def docstring_lines(path: Path) -> set[int]:
    """Lines of texts that stand as statements: docstrings of modules, classes, functions and
    constants."""
    lines: set[int] = set()
    for node in nodes_of(path):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            lines.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return lines


def prose_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Docstrings, and comments that have a line to themselves, as (line, text).

    Closing quotes do not count: the formatter puts them behind a docstring's only line.
    """
    texts, comments, docstrings = path.read_text().splitlines(), comments_of(path), docstring_lines(path)
    for number, text in enumerate(texts, 1):
        if number in docstrings or (number in comments and text.lstrip().startswith("#")):
            yield number, text.removesuffix('"""')


def document_lines(path: Path) -> Iterator[tuple[int, str, str]]:
    """A document's lines as (line, kind, text); the kind is `prose`, `table`, or the language of a
    block (`code` without)."""
    language = ""
    for number, text in enumerate(path.read_text().splitlines(), 1):
        if FENCE.match(text):
            language = "" if language else (text.strip().strip("`").split(" ")[0] or "code")
        elif language:
            yield number, language, text
        else:
            yield number, "table" if text.lstrip().startswith("|") else "prose", text


def blocks_of(text: str, language: str) -> list[str]:
    """The contents of a document's fenced blocks of a language."""
    return re.findall(rf"^```{language}\b[^\n]*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def spans_of(text: str) -> list[str]:
    """The inline code of a document; fenced blocks are left out."""
    outside = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    return [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", outside)]
