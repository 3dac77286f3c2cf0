"""Quiet: what torch says while it exports, caught and kept from the user.

Torch prints warnings, log lines and whole graphs; a user gets one sentence instead. Two things are
kept, because that sentence needs them: the line of the user's code at which torch began to treat
the batch size as special, and the attributes that the module assigned on the way.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import linecache
import logging
import re
import sys
import sysconfig
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from traceback import StackSummary
from types import FrameType, TracebackType

import torch
from torch.fx.proxy import TracerBase

_SHAPES_LOGGER = "torch.fx.experimental.symbolic_shapes"
_TORCH, _OURS = str(Path(torch.__file__).resolve().parent), str(Path(__file__).resolve().parents[2])
_TRYING = frozenset(str(Path(__file__).parent / name) for name in ("trial.py", "witness.py", "output.py"))
"""Files that call a module: lines further out are not its own."""
_STANDARD = str(Path(sysconfig.get_path("stdlib")).resolve())
_ASSIGNED = re.compile(r"The tensor attributes? (.*?) (?:was|were) assigned during export")

MOST_SHOWN = 160
"""Characters of a line."""


@dataclass(frozen=True, slots=True)
class Location:
    """A line of somebody's source."""

    file: str
    line: int
    source: str

    def __str__(self) -> str:
        shown = self.source if len(self.source) <= MOST_SHOWN else f"{self.source[:MOST_SHOWN]}..."
        return f"{self.file}:{self.line}" + (f" `{shown}`" if shown else "")


@dataclass(slots=True)
class Heard:
    """What was caught.

    Args:
        guards: condition on a size, and the user's line that led to it.
        assigned: attributes that hold a tensor which forward put there.
    """

    guards: list[tuple[str, Location]] = field(default_factory=list)
    assigned: list[str] = field(default_factory=list)


@contextlib.contextmanager
def quiet() -> Iterator[Heard]:
    """Keep torch's warnings, logs and prints to ourselves for a while.

    Yields:
        What is worth keeping of them; complete once the context has been left.
    """
    heard = Heard()
    with (
        warnings.catch_warnings(record=True) as caught,
        _loggers(_Listener(heard)),
        _own_lines(),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        warnings.simplefilter("always")
        try:
            yield heard
        finally:
            for warning in caught:
                if assigned := _ASSIGNED.search(str(warning.message)):
                    heard.assigned += assigned[1].split(", ")


@contextlib.contextmanager
def _loggers(listener: logging.Handler) -> Iterator[None]:
    """Take the handlers from every logger of torch, and listen to the one that tells of sizes."""
    names = [name for name in logging.root.manager.loggerDict if name == "torch" or name.startswith("torch.")]
    loggers = [logging.getLogger(name) for name in {*names, "torch", _SHAPES_LOGGER}]
    before = [(logger, logger.handlers, logger.propagate, logger.level) for logger in loggers]
    for logger in loggers:
        logger.handlers, logger.propagate = [logging.NullHandler()], False
    shapes = logging.getLogger(_SHAPES_LOGGER)
    shapes.handlers = [listener]
    shapes.setLevel(logging.INFO)
    try:
        yield
    finally:
        for logger, handlers, propagate, level in before:
            logger.handlers, logger.propagate = handlers, propagate
            logger.setLevel(level)


@contextlib.contextmanager
def _own_lines() -> Iterator[None]:
    """Have a trace note the innermost line of the module beside each node; torch itself notes lines
    of functions named `forward` alone."""
    noted = TracerBase._filter_traceback_frames

    def own(self: TracerBase, user_stack_summary: StackSummary) -> StackSummary:
        within = itertools.dropwhile(lambda frame: frame.name != "forward", user_stack_summary)
        return StackSummary.from_list([frame for frame in within if is_foreign(frame.filename)][-1:])

    TracerBase._filter_traceback_frames = own  # type: ignore[method-assign]
    try:
        yield
    finally:
        TracerBase._filter_traceback_frames = noted  # type: ignore[method-assign]


class _Listener(logging.Handler):
    """Notes the user's line for each condition that torch puts on a size."""

    def __init__(self, heard: Heard) -> None:
        super().__init__(logging.INFO)
        self.heard = heard

    def emit(self, record: logging.LogRecord) -> None:
        """The record is made while the user's forward is still on the stack."""
        guard = re.match(r"eval (.*?) \[guard added\]", record.getMessage())
        location = calling_location(sys._getframe()) if guard else None
        if guard and location:
            self.heard.guards.append((guard[1], location))


def calling_location(frame: FrameType | None = None) -> Location | None:
    """The innermost line of a stack, this call's by default, that is neither torch's, nor ours, nor
    the standard library's."""
    frame = calling_frame(frame)
    return _location(frame.f_code.co_filename, frame.f_lineno) if frame else None


def calling_frame(frame: FrameType | None = None) -> FrameType | None:
    """The innermost frame of a stack whose line is such a one."""
    frame = sys._getframe() if frame is None else frame
    while frame is not None and not is_foreign(frame.f_code.co_filename):
        frame = frame.f_back
    return frame


def module_place() -> tuple[str, int] | None:
    """File and line of the innermost such line of a module that is tried (`trial`); None where
    torch itself is at work: in a backward pass without hooks, say."""
    frame: FrameType | None = sys._getframe()
    while frame is not None and frame.f_code.co_filename not in _TRYING:
        if is_foreign(frame.f_code.co_filename):
            return frame.f_code.co_filename, frame.f_lineno
        frame = frame.f_back
    return None


def is_called_by_torch(frame: FrameType | None) -> bool:
    """Whether torch's own code runs a frame, not the module's next to it."""
    while frame is not None and not is_foreign(frame.f_code.co_filename):
        if frame.f_code.co_filename.startswith(_TORCH):
            return True
        frame = frame.f_back
    return False


def location_of(line: tuple[str, int] | None) -> Location | None:
    """The location of a line, by its file and number."""
    return _location(*line) if line else None


def raising_location(traceback: TracebackType | None) -> Location | None:
    """The deepest line of a traceback that is neither torch's, nor ours, nor the standard
    library's."""
    location = None
    while traceback is not None:
        location = _location(traceback.tb_frame.f_code.co_filename, traceback.tb_lineno) or location
        traceback = traceback.tb_next
    return location


def noted_location(stack: str | None) -> Location | None:
    """The deepest such line of a stack that torch noted as text beside a node."""
    lines = re.findall(r'File "(.*?)", line (\d+)', stack or "")
    locations = [location for file, line in lines if (location := _location(file, int(line)))]
    return locations[-1] if locations else None


@cache
def is_foreign(file: str) -> bool:
    """Whether a file is neither torch's, nor ours, nor the standard library's."""
    if file.startswith("<"):
        return False
    path = str(Path(file).resolve())
    standard = path.startswith(_STANDARD) and "site-packages" not in path
    return not (standard or path.startswith((_TORCH, _OURS)))


def _location(file: str, line: int) -> Location | None:
    if not is_foreign(file):
        return None
    linecache.checkcache(file)  # the file may have been edited since it was last named
    return Location(file, line, linecache.getline(file, line).strip())  # which knows the cells of a notebook too
