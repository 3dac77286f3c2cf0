"""What an owner states of a training that ended before its last step: after which one, and why.

The chain says only which checkpoint was the last. No number of a record is in a reason; beside a
privacy budget, which covers no such word, there is none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fitchain.pod.values.digest import Json
from fitchain.pod.values.errors import InputRefused
from fitchain.pod.values.recipe.fields import Fields

MOST_REASON = 300


@dataclass(frozen=True)
class EarlyEnd:
    """How a training ended early.

    Args:
        step: completed steps when it happened.
        reason: what happened, in one line of at most 300 characters.
    """

    step: int
    reason: str

    @classmethod
    def of(cls, step: int, reason: str) -> EarlyEnd:
        """Of what a worker told; what does not fit a line is cut."""
        line = "".join(letter if letter.isprintable() else " " for letter in reason)
        return cls(step, line.strip()[:MOST_REASON].strip() or "no reason was told")

    @property
    def words(self) -> str:
        """It in a sentence."""
        return f"after step {self.step}: {self.reason}"

    def json(self) -> dict[str, Json]:
        """The JSON value of a certificate."""
        return {"step": self.step, "reason": self.reason}

    @classmethod
    def from_json(cls, value: Any) -> EarlyEnd:
        """Read it, from anyone.

        Raises:
            InputRefused: a field is missing, unknown or out of bounds, or the reason is no line.
        """
        fields = Fields("the early end", value, ("step", "reason"))
        reason = fields.text("reason", MOST_REASON)
        if not reason.isprintable() or reason != reason.strip():
            raise InputRefused("the early end: its reason is one line of printable characters")
        return cls(fields.integer("step", 0, 2**32 - 1), reason)
