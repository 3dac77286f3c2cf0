"""The privacy-risk report: what an attack on a trained model finds, before anything of it leaves.

The worker attacks; here it is decided when, what is kept of it, and whether the job goes on. What
was found is bound in the last leaf before that is anchored, so that no other report can stand in a
certificate later; from then on the leaf says which report it is. A job whose model gives away more
than the policy lets it is held: nothing is sent, and its person decides before the time to train is
over. The contracts have no way to end a run that was trained to its last step without its model, so
keeping it costs the bond.
"""

from __future__ import annotations

import threading
from contextlib import suppress

from fitchain.pod.compute.checkpoint import read_leaves, replace_last_leaf
from fitchain.pod.compute.dataset import Card
from fitchain.pod.jobs import history
from fitchain.pod.jobs.home import Home
from fitchain.pod.jobs.waiting import DELIVER, HELD, WAITS, awaits_delivery, is_held
from fitchain.pod.jobs.worker import Context, Emit, run_worker
from fitchain.pod.jobs.worker.task import Assess, Limits, Reopen, Train
from fitchain.pod.parties.owner.examine import read_recipe
from fitchain.pod.ports.agreement import RunRecord, State
from fitchain.pod.ports.chain.base import write_file
from fitchain.pod.proof.audit.chain_record import ChainRecord
from fitchain.pod.proof.audit.challenge import drawn_reference
from fitchain.pod.proof.audit.disclosure import opens_reference
from fitchain.pod.proof.certificate.risk import RiskClaim
from fitchain.pod.values.best import delivered_of
from fitchain.pod.values.digest import ZERO, Digest, Root
from fitchain.pod.values.errors import (
    DigestMismatch,
    FitchainError,
    HostUnusable,
    InputRefused,
    Unusable,
    require_equal,
)
from fitchain.pod.values.files import open_plain, remove_tree
from fitchain.pod.values.ids import AgreementId
from fitchain.pod.values.job_folder import REFERENCE_LEAVES, JobFolder
from fitchain.pod.values.leaf import Checkpoint
from fitchain.pod.values.limits import RISK_REPORT
from fitchain.pod.values.risk import Parts, RiskReport, Summary
from fitchain.pod.values.risk.references import (
    LEAF_BYTES,
    OpenedReference,
    ReferenceLeaf,
    leaf_digests,
    training_root,
)

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
        FitchainError: the last leaf names a report that is gone, and it cannot be made again.
    """
    folder, journal = home.job_folder(id), home.journal
    last, delivered = _last_and_delivered(folder)
    if last.report is not None and last.report == unmade_parts(home, id, context, card, delivered.model):
        return None
    with suppress(InputRefused):  # a damaged one is made anew
        if (kept := kept_report(folder)) is not None and last.report in (None, kept.parts) and _is_of(kept, context):
            return _recorded(home, id, kept)
    agreement = home.agreements.read(id)
    left_s = agreement.training_deadline - home.chain.block("latest").timestamp
    limit_s = max(1.0, left_s * SHARE_OF_TIME)
    journal.record(id, history.Assessing(limit_s), once=str(run.seed))
    try:
        report = assess_folder(home, id, folder, context, card, None, stop, limit_s)
        require_equal(
            "the risk report is of the model", report.summary.model, delivered.model, "the delivered leaf has"
        )
        bound = last.report or report.parts
        require_equal("the risk report's digest is", report.digest, bound.digest, "the last leaf says")
    except HostUnusable:
        raise
    except FitchainError as error:
        if stop.is_set() or last.report is not None:
            raise
        journal.record(id, history.NotAssessed(error.message), once=str(run.seed))
        return None
    write_file(folder.risk_report, report.encode())
    return _recorded(home, id, report)


def _recorded(home: Home, id: AgreementId, report: RiskReport) -> RiskReport:
    """The report, once the history has it: whoever kept it may have ended before it said so."""
    entry = history.Assessed(report.digest, report.summary.references, *_first_rate(report.summary))
    home.journal.record(id, entry, once=str(report.digest))
    return report


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


def bind_report(home: Home, id: AgreementId, context: Context, report: RiskReport | None, card: Card) -> RiskClaim:
    """Bind a report, or that none could be made, in the last leaf of a job; once, and durably.

    Args:
        home: the owner's.
        id: the job, trained to its last step.
        context: of the run.
        report: None where none could be made.
        card: of the dataset.

    Returns:
        What the certificate says of it.

    Raises:
        ClaimMismatch: the last leaf names another.
    """
    folder = home.job_folder(id)
    last, delivered = _last_and_delivered(folder)
    parts = unmade_parts(home, id, context, card, delivered.model) if report is None else report.parts
    if last.report is None:
        last = last.with_report(parts)
        replace_last_leaf(folder.path, last)
    bound = last.report or parts
    require_equal("the last leaf names the risk report", bound.digest, parts.digest, "the one that is kept is")
    leaf = last.leaf
    entry = history.CheckpointRecorded(
        leaf.index, leaf.step, leaf.digest(context.ctx, context.seed), last.metrics, True
    )
    home.journal.record(id, entry, once=str(leaf.index))
    return RiskClaim.of(report, parts, last, card)


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


def unmade_parts(home: Home, id: AgreementId, context: Context, card: Card, model: Root) -> Parts:
    """What stands for the parts of a report that could not be made.

    Under a budget nobody sees that it could not: an attack that fails may say something of a
    record, and nothing noised that.
    """
    return Parts.unmade(model, None if card.privacy is None else risk_salt(home, id, context))


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
    opens = opens_reference(home.agreements.terms(id).audit, read_recipe(folder), card)
    limits = Limits.around(card.policy.most_memory_bytes, folder.records)
    task = Assess(context, risk_salt(home, id, context), delta, opens, limits=limits)
    remove_tree(folder.worker_risk_report)
    run_worker(folder.path, task, on_event, limit_s, stop, home.launcher)
    with folder.worker_risk_report.open("rb") as file:  # of a worker that ended well, which a stranger's model ran in
        report = RiskReport.parse(file.read(RISK_REPORT.text_bytes + 1))
    if not _is_of(report, context):
        raise InputRefused("the worker wrote the risk report of another run")
    return report


def kept_bound(home: Home, id: AgreementId, parts: Parts) -> RiskReport | None:
    """The report that a job's last leaf binds; None where it is gone, damaged or another's."""
    with suppress(InputRefused):
        if (report := kept_report(home.job_folder(id))) is not None and report.parts == parts:
            return report
    return None


def opens_references(parts: Parts | None) -> bool:
    """Whether each audit of a job opens a segment of a reference training, by what its last leaf
    binds."""
    return parts is not None and parts.references != ZERO


def reopened(home: Home, job: JobFolder, task: Train, chain_record: ChainRecord, report: RiskReport) -> OpenedReference:
    """What an audit opens of the reference trainings of a job's report: the one that is drawn is
    trained again, and the state before its drawn segment kept in a folder.

    Args:
        home: the owner's.
        job: a folder with the job's offer and records.
        task: of the training.
        chain_record: what the chain says.
        report: that the last leaf binds.

    Raises:
        DigestMismatch: the training comes out otherwise than the report says.
    """
    segments = read_recipe(job).segment_count
    number, segment = drawn_reference(chain_record.segment_seed, len(report.references), segments)
    run_worker(job.path, Reopen(task.context, number, segment, limits=task.limits), launcher=home.launcher)
    with open_plain(job.path, REFERENCE_LEAVES) as file:
        data = file.read((segments + 1) * LEAF_BYTES + 1)
    leaves = [ReferenceLeaf.parse(data[at : at + LEAF_BYTES]) for at in range(0, len(data), LEAF_BYTES)]
    root = training_root(leaf_digests(leaves, number, report.salt))
    if root != report.references[number]:
        raise DigestMismatch(
            f"the reference training {number} comes out with the root {root}, and the risk report says"
            f" {report.references[number]}"
        )
    return OpenedReference.of(leaves, number, min(segment, len(leaves) - 1), report.salt, report.references)


def _last_and_delivered(folder: JobFolder) -> tuple[Checkpoint, Checkpoint]:
    """The last checkpoint of a whole training, which binds its report, and the one whose model is
    delivered, which the report is about."""
    checkpoints = read_leaves(folder.path)
    return checkpoints[-1], checkpoints[delivered_of(read_recipe(folder), checkpoints)]


def _is_of(report: RiskReport, context: Context) -> bool:
    return (report.details.ctx, report.details.seed) == (context.ctx, context.seed)


def _first_rate(summary: Summary) -> tuple[int, int, int]:
    """Hits at 1 % of false alarms, members, non-members; no hits where nothing can be said."""
    return (summary.rates[0].hits if summary.rates else 0), summary.members, summary.non_members
