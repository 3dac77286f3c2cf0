"""How a job stands: its agreement by the chain, and what only this pod's journal knows.

The journal adds metrics out of the notes, errors, decisions.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from fitchain.pod.jobs.audit_status import AuditStatus, read_audit_status
from fitchain.pod.jobs.curves import Curves, held_out_curves, training_curves
from fitchain.pod.jobs.history import CheckpointRecorded
from fitchain.pod.jobs.home import Home
from fitchain.pod.jobs.journal import Line
from fitchain.pod.jobs.panel_status import PanelStatus, panel_of
from fitchain.pod.jobs.waiting import awaits_approval, awaits_delivery, open_questions
from fitchain.pod.ports.agreement import Agreement, AskedAudit, RunRecord, State
from fitchain.pod.values.digest import Digest, sha256
from fitchain.pod.values.errors import FitchainError
from fitchain.pod.values.ids import AgreementId, AuditRef
from fitchain.pod.values.recipe import Recipe
from fitchain.pod.values.recipe.terms import RECIPE_BYTES

NO_CURVES = Curves()


@dataclass(frozen=True)
class JobStatus:
    """How a job stands.

    Args:
        agreement, run: as the chain has them.
        transactions: how many the job took so far, from request on; not those of audits that others
            asked for again.
        gas: what they used in all.
        losses: (step, loss) as far as this home knows them.
        accuracy: the newest, 0 to 1, if this home knows one.
        history: what this home's pod wrote down, oldest first.
        now: the chain's own time, seconds since 1970.
        audit: None where none was opened.
        panel: from which its audit or dispute draws; None for the whole pool, or without either.
        questions: audits that others ask for again and to which the owner may consent now, of the
            newest of them (`waiting.open_questions`).
        for_person: whether this home's pod has put the request before its person, and waits.
        held: whether this home's pod holds the trained job, and its person may have it delivered.
        curves: metrics of the training and figures on held-out records, as far as this home knows
            them.
    """

    agreement: Agreement
    run: RunRecord
    transactions: int
    gas: int
    losses: tuple[tuple[int, float], ...]
    accuracy: float | None
    history: tuple[Line, ...]
    now: int
    audit: AuditStatus | None = None
    panel: PanelStatus | None = None
    questions: tuple[AskedAudit, ...] = ()
    for_person: bool = False
    held: bool = False
    curves: Curves = NO_CURVES

    def __str__(self) -> str:
        """One line, as a notebook prints it: `Training, 17 of 57 checkpoints, loss 0.2817`."""
        loss = f", loss {self.losses[-1][1]:.4f}" if self.losses else ""
        return f"{self.state.name.capitalize()}, {self.checkpoints} of {self.leaf_count} checkpoints{loss}"

    @property
    def state(self) -> State:
        """Where its agreement stands."""
        return self.agreement.state

    @property
    def leaf_count(self) -> int:
        """Checkpoints that the whole run has, leaf 0 included."""
        terms = self.agreement.terms
        count: int = -(-terms.steps // terms.segment_steps) + 1
        return count

    @property
    def checkpoints(self) -> int:
        """Checkpoints known so far: anchored ones, or newer ones of this home's own training."""
        own = [line.entry.index + 1 for line in self.history if isinstance(line.entry, CheckpointRecorded)]
        return max([self.run.count, *own])


class JobStatusReader:
    """Reads one job's status again and again; its panel and receipts, which never change, once.

    Args:
        home: opened, its key is not needed.
        id: the agreement.
    """

    def __init__(self, home: Home, id: AgreementId) -> None:
        self._home, self._id = home, id
        self._gas: dict[Digest, int] = {}
        self._panel: PanelStatus | None = None
        self._recipe: Recipe | None = None

    def read(self) -> JobStatus:
        """The job as it stands now.

        Raises:
            NotFound: this deployment has no such agreement.
            ChainUnusable: the node does not answer.
        """
        home = self._home
        agreement = home.agreements.read(self._id)
        history = tuple(home.journal.history(self._id))
        events = home.agreements.events(self._id)
        own = {event.transaction for event in events if not event.args.get("ordinal")}
        for transaction in own - set(self._gas):
            receipt = home.chain.receipt(transaction)
            if receipt is not None:
                self._gas[transaction] = receipt.gas_used
        curves = self._curves(agreement, history)
        losses, accuracies = (curves.training.get(name, ()) for name in ("loss", "accuracy"))
        run = home.agreements.run_record(self._id)
        now = home.chain.block("latest").timestamp
        audited = run.end_block is not None and agreement.terms.audit.seats
        audit = read_audit_status(home, AuditRef(self._id)) if audited else None
        spent = (len(self._gas), sum(self._gas.values()))
        if self._panel is None:
            self._panel = panel_of(home, agreement)
        settled = agreement.state in (State.SETTLED, State.HALVED)
        return JobStatus(
            agreement=agreement,
            run=run,
            transactions=spent[0],
            gas=spent[1],
            losses=losses,
            accuracy=accuracies[-1][1] if accuracies else None,
            history=history,
            now=now,
            audit=audit,
            panel=self._panel,
            questions=tuple(open_questions(home, self._id)) if settled else (),
            for_person=awaits_approval(home, agreement),
            held=awaits_delivery(home, agreement, now),
            curves=curves,
        )

    def _curves(self, agreement: Agreement, history: Sequence[Line]) -> Curves:
        """Curves as far as this home knows them; where its files are damaged, the training's alone."""
        home = self._home
        self._recipe = self._recipe or local_recipe(home, agreement)
        held_out = NO_CURVES
        with suppress(FitchainError):  # who needs the files says what is wrong with them
            held_out = held_out_curves(home.job_folder(self._id), self._recipe)
        return replace(held_out, training=training_curves(history, agreement.terms.steps))


def local_recipe(home: Home, agreement: Agreement) -> Recipe | None:
    """An agreement's recipe, where this home has it: its own offer, or one that it examined."""
    path = home.job_folder(agreement.id).recipe
    if not path.is_file() or path.stat().st_size > RECIPE_BYTES:
        return None
    data = path.read_bytes()
    return Recipe.parse(data) if sha256(data) == agreement.terms.recipe else None
