"""Examples: `fitchain.pod.values.recipe.parameter_groups`."""

from __future__ import annotations

from typing import Any

import pytest

from fitchain.pod.values.errors import InputRefused
from fitchain.pod.values.recipe.parameter_groups import group_faults, group_parameters
from fitchain.pod.values.recipe.terms import ParameterGroup

NAMES = ("net.body.0.weight", "net.body.0.bias", "net.head.weight", "net.head.bias", "net.classifier.weight")


def groups(*patterns: str) -> tuple[ParameterGroup, ...]:
    return tuple(ParameterGroup(pattern) for pattern in patterns)


def test_a_parameter_is_of_the_first_group_that_matches() -> None:
    grouped, rest = group_parameters(groups("*.bias", "net.head.*"), NAMES)
    assert grouped == [["net.body.0.bias", "net.head.bias"], ["net.head.weight"]]
    assert rest == ["net.body.0.weight", "net.classifier.weight"]


@pytest.mark.parametrize(
    ("pattern", "hint"),
    [
        ("head.*", "did you mean *head.*?"),
        ("Classifier", "did you mean *classifier.*?"),
        ("*classifer*", "did you mean *classifier.*"),
        ("net.haed.*", "did you mean net.head.*"),
        ("zzz", "the model's are net.body.0.weight, net.body.0.bias, net.head.weight, net.head.bias and 1 more"),
    ],
)
def test_a_pattern_that_matches_nothing_is_refused_with_the_nearest(pattern: str, hint: str) -> None:
    with pytest.raises(InputRefused, match="matches no parameter that training moves") as refused:
        group_parameters(groups("*.bias", pattern), NAMES)
    assert refused.value.hint.startswith(hint)


@pytest.mark.parametrize(
    ("patterns", "beside", "words"),
    [
        (("net.*", "*.bias"), {}, "all that it matches is of 'net.*' before it"),
        (("lm_head.*",), {"tied": {"lm_head.weight": "net.head.weight"}}, "lm_head.weight is tied to net.head.weight"),
        (("stem.*",), {"frozen": ["stem.weight"]}, "stem.weight is frozen"),
        (("lm_head.*",), {"tied": {"lm_head.weight": "stem.weight"}}, "lm_head.weight is frozen"),
    ],
)
def test_an_empty_group_says_why(patterns: tuple[str, ...], beside: dict[str, Any], words: str) -> None:
    (fault,) = group_faults(groups(*patterns), NAMES, **beside)
    assert words in fault.message and fault.hint
