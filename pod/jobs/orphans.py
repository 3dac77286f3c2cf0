"""What a home keeps of jobs that the chain took back and has no more.

Nobody's step clears it away: a pod follows what the chain has. It may still come again, so it stays
until no reorganisation brings the job back, and a request that is sent again finds the rest of its
folder.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from fitchain.pod.jobs.finality import Finality
from fitchain.pod.jobs.home import Home
from fitchain.pod.jobs.removal import remove
from fitchain.pod.values.ids import AgreementId, AuditRef
from fitchain.pod.values.job_folder import Kept

SEALED = ("weights", "key")
"""Facts of a job in the journal: what was sealed to its identity, or is that, sealed."""


class Orphans:
    """Jobs of which a home keeps secrets, and that its chain has not.

    Args:
        home: opened.
        finality: of its pod.
    """

    def __init__(self, home: Home, finality: Finality) -> None:
        self._home, self._finality = home, finality
        self._missing: set[AgreementId] | None = None  # not looked for yet

    def forget(self) -> None:
        """Look for them again: the chain took blocks back."""
        self._missing = None

    def clear(self) -> Iterator[AgreementId]:
        """Remove the secrets of jobs that are gone for good.

        Yields:
            each of them, cleared.

        Raises:
            ChainUnusable: the node does not answer.
        """
        if self._missing is None:
            folder_of = self._home.audit_folder
            kept = [id for id in self._home.job_ids() if any(folder_of(ref).secrets() for ref in self._audits(id))]
            self._missing = set(self._home.agreements.missing_among(kept))
        for id in list(self._missing):
            if self._finality.job_is_gone(id):
                for name in filter(partial(self._home.journal.fact, id), SEALED):
                    self._home.journal.keep_fact(id, name, "")  # if it comes again, it has another identity
                for ref in self._audits(id):
                    remove(self._home, ref, (Kept.RECORDS, Kept.KEYS))
                self._missing.remove(id)
                self._finality.forget(id)
                yield id

    def _audits(self, id: AgreementId) -> list[AuditRef]:
        return [AuditRef(id, ordinal) for ordinal in [0, *self._home.job_folder(id).audits()]]
