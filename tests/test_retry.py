"""What a pod does about an error, its own faults included."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from fitchain.pod.jobs.retry import RetryPolicy
from fitchain.pod.values.digest import sha256
from fitchain.pod.values.errors import NotFound
from fitchain.pod.values.ids import AgreementId

JOB = AgreementId(sha256(b"a job"))


@pytest.mark.parametrize(
    ("fault", "told"),
    [(NotFound("nothing is there"), "nothing is there"), (KeyError("loss"), "this is a bug in Fitchain: KeyError")],
)
def test_whatever_goes_wrong_is_told_once_put_off_and_ends_nothing(fault: Exception, told: str) -> None:
    said, recorded = list[str](), list[dict[str, Any]]()
    home: Any = SimpleNamespace(
        journal=SimpleNamespace(record=lambda subject, kind, **body: recorded.append(body | {"kind": kind}))
    )
    retry = RetryPolicy(home, lambda id, text: said.append(text), retry_s=3600)

    def act() -> None:
        raise fault

    retry.attempt(JOB, act)
    assert not retry.due(JOB)
    retry.attempt(JOB, act)
    assert len(said) == len(recorded) == 1
    assert said[0].startswith(told) and recorded[0]["kind"] == "error"
