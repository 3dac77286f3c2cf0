"""Policies of tests whose records nobody lives in."""

from __future__ import annotations

from typing import Any

from fitchain.pod.compute.dataset import Policy


def open_policy(**terms: Any) -> Policy:
    """A policy under which every account may ask, whatever models carry out."""
    return Policy(models_may_reveal_records=True, **terms)
