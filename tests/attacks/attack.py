"""What a row of the table of attacks is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from scripts.mutation.rules import Rule
from tests.attacks.attack_lab import AttackLab, Caught
from tests.attacks.pod_rules import PodRule


@dataclass(frozen=True)
class Attack:
    """An attack.

    Args:
        name: what it is called, also in docs/trust.md.
        tried: how it is tried.
        caught: what catches it, where, and how what it says begins.
        play: plays it; what really caught it.
        rule: on which that rests, where it is one that can be taken out in this process, or of
            contracts with which pods play.
        without: how what it says begins without that rule.
        found: how likely it is found, where that depends on another draw than that of the segments.
    """

    name: str
    tried: str
    caught: Caught
    play: Callable[[AttackLab], Caught]
    rule: Rule | PodRule | None = None
    without: str = ""
    found: str = ""

    def differs(self, played: Caught) -> str:
        """What the row says otherwise than was played; empty where it is caught as it says."""
        row = self.caught
        for what, says, was in (
            ("what catches it", row.by, played.by),
            ("the step", row.step, played.step),
            ("the segments", row.faked, played.faked),
        ):
            if says != was:
                return f"{what} is {was!r} and the table says {says!r}"
        return "" if played.says.startswith(row.says) else f"it says {played.says!r} and the table says {row.says!r}"

    def succeeds(self, played: Caught) -> bool:
        """Whether it ended without its rule as its row says."""
        return played.by == "nobody" and played.says.startswith(self.without)


def first_of_its_catcher(attacks: Sequence[Attack]) -> Callable[[Attack], bool]:
    """Tells of an attack whether none before it is caught by the same: a short form of all."""
    firsts = {attack.caught.by: attack for attack in reversed(attacks)}
    return lambda attack: firsts[attack.caught.by] is attack
