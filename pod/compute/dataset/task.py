"""Tasks: what a dataset's target is predicted as."""

from __future__ import annotations

from enum import StrEnum


class Task(StrEnum):
    """What a target is predicted as.

    Members: one of several classes; each of several labels, there or not; an amount.
    """

    CLASSIFICATION = "classification"
    MULTI_LABEL = "multi-label"
    REGRESSION = "regression"
