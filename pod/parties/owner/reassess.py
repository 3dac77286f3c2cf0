"""The privacy-risk report of an ended job made again: the same records, offer and model must give
the same report.
"""

from __future__ import annotations

import os

from fitchain.pod.jobs.home import Home
from fitchain.pod.jobs.removal import describe_removal
from fitchain.pod.jobs.worker import Emit
from fitchain.pod.parties.owner.examine import dataset_of
from fitchain.pod.parties.owner.risk import assess_folder
from fitchain.pod.parties.owner.run import prepare
from fitchain.pod.proof.certificate import Statement
from fitchain.pod.proof.certificate.envelope import read_envelope
from fitchain.pod.values.digest import Digest
from fitchain.pod.values.errors import ClaimMismatch, DigestMismatch, NotFound
from fitchain.pod.values.ids import AgreementId
from fitchain.pod.values.job_folder import JobFolder, Scratch, scratch
from fitchain.pod.values.risk import RiskReport


def report_again(home: Home, id: AgreementId, on_event: Emit | None = None) -> RiskReport:
    """Make the report of an ended job anew, from the records, the offer and the model.

    Args:
        home: the owner's, opened with its key, with the dataset's file where it was.
        id: the job.
        on_event: told the worker's events.

    Raises:
        NotFound: the job has no trained model in this home.
        ClaimMismatch: the model there is not the one that the chain has.
        DatasetChanged: the records are not those that were registered.
        EnvironmentRefused: this host does not reproduce the recipe's class.
    """
    run, folder = home.agreements.run_record(id), home.job_folder(id)
    if run.end_block is None or not folder.model.exists():
        gone = describe_removal(home, id) or "only who has the data can make a report"
        raise NotFound(f"the job {id.short} has no trained model in this home", gone)
    _, card = dataset_of(home, home.agreements.read(id))
    with scratch(folder.path, Scratch.ASSESSMENT) as path:
        target = JobFolder(path)
        target.run.mkdir()
        for source, link in (
            (folder.recipe, target.recipe),
            (folder.graph, target.graph),
            (folder.initial, target.initial),
            (folder.model, target.final),
        ):
            os.link(source, link)
        if folder.base.exists():
            os.link(folder.base, target.base)
        context = prepare(home, id, run, target).context
        report = assess_folder(home, id, target, context, card, on_event)
    if report.summary.model != run.model_root:
        raise ClaimMismatch(
            f"the model in {folder} has the root {report.summary.model}, and the chain has {run.model_root}"
        )
    return report


def require_same(report: RiskReport, expected: Digest, where: str) -> None:
    """Compare a report that was made again with a digest.

    Raises:
        DigestMismatch: it is another.
    """
    if report.digest != expected:
        raise DigestMismatch(
            f"made again, the risk report has the digest {report.digest}, and {where} {expected}",
            "it was made of another model, of other records, or by other code",
        )


def certified_digest(folder: JobFolder) -> Digest | None:
    """The report's digest by the certificate in a job's folder; None where that names none.

    Raises:
        NotFound: there is no certificate.
    """
    if not folder.certificate.exists():
        raise NotFound(f"there is no certificate in {folder}")
    statement = Statement.parse(read_envelope(folder.certificate.read_bytes()).payload)
    return None if statement.risk is None else statement.risk.digest
