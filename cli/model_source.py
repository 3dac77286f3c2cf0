"""What a person names as a module to publish, `FILE.py:NAME`, looked at before anything is run."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from fitchain.cli.parents import parent_faults
from fitchain.pod.values.errors import FitchainError, InputRefused, NotFound, reason_of
from fitchain.pod.values.suggestions import hint
from fitchain.pod.values.weights_file import weights_in

HOW = "write it as FILE.py:NAME, NAME being a class or a factory without arguments, or an instance"
MOST_NAMED = 5


@dataclass(frozen=True)
class PublishArguments:
    """The arguments of `model publish` that can be judged by themselves.

    Args:
        source: `FILE.py:NAME`.
        inputs: of `--input`, one each.
        parents: of `--parent`, one each.
        weights, base: files or folders of weights; None where none is named as a path.
        public, partial: whether the flag is given.
        has_base: whether the option is given, in whatever form.
    """

    source: str
    inputs: Sequence[str]
    parents: Sequence[str]
    weights: Path | None
    base: Path | None
    public: bool
    partial: bool
    has_base: bool

    @property
    def path(self) -> Path:
        """Of the file; of a source without a name that of all of it."""
        return Path(self.source.rpartition(":")[0] or self.source)

    @property
    def name(self) -> str:
        """Of the module in the file."""
        return self.source.rpartition(":")[2]

    def faults(self) -> Iterator[FitchainError]:
        """What is wrong with them; nothing is run, and nothing slow imported but to read inputs."""
        try:
            require_source(self.source)
        except FitchainError as fault:
            yield fault
        if self.public and not self.has_base:
            yield InputRefused("--public says who may read the base, and none is named", "add --base, or leave it out")
        if self.partial and self.weights is None:
            yield InputRefused("--partial is of a file of weights, and none is named", "name it with --weights")
        yield from parent_faults(self.parents)
        for path in filter(None, (self.weights, self.base)):
            try:
                weights_in(path)
            except FitchainError as fault:
                yield fault
        if self.inputs:
            from fitchain.pod.compute.dataset.arguments import spelling_faults

            yield from spelling_faults(self.inputs)


def require_source(source: str) -> None:
    """Refuse what names no module in a file.

    Raises:
        NotFound: there is no such file.
        InputRefused: no name is said, the file is no Python, or it defines no such name.
    """
    before, colon, name = source.rpartition(":")
    path = Path(before) if colon and name.isidentifier() else Path(source)
    if path.is_dir():
        raise InputRefused(f"{path} is a folder, and a module is in a file", HOW)
    if not path.is_file():
        missing = path if path is not Path(source) else Path(before or source)
        if not colon or not name.isidentifier():
            raise InputRefused(f"{source!r:.200} does not name a module in a file", HOW)
        raise NotFound(f"there is no file {missing}", hint(path.name, _files_beside(path)) or HOW)
    tree = _parsed(path)
    modules = list(_classes(tree))
    if not colon or not name.isidentifier():
        which = " or ".join(f"{source}:{each}" for each in modules[:MOST_NAMED])
        raise InputRefused(f"{source!r:.200} names a file and no module in it", f"write {which}" if which else HOW)
    bound = set(_bound(tree))
    if name not in bound and "*" not in bound:
        near = hint(name, sorted(bound))
        which = f"it has the classes {', '.join(modules[:MOST_NAMED])}" if modules else "it has no class"
        raise InputRefused(f"{path} defines no {name!r:.80}", near or which)


def _parsed(path: Path) -> ast.Module:
    """A Python file, read and not run.

    Raises:
        InputRefused: it is none.
    """
    try:
        return ast.parse(path.read_bytes(), str(path))
    except OSError as error:
        raise InputRefused(f"{path} cannot be read: {reason_of(error)}") from None
    except (SyntaxError, ValueError, RecursionError) as error:
        line = f", line {error.lineno}" if isinstance(error, SyntaxError) and error.lineno else ""
        what = error.msg if isinstance(error, SyntaxError) else str(error)
        raise InputRefused(f"{path}{line} is no Python: {what}", HOW) from None


def _classes(tree: ast.Module) -> Iterator[str]:
    """Classes of a file that descend from something, as a module does."""
    return (each.name for each in tree.body if isinstance(each, ast.ClassDef) and each.bases)


def _bound(tree: ast.Module) -> Iterator[str]:
    """Names that the statements of a file bind outside functions and classes; `*` where they cannot
    be told."""
    for node in _outside_functions(tree):
        match node:
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield name
            case ast.Import(names=names) | ast.ImportFrom(names=names):
                yield from (each.asname or each.name.partition(".")[0] for each in names)
            case ast.Name(id=name, ctx=ast.Store()):
                yield name
            case ast.Call(func=ast.Name(id="globals" | "exec" | "setattr" | "vars" | "locals")):
                yield "*"


def _outside_functions(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes of a file, but those inside its functions and classes."""
    for child in ast.iter_child_nodes(node):
        yield child
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
            yield from _outside_functions(child)


def _files_beside(path: Path) -> list[str]:
    """Python files in the folder where one was looked for."""
    return sorted(each.name for each in path.parent.glob("*.py")) if path.parent.is_dir() else []
