"""Which command runs a test: `make test` what is marked neither `long` nor `nightly`, `make
test-long` what is `long`, `make nightly` what is `nightly`. A test with both marks is refused, so
every test has exactly one.

Laws (hypothesis) look at `usual` many examples with `make test`, the same in every run; with `make
test-long` at five times as many, the same in every run; with `make nightly` at twenty times as
many, new ones in every run.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

QUICK, LONG, NIGHTLY = "quick", "long", "nightly"
EXAMPLES = 100
TIMES = {"usual": 1, LONG: 5, NIGHTLY: 20}
PROFILE = os.environ.get("HYPOTHESIS_PROFILE", "usual")


def examples(usual: int) -> int:
    """How many examples a law looks at in this run, where it does not look at the usual number."""
    return usual * TIMES[PROFILE]


def speed_of(marks: Collection[str]) -> str:
    """Which command runs a test with these marks.

    Raises:
        pytest.UsageError: two would.
    """
    if LONG in marks and NIGHTLY in marks:
        raise pytest.UsageError("a test is `long` or `nightly`, not both")
    return LONG if LONG in marks else NIGHTLY if NIGHTLY in marks else QUICK


def pytest_configure() -> None:
    """Choose how many examples laws look at."""
    slow = [HealthCheck.too_slow]
    for name in TIMES:
        settings.register_profile(
            name,
            deadline=None,
            derandomize=name != NIGHTLY,
            max_examples=EXAMPLES * TIMES[name],
            suppress_health_check=slow,
        )
    settings.load_profile(PROFILE)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Refuse a test that two commands would run."""
    for item in items:
        try:
            speed_of({mark.name for mark in item.iter_markers()})
        except pytest.UsageError as error:
            raise pytest.UsageError(f"{item.nodeid}: {error}") from None


def long_unless(quick: Callable[..., bool], values: Iterable[Any]) -> list[Any]:
    """Parameters of a test that are `long` but for some: the short form of what a table of cases
    tests.

    Args:
        quick: whether a case belongs to the short form; it takes the case, or its parts where that
            is a tuple.
        values: the cases.
    """
    return _marked(quick, values, (), pytest.mark.long)


def nightly_unless(long: Callable[..., bool], values: Iterable[Any]) -> list[Any]:
    """Parameters of a test that are `nightly` but for some, which are `long`.

    Args:
        long: whether a case belongs to the long tests; it takes the case, or its parts where that
            is a tuple.
        values: the cases.
    """
    return _marked(long, values, pytest.mark.long, pytest.mark.nightly)


def _marked(is_chosen: Callable[..., bool], values: Iterable[Any], chosen: Any, others: Any) -> list[Any]:
    parts = [value if isinstance(value, tuple) else (value,) for value in values]
    return [pytest.param(*part, marks=chosen if is_chosen(*part) else others) for part in parts]
