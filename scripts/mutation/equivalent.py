"""Changes of the contracts that no test can notice, with the reason."""

from __future__ import annotations

_UNANSWERED = (
    "if (question.asker == address({}) || question.consented || question.fees == 0) revert NothingAsked(id, ordinal);"
)

EQUIVALENT: dict[tuple[str, str, str], str] = {
    (
        "Agreements.sol",
        _UNANSWERED.format(0),
        _UNANSWERED.format(1),
    ): "what nobody asked has no fees either, and nobody can ask from address 1, which is a precompile",
}
"""File below `contracts/`, a line, what it becomes (empty: left out), and why that is the same."""
