"""What a home keeps of jobs, and of seats in audits, that the chain took back and has no more.

Nobody's step clears it away: a pod follows what the chain has. It may still come again, so it stays
until no reorganisation brings the job or the audit back, and a request that is sent again finds the
rest of its folder.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from fitchain.pod.jobs.finality import Finality
from fitchain.pod.jobs.home import Home
from fitchain.pod.jobs.removal import remove
from fitchain.pod.ports.agreement import Phase
from fitchain.pod.values.ids import AgreementId, AuditRef, Subject
from fitchain.pod.values.job_folder import SECRETS, Kept

SEALED = ("weights", "key")
"""Facts of a job in the journal: what was sealed to its identity, or is that, sealed."""


class Orphans:
    """Jobs, and audits, of which a home keeps secrets, and that its chain has not.

    Args:
        home: opened.
        finality: of its pod.
    """

    def __init__(self, home: Home, finality: Finality) -> None:
        self._home, self._finality = home, finality
        self._missing: set[Subject] | None = None  # not looked for yet

    def forget(self) -> None:
        """Look for them again: the chain took blocks back."""
        self._missing = None

    def clear(self) -> Iterator[Subject]:
        """Remove the secrets of jobs and of seats that are gone for good, and note it.

        Yields:
            each job, and each audit, cleared.

        Raises:
            ChainUnusable: the node does not answer.
        """
        if self._missing is None:
            folder_of = self._home.audit_folder
            kept = [id for id in self._home.job_ids() if any(folder_of(ref).secrets() for ref in self._audits(id))]
            missing = self._home.agreements.missing_among(kept)
            self._missing = {*missing, *self._missing_audits([id for id in kept if id not in missing])}
        for subject in list(self._missing):
            if self._clear_seat(subject) if isinstance(subject, AuditRef) else self._clear_job(subject):
                self._missing.remove(subject)
                self._finality.forget(subject)
                yield subject

    def _missing_audits(self, ids: list[AgreementId]) -> list[AuditRef]:
        """The audits of several jobs in which this home keeps what a seat was taken with, and that
        the chain does not have."""
        refs = [ref for id in ids for ref in self._audits(id) if self._home.audit_folder(ref).kept(Kept.SEAT_KEYS)]
        calls = [("Audits", "audit", (ref.agreement, ref.ordinal)) for ref in refs]
        audits = self._home.chain.call_many(calls)
        return [ref for ref, audit in zip(refs, audits, strict=True) if Phase(audit["phase"]) is Phase.NONE]

    def _clear_job(self, id: AgreementId) -> bool:
        if not self._finality.job_is_gone(id):
            return False
        for name in filter(partial(self._home.journal.fact, id), SEALED):
            self._home.journal.keep_fact(id, name, "")  # if it comes again, it has another identity
        for ref in self._audits(id):
            remove(self._home, ref, SECRETS)
        return True

    def _clear_seat(self, ref: AuditRef) -> bool:
        if not self._finality.seat_is_gone(ref):
            return False
        remove(self._home, ref, [Kept.SEAT_KEYS])
        return True

    def _audits(self, id: AgreementId) -> list[AuditRef]:
        return [AuditRef(id, ordinal) for ordinal in [0, *self._home.job_folder(id).audits()]]
