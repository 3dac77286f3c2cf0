"""The metered work of a training step: what a graph makes its host do at one batch size, counted by
the same rules everywhere (docs/format.md, section 3).

It is a fact of graph and batch size alone, so it can stand in an agreement's terms: a verifier that
has not seen the graph yet knows what a replay would ask of its host.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fitchain.pod.values.digest import Json
from fitchain.pod.values.recipe.fields import Fields

MOST = (1 << 53) - 1
"""More is counted nowhere (`Limits` of graphs), and JSON has no larger integers."""
USUAL_STEP_BYTES = 16 << 30
"""What a step may take where nobody says otherwise."""


@dataclass(frozen=True, slots=True)
class StepWork:
    """What a step does.

    Args:
        bytes: that its values take at most, all of them together: the state with gradients and
            optimizer, the batch, what the forward pass makes and the gradients of that.
        calls: kernels of the forward pass.
        operations: of single elements in the forward pass.
    """

    bytes: int
    calls: int
    operations: int

    @classmethod
    def parse(cls, value: Any) -> StepWork:
        """Read the JSON form.

        Raises:
            InputRefused: it is none.
        """
        fields = Fields("the work of a step", value, ("bytes", "calls", "operations"))
        return cls(*(fields.integer(name, 0, MOST) for name in ("bytes", "calls", "operations")))

    def json(self) -> dict[str, Json]:
        """The form that stands in a task and in an event."""
        return {"bytes": self.bytes, "calls": self.calls, "operations": self.operations}

    def __str__(self) -> str:
        return f"{self.bytes} bytes, {self.calls} calls, {self.operations} operations"
