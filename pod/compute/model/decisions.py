"""Decisions: branches on values, met while a module is traced, where there is nothing to decide.

A trace has no numbers, so `if x.isnan().any(): raise ...` is a question that it cannot answer. But
where one way ends in an error of the module's own, or both compute the same (one of them warns,
say), there is one graph all the same. So both ways are traced. What a module refuses that way its
graph computes: the check is gone, as an assertion's is. Where both ways go on, and differ, the
branch stays refused.

So are the checks of `torch.distributions`: they ask what they are given, and raise.
"""

from __future__ import annotations

import contextlib
import dis
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, TypeVar

from torch import distributions
from torch.distributions import Distribution
from torch.fx.experimental.symbolic_shapes import GuardOnDataDependentSymNode, ShapeEnv

from fitchain.pod.compute.model.torch_output import Location, calling_location, is_foreign

MOST = 8
"""Branches on values of one trace: each costs one or two traces more."""
_BRANCHING = ("_IF_", "TO_BOOL", "UNARY_NOT", "CONTAINS_OP")
"""In names of instructions that ask for a truth."""
_CHECKING = str(Path(distributions.__file__).parent)
"""Files of torch that ask and refuse as a module's own lines do."""
Traced = TypeVar("Traced")


class Undecided(Exception):
    """Both ways of a branch go on and differ; `location` is its line."""

    def __init__(self, location: Location | None) -> None:
        super().__init__(str(location))
        self.location = location


@dataclass
class Ways:
    """Which way each branch of a trace is taken.

    Args:
        agreed: those of the first branches; the next ones are not taken.
        met: lines of the branches that the trace came by.
    """

    agreed: Sequence[bool] = ()
    met: list[Location | None] = field(default_factory=list)

    @property
    def taken(self) -> list[bool]:
        """Which way each went that was met."""
        return [*self.agreed, *[False] * len(self.met)][: len(self.met)]

    def decide(self) -> bool:
        """The way of the next branch."""
        self.met.append(calling_location())
        return self.taken[-1]


def decided(trace: Callable[[], Traced], is_same: Callable[[Traced, Traced], bool]) -> Traced:
    """Trace a module whose branches on values decide nothing.

    Args:
        trace: traces it; called several times.
        is_same: whether two traces are of one graph.

    Raises:
        Undecided: two ways go on, and differ.
        Exception: whatever a trace raises otherwise.
    """
    agreed, turned = list[bool](), set[int]()
    while True:
        ways = Ways(agreed)
        try:
            traced = _traced(trace, ways)
            break
        except Exception as error:
            last = len(ways.met) - 1
            if not 0 <= last < MOST or last in turned or not is_own_error(error.__traceback__):
                raise
            agreed = [*ways.taken[:last], not ways.taken[last]]
            turned.add(last)
    for index, location in enumerate(ways.met):
        if index >= MOST or (index not in turned and not _may_go_on(trace, is_same, traced, ways, index)):
            raise Undecided(location)
    return traced


def _may_go_on(
    trace: Callable[[], Traced], is_same: Callable[[Traced, Traced], bool], traced: Traced, ways: Ways, index: int
) -> bool:
    """Whether a branch, taken the other way, ends in the module's own error or changes nothing."""
    other = Ways([*ways.taken[:index], not ways.taken[index]])
    try:
        return is_same(traced, _traced(trace, other)) and other.met == ways.met
    except Exception as error:  # noqa: BLE001 - the module's code is the user's, and may raise anything
        return len(other.met) == index + 1 and is_own_error(error.__traceback__)


def _traced(trace: Callable[[], Traced], ways: Ways) -> Traced:
    with _deciding(ways):
        return trace()


@contextlib.contextmanager
def _deciding(ways: Ways) -> Iterator[None]:
    """Answer what no trace can, where the module's own line asks for a truth."""
    evaluate = ShapeEnv._evaluate_expr

    def answer(environment: ShapeEnv, expression: Any, *values: Any, **options: Any) -> Any:
        try:
            return evaluate(environment, expression, *values, **options)
        except GuardOnDataDependentSymNode:
            if not (expression.is_Relational or expression.is_Boolean) or not _is_branch():
                raise
            return ways.decide()

    ShapeEnv._evaluate_expr = answer  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        ShapeEnv._evaluate_expr = evaluate  # type: ignore[method-assign]


@contextlib.contextmanager
def without_checks() -> Iterator[None]:
    """Have distributions not ask whether what they are given is theirs, unless a module says that
    they should: each question would cost a trace."""
    before = Distribution._validate_args
    Distribution.set_default_validate_args(False)
    try:
        yield
    finally:
        Distribution.set_default_validate_args(before)


def _is_branch() -> bool:
    """Whether the module's line that is being run branches; else torch asks for itself: for a
    shape, say."""
    frame: FrameType | None = sys._getframe()
    while frame is not None and not _may_refuse(frame.f_code.co_filename):
        frame = frame.f_back
    return frame is not None and any(word in _instruction(frame.f_code, frame.f_lasti) for word in _BRANCHING)


def is_own_error(traceback: TracebackType | None) -> bool:
    """Whether an error was raised by a `raise` or an `assert` of the module's own, or of a
    distribution's."""
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    if traceback is None or not _may_refuse(traceback.tb_frame.f_code.co_filename):
        return False
    return _instruction(traceback.tb_frame.f_code, traceback.tb_lasti) == "RAISE_VARARGS"


def _may_refuse(file: str) -> bool:
    return is_foreign(file) or file.startswith(_CHECKING)


def _instruction(code: Any, offset: int) -> str:
    return next((each.opname for each in dis.get_instructions(code) if each.offset == offset), "")
