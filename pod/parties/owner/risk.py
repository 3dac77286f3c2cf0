"""The privacy-risk report: what an attack on a trained model finds, before anything of it leaves.

The worker attacks; here it is decided when, what is kept of it, and whether the job goes on. A job
whose model gives away more than the policy lets it is held: nothing is sent, and its person decides
before the time to train is over. The contracts have no way to end a run that was trained to its
last step without its model, so keeping it costs the bond.
"""

from __future__ import annotations

import threading
from contextlib import suppress

from fitchain.pod.compute.dataset import Card
from fitchain.pod.jobs import history
from fitchain.pod.jobs.home import Home
from fitchain.pod.jobs.waiting import DELIVER, HELD, WAITS, awaits_delivery, is_held
from fitchain.pod.jobs.worker import Context, Emit, run_worker
from fitchain.pod.jobs.worker.task import Assess
from fitchain.pod.ports.agreement import RunRecord, State
from fitchain.pod.ports.chain.base import write_file
from fitchain.pod.proof.certificate.risk import RiskClaim
from fitchain.pod.values.digest import Digest
from fitchain.pod.values.errors import (
    FitchainError,
    HostUnusable,
    InputRefused,
    Unusable,
)
from fitchain.pod.values.files import remove_tree
from fitchain.pod.values.ids import AgreementId
from fitchain.pod.values.job_folder import JobFolder
from fitchain.pod.values.limits import RISK_REPORT
from fitchain.pod.values.risk import RiskReport, Summary
from fitchain.pod.values.risk.report import unmade_digest

LEFT = "left"
"""Fact of a job: the order seed of the run whose model left."""
SHARE_OF_TIME = 0.5
"""An assessment may take so much of what is left of the time to train: a report is not worth the
bond."""


# Many parameters: those of a run, and of what a pod lets it take.
def assess_run(
    home: Home, id: AgreementId, context: Context, run: RunRecord, card: Card, stop: threading.Event
) -> RiskReport | None:
    """Attack the model that lies in a job's folder as it was trained, and keep the report; once.

    Args:
        home: the owner's.
        id: the job, trained to its last step.
        context: of the run.
        run: as the chain has it.
        card: of the dataset.
        stop: ends it.

    Returns:
        The report; None where it cannot be made, which the history says.

    Raises:
        HostUnusable, OSError: this host lacks something; calling again begins anew.
        Unusable: it was stopped.
    """
    folder, journal = home.job_folder(id), home.journal
    with suppress(InputRefused):  # a damaged one is made anew
        if (kept := kept_report(folder)) is not None and kept.details.seed == context.seed:
            _note(home, id, kept)  # a pod may have been cut off between file and line
            return kept
    agreement = home.agreements.read(id)
    left_s = agreement.training_deadline - home.chain.block("latest").timestamp
    limit_s = max(1.0, left_s * SHARE_OF_TIME)
    journal.record(id, history.Assessing(limit_s), once=str(run.seed))
    try:
        report = assess_folder(home, id, folder, context, card, None, stop, limit_s)
    except HostUnusable:
        raise
    except FitchainError as error:
        if stop.is_set():
            raise
        journal.record(id, history.NotAssessed(error.message), once=str(run.seed))
        return None
    write_file(folder.risk_report, report.encode())
    _note(home, id, report)
    return report


def _note(home: Home, id: AgreementId, report: RiskReport) -> None:
    """Put a report that is kept into the job's history, once."""
    entry = history.Assessed(report.digest, report.summary.references, *_first_rate(report.summary))
    home.journal.record(id, entry, once=str(report.digest))


def kept_report(folder: JobFolder) -> RiskReport | None:
    """The report that is kept of a job; None where there is none.

    Raises:
        InputRefused: the file is none.
    """
    try:
        with folder.risk_report.open("rb") as file:
            return RiskReport.parse(file.read(RISK_REPORT.text_bytes + 1))
    except FileNotFoundError:
        return None


# A limit


def why_held(report: RiskReport | None, card: Card) -> str:
    """Why the policy does not let a model be delivered; empty where it does."""
    terms = card.policy.risk
    if terms is None or terms.most_exposed is None:
        return ""
    if report is None or not report.summary.rates:
        return f"what its model gives away could not be told, and the policy admits {terms.most_exposed:.1%}"
    share = report.summary.rates[0].share(report.summary.members)
    if share <= terms.most_exposed:
        return ""
    return (
        f"its model gives away {share:.1%} of the records that it was trained on at 1 % of false alarms,"
        f" and the policy admits {terms.most_exposed:.1%}"
    )


def keep_left(home: Home, id: AgreementId, seed: Digest) -> None:
    """Remember that the model of the run under this seed leaves."""
    home.journal.keep_fact(id, LEFT, str(seed))


