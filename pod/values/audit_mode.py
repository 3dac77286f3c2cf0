"""Audit modes: how much an audit discloses, to whom (protocol section 10).

The contract's numbers are no order of disclosure, so a mode is no number here and cannot be
compared as one: `discloses_more_than` says which shows more.
"""

from __future__ import annotations

from enum import Enum

from fitchain.pod.values.errors import InputRefused


class AuditMode(Enum):
    """What verifiers are shown: `open` to the whole pool, `sampled` to a panel, `on-site` on the
    owner's own hardware.

    The values are the numbers of `DisclosureMode` in the contracts.
    """

    OPEN = 0
    SAMPLED = 1
    ON_SITE = 2

    @property
    def word(self) -> str:
        """As recipes, cards and people write it: `open`, `sampled` or `on-site`."""
        return self.name.lower().replace("_", "-")

    def __str__(self) -> str:
        return self.word

    @classmethod
    def words(cls) -> tuple[str, ...]:
        """The words of all modes, in the order of the contract's numbers."""
        return tuple(mode.word for mode in cls)

    @classmethod
    def parse(cls, word: str) -> AuditMode:
        """Read a word.

        Raises:
            InputRefused: there is no such mode.
        """
        for mode in cls:
            if mode.word == word:
                return mode
        raise InputRefused(f"there is no mode {word!r}", f"one of {', '.join(cls.words())}")

    def discloses_more_than(self, other: AuditMode) -> bool:
        """Whether this mode shows more, or to more, than another."""
        return _RISING_DISCLOSURE.index(self) > _RISING_DISCLOSURE.index(other)


_RISING_DISCLOSURE = (AuditMode.ON_SITE, AuditMode.SAMPLED, AuditMode.OPEN)
