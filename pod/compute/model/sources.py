"""Sources: from where a module may take what no graph has, watched while it runs.

A number that the operating system draws, the clock, an address in memory: a trace keeps the one
that it saw. Which function Python calls is told by the interpreter itself (`sys.setprofile`),
whatever name it is called by.

Source: https://docs.python.org/3/library/sys.html#sys.setprofile
"""

from __future__ import annotations

import contextlib
import cProfile
import gc
import inspect
import sys
import time
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import CodeType, FrameType
from typing import Any

from fitchain.pod.compute.model.torch_output import Location, is_foreign, location_of, module_place

DRAWS = "numbers that the operating system draws"
CLOCK = "the clock"
CALLERS = "who calls it"
_CLOCKS = frozenset(
    name
    for name in vars(time)
    if name.removesuffix("_ns") in ("time", "perf_counter", "monotonic", "process_time", "thread_time")
) | {"now", "utcnow", "today", "localtime", "gmtime", "ctime", "clock_gettime"}
_OF_CLOCKS = frozenset({"time", "datetime"})
_OF_CALLERS: Mapping[CodeType, str] = {
    function.__code__: CALLERS
    for function in (
        inspect.stack,
        inspect.currentframe,
        inspect.trace,
        traceback.extract_stack,
        traceback.format_stack,
    )
}


@dataclass
class Sources:
    """What was seen.

    Args:
        taken: what a module takes from outside, with the line.
        called: code that was run, neither torch's nor the standard library's, with its variables.
    """

    taken: dict[str, Location | None] = field(default_factory=dict)
    called: dict[CodeType, Mapping[str, Any]] = field(default_factory=dict)

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """Watch what this thread calls. No garbage is collected meanwhile: what others have called
        at that would look like the module's own (Hypothesis reads the clock, say)."""
        before: Any = sys.getprofile()
        collects = gc.isenabled()
        gc.disable()
        sys.setprofile(self._see)
        try:
            yield
        finally:
            sys.setprofile(before if callable(before) else None)
            if collects:
                gc.enable()
            if isinstance(before, cProfile.Profile):  # whose function is C's, and not given
                before.enable()

    def _see(self, frame: FrameType, event: str, called: Any) -> None:
        if event == "call":
            code = frame.f_code
            if code not in self.called and is_foreign(code.co_filename):
                self.called[code] = frame.f_globals
            elif code in _OF_CALLERS and frame.f_back is not None and is_foreign(frame.f_back.f_code.co_filename):
                self._take(CALLERS)
        elif event == "c_call" and (source := _source(frame, called)):
            self._take(source)

    def _take(self, source: str) -> None:
        line = module_place()
        if line is not None:
            self.taken.setdefault(source, location_of(line))


def _source(frame: FrameType, called: Any) -> str:
    """What a function of C takes from outside; empty for most."""
    name = called.__name__
    if name in ("urandom", "getrandom", "generate_time_safe"):
        return DRAWS
    if name == "seed":
        return DRAWS if _draws_seed(frame, called) else ""
    if name in _CLOCKS and is_foreign(frame.f_code.co_filename):
        of = getattr(called.__self__, "__module__", None) or getattr(called.__self__, "__name__", "")
        return CLOCK if of in _OF_CLOCKS else ""
    if name == "_getframe" and is_foreign(frame.f_code.co_filename):
        return CALLERS
    return ""


def _draws_seed(frame: FrameType, called: Any) -> bool:
    """Whether a generator is seeded by chance: torch's always is by `seed()`, Python's without a
    number."""
    if type(called.__self__).__module__ == "torch._C":
        return True
    return frame.f_code.co_name == "seed" and frame.f_locals.get("a", 0) is None