def why_twice(home: Home, id: AgreementId, seed: Digest) -> str:
    """Why a private model is held though nothing is wrong with it: an acceptance is charged once,
    and a reorganisation of the chain that undid the beginning of a run whose model had left does
    not bring that back. Nothing of the records decides this. Empty where no other model has left.

    Args:
        home: the owner's.
        id: the job.
        seed: of the run whose model would leave now.
    """
    left = home.journal.fact(id, LEFT)
    if not left or left == str(seed):
        return ""
    return (
        "the chain took back a run whose model had left already: a second model tells as much again of the"
        " records, and the privacy ledger is charged for one"
    )


def hold(home: Home, id: AgreementId, seed: Digest, reason: str) -> bool:
    """Hold a job, unless a person has said that it is to be delivered all the same.

    Args:
        home: the owner's.
        id: the job.
        seed: of its run: after a reorganisation another run is held for a reason of its own.
        reason: why.

    Returns:
        whether it is held.
    """
    if home.journal.fact(id, HELD) == DELIVER:
        return False
    home.journal.keep_fact(id, HELD, WAITS)
    home.journal.record(id, history.Held(reason), once=str(seed))
    return True


def forget_hold(home: Home, id: AgreementId) -> None:
    """A run with another seed begins: what was said was of another model."""
    if home.journal.fact(id, HELD):
        home.journal.keep_fact(id, HELD, "")


def why_it_is_held(home: Home, id: AgreementId) -> str:
    """Why a held job is held, as its history says.

    Raises:
        NotFound: it was never held.
    """
    return home.journal.last(id, history.Held).reason


def require_held(home: Home, id: AgreementId) -> None:
    """Check that a job is held, and can be delivered.

    Raises:
        NotFound: there is no such agreement.
        Unusable: it is not held, or its time to train is over.
    """
    agreement = home.agreements.read(id)
    if not is_held(home, id) or agreement.state is not State.TRAINING:
        raise Unusable(f"the job {id.short} is not held", f"see `fitchain job show {id.short}`")
    if not awaits_delivery(home, agreement, home.chain.block("latest").timestamp):
        raise Unusable(f"the time to train {id.short} is over", f"see `fitchain job show {id.short}`")


def deliver_held(home: Home, id: AgreementId, reason: str = "") -> None:
    """Keep a person's word that a held job is delivered all the same; the owner's pod acts on it.

    Raises:
        As `require_held`.
    """
    require_held(home, id)
    home.journal.keep_fact(id, HELD, DELIVER)
    home.journal.record(id, history.DeliveredAllTheSame(reason))


def claim_of(home: Home, id: AgreementId, context: Context, report: RiskReport | None, card: Card) -> RiskClaim | None:
    """What the certificate of a job trained to its last step says of its report.

    Under a budget it says no less where no report could be made: an attack that fails may say
    something of a record, and nothing noised that.

    Returns:
        None where the policy asks for no report, or none could be made and no budget runs.
    """
    if report is None and card.policy.risk is not None and card.privacy is not None:
        return RiskClaim(unmade_digest(risk_salt(home, id, context)))
    return RiskClaim.of(report, card)


def risk_salt(home: Home, id: AgreementId, context: Context) -> Digest:
    """The salt of a run's report: derived from the pod's secret, so that it is found again."""
    return Digest(home.keys.derive("fitchain/risk-salt/v2", id, context.seed))


# Many parameters: what is attacked, of which run, and what may end it.
def assess_folder(
    home: Home,
    id: AgreementId,
    folder: JobFolder,
    context: Context,
    card: Card,
    on_event: Emit | None = None,
    stop: threading.Event | None = None,
    limit_s: float | None = None,
) -> RiskReport:
    """Have a worker attack the model in a folder.

    Raises:
        InputRefused: what it wrote is no report, or of another run; or it took too long.
    """
    delta = None if card.privacy is None else card.privacy.delta
    remove_tree(folder.worker_risk_report)
    run_worker(
        folder.path, Assess(context, risk_salt(home, id, context), delta), on_event, limit_s, stop, home.launcher
    )
    with folder.worker_risk_report.open("rb") as file:  # of a worker that ended well, which a stranger's model ran in
        report = RiskReport.parse(file.read(RISK_REPORT.text_bytes + 1))
    if (report.details.ctx, report.details.seed) != (context.ctx, context.seed):
        raise InputRefused("the worker wrote the risk report of another run")
    return report


def _first_rate(summary: Summary) -> tuple[int, int, int]:
    """Hits at 1 % of false alarms, members, non-members; no hits where nothing can be said."""
    return (summary.rates[0].hits if summary.rates else 0), summary.members, summary.non_members
