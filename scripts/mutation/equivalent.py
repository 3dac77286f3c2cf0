"""Changes of the contracts that no test can notice, with the reason."""

from __future__ import annotations

_UNANSWERED = (
    "if (question.asker == address({}) || question.consented || question.fees == 0) revert NothingAsked(id, ordinal);"
)

_LANES = "for (uint256 i = 0; i {} LANES; i++) {{"

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
    (
        "libraries/Lanes.sol:saturatingAdd",
        _LANES.format("<"),
        _LANES.format("<="),
    ): "beyond the last lane both are 0, and so is the sum",
    (
        "libraries/Lanes.sol:nowhereAbove",
        _LANES.format("<"),
        _LANES.format("<="),
    ): "beyond the last lane both are 0, and 0 is not above 0",
    (
        "libraries/Lanes.sol:somewhereWithin",
        _LANES.format("<"),
        _LANES.format("<="),
    ): "beyond the last lane the budget is 0, and nothing is within that",
}
"""File below `contracts/` and function, a line of it, what it becomes (empty: left out), and why
that is the same."""
