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
import pathlib
import sys
import time
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import CodeType, FrameType
from typing import Any

import torch

from fitchain.pod.compute.model.torch_output import Location, is_called_by_torch, is_foreign, location_of, module_place

DRAWS = "numbers that the operating system draws"
CLOCK = "the clock"
CALLERS = "who calls it"
FILES = "a file"
PROCESS = "what its process does"
SEED = "torch's seed"
MODES = "torch's modes"
_DRAWS = frozenset({"urandom", "getrandom", "generate_time_safe", "RAND_bytes", "RAND_pseudo_bytes"})
_CLOCKS = frozenset(
    name
    for name in vars(time)
    if name.removesuffix("_ns") in ("time", "perf_counter", "monotonic", "process_time", "thread_time")
) | {"now", "utcnow", "today", "localtime", "gmtime", "ctime", "clock_gettime"}
_OF_CLOCKS = frozenset({"time", "datetime"})
_BY_NAME: Mapping[str, str] = {
    **dict.fromkeys(("open", "listdir", "scandir", "stat", "lstat", "readlink"), FILES),
    **dict.fromkeys(("getrusage", "times", "getloadavg", "getpid", "getppid", "get_objects", "get_count"), PROCESS),
    **dict.fromkeys(("get_native_id", "mallinfo", "_current_frames", "gettotalrefcount", "getrefcount"), PROCESS),
    "_getframe": CALLERS,
}
"""Functions of C that a module's own line calls, and what each tells it."""
_FUNCTIONS: Mapping[CodeType, str] = {
    function.__code__: source
    for source, functions in (
        (
            CALLERS,
            (inspect.stack, inspect.currentframe, inspect.trace, traceback.extract_stack, traceback.format_stack),
        ),
        (SEED, (torch.initial_seed, torch.get_rng_state)),
        (FILES, (pathlib.Path.open, pathlib.Path.read_bytes, pathlib.Path.read_text, pathlib.Path.exists)),
    )
    for function in functions
}
"""Functions of Python that do so."""
_OF_SYSTEM = frozenset({"_io", "io", "posix", "nt", "os", "resource", "gc", "sys", "_thread"})
_OF_MODES = "torch/utils/_python_dispatch.py"
HINTS: Mapping[str, str] = {
    DRAWS: "draw with torch (torch.rand, nn.Dropout): its generator is seeded before each step",
    CLOCK: "take the time outside of forward: a hook on the module that is run, say",
    FILES: "read it when the module is made, and keep what is in it as a buffer",
    SEED: "draw with torch (torch.rand, nn.Dropout), which its seed decides",
}
"""What to do instead."""
OTHER_HINT = "compute what is returned from inputs, parameters and buffers alone"
_ABOUT_MODES = ("dispatch_stack", "function_stack", "dispatch_mode", "function_mode", "dispatch_key")
_PAST_MODES = frozenset({"_DisableTorchDispatch", "_disable_current_modes", "_to_dlpack"})


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
            self._see_code(frame)
        elif event == "c_call" and (source := _source(frame, called)):
            self._take(source)

    def _see_code(self, frame: FrameType) -> None:
        code = frame.f_code
        if code in self.called:
            return
        if is_foreign(code.co_filename):
            self.called[code] = frame.f_globals
            if not _PAST_MODES.isdisjoint(code.co_names):
                self._take(MODES)
        elif frame.f_back is not None and is_foreign(frame.f_back.f_code.co_filename):
            if source := _FUNCTIONS.get(code):
                self._take(source)
            elif code.co_filename.endswith(_OF_MODES):
                self._take(MODES)

    def _take(self, source: str) -> None:
        line = module_place()
        if line is not None:
            self.taken.setdefault(source, location_of(line))


def _source(frame: FrameType, called: Any) -> str:
    """What a function of C takes from outside; empty for most."""
    name = called.__name__
    if name in _DRAWS:
        return "" if is_called_by_torch(frame) else DRAWS
    if name == "seed":
        return DRAWS if _draws_seed(frame, called) else ""
    if not is_foreign(frame.f_code.co_filename):
        return ""
    home = getattr(called.__self__, "__module__", None) or getattr(called.__self__, "__name__", None) or ""
    if name in _CLOCKS:
        return CLOCK if home in _OF_CLOCKS else ""
    if isinstance(called.__self__, torch.Generator):
        return SEED if name in ("initial_seed", "get_state") else ""
    if home.startswith("torch._C") and any(part in name for part in _ABOUT_MODES):
        return MODES
    return _BY_NAME.get(name, "") if home in _OF_SYSTEM else ""


def _draws_seed(frame: FrameType, called: Any) -> bool:
    """Whether a generator is seeded by chance: torch's always is by `seed()`, Python's without a
    number."""
    if type(called.__self__).__module__ == "torch._C":
        return True
    return frame.f_code.co_name == "seed" and frame.f_locals.get("a", 0) is None
