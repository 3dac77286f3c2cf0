"""Changes of the contracts that no test can notice, with the reason."""

from __future__ import annotations

_UNANSWERED = (
    "if (question.asker == address({}) || question.consented || question.fees == 0) revert NothingAsked(id, ordinal);"
)

EQUIVALENT: dict[tuple[str, str, str], str] = {
    (
        "Agreements.sol:_requireUnanswered",
        _UNANSWERED.format(0),
        _UNANSWERED.format(1),
    ): "what nobody asked has no fees either, and nobody can ask from address 1, which is a precompile",
    (
        "Audits.sol:_voteAnew",
        "if (kept >> seat & 1 == 0) continue;",
        "",
    ): "the word of a seat that has not joined is read nowhere, and joining writes it anew",
}
"""File below `contracts/` and function, a line of it, what it becomes (empty: left out), and why
that is the same."""
