"""Pods killed at each step of an audit, with SIGKILL, and started again: the audit ends as the
undisturbed one does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from fitchain.pod.compute.dataset import Policy
from fitchain.pod.parties.scientist import delivery, publish_model
from fitchain.pod.ports.agreement import AuditTerms, Outcome, State
from fitchain.pod.ports.chain import Chain
from fitchain.pod.values.audit_mode import AuditMode
from fitchain.pod.values.ids import AgreementId
from tests.chain_fixtures import ETHER, Devnet
from tests.faults.restarted_pod import restarted_pods
from tests.pods import BOND, HOUR_S, PRICE, Party, Workshop, module_file, offer_table

pytestmark = pytest.mark.long

FEE, STAKE = ETHER, 1000 * ETHER
POINTS = {
    "owner": [
        "send:draw:after",
        "write::after",
        "keep_fact:evidence/0:before",
        "keep_fact:evidence/0:after",
        "send:submit:after",
        "keep_fact:key:before",
        "send:release:after",
    ],
    "verifier": [
        "send:join:before",
        "send:join:after",
        "replay::before",
        "keep_fact:ballot/0:before",
        "keep_fact:ballot/0:after",
        "send:commit:after",
        "send:reveal:after",
        "send:withdraw:after",
    ],
    "scientist": ["record:received:before"],
}


@dataclass(frozen=True)
class Survived:
    """The job, where each pod died, and what they wrote."""

    id: AgreementId
    verifier: Party
    died: dict[str, list[str]]
    statuses: list[int]
    log: str


@pytest.fixture(scope="module")
def job(
    workshop: Workshop,
    table_path: Path,
    open_verifier: Callable[[str], Party],
    running_devnet: Devnet,
    tmp_path_factory: pytest.TempPathFactory,
) -> Survived:
    owner, scientist, verifier = workshop.owner, workshop.scientist, open_verifier("verifier")
    policy = Policy(manual_approval=False, disclosure_mode=AuditMode.OPEN, disclosure_cap=None)
    dataset = offer_table(owner, table_path, policy=policy)
    model = publish_model(scientist.home, module_file(scientist.home.settings.home), dataset.id, name="Tiny")
    here = replace(workshop, dataset=dataset, model=model)
    id = here.request(audit=AuditTerms(2, verifiers=1, mode=AuditMode.OPEN, window=HOUR_S, fee=FEE))
    log = tmp_path_factory.mktemp("restarted_pods") / "log"
    with restarted_pods(
        running_devnet.folder, log, POINTS, owner=owner, verifier=verifier, scientist=scientist
    ) as pods:
        over = owner.has(id, "wiped"), verifier.has(id, "wiped"), scientist.has(id, "settled")
        here.until(lambda: all(reached() for reached in over) or not all(pod.lives for pod in pods.values()))
        statuses = [pod.end() for pod in pods.values()]
    return Survived(id, verifier, {role: pod.died for role, pod in pods.items()}, statuses, log.read_text())


def test_every_pod_died_at_every_step(job: Survived) -> None:
    assert job.died == POINTS, job.log
    assert job.statuses == [0, 0, 0], job.log


def test_audit_ends_as_the_undisturbed_one(workshop: Workshop, job: Survived) -> None:
    home = workshop.owner.home
    assert home.audits.read(job.id).verdict == Outcome.MATCH
    assert home.agreements.read(job.id).state == State.SETTLED
    assert home.agreements.owed(workshop.owner.address) == PRICE + BOND
    assert delivery(workshop.scientist.home, job.id).model.exists()
    assert job.verifier.fit() == STAKE + FEE


def test_every_step_was_taken_once_and_nothing_reverted(workshop: Workshop, job: Survived, reader: Chain) -> None:
    names = [event.name for event in workshop.owner.home.agreements.events(job.id)]
    steps = ("Drawn", "Joined", "EvidenceSubmitted", "Committed", "Revealed", "Concluded", "Released", "Settled")
    assert [names.count(step) for step in steps] == [1] * len(steps)
    senders = {party.address.lower() for party in (workshop.owner, workshop.scientist, job.verifier)}
    sent = [
        transaction["hash"]
        for number in range(reader.deployment.block, reader.head() + 1)
        for transaction in reader.node.request("eth_getBlockByNumber", hex(number), True)["transactions"]
        if transaction["from"] in senders
    ]
    receipts = [reader.node.request("eth_getTransactionReceipt", transaction) for transaction in sent]
    assert [receipt["status"] for receipt in receipts] == ["0x1"] * len(receipts)


def test_no_identity_and_no_evidence_is_left(workshop: Workshop, job: Survived) -> None:
    assert list(job.verifier.home.job_folder(job.id).iterdir()) == []
    folder = workshop.owner.home.job_folder(job.id)
    names = {path.name for path in folder.iterdir()}
    assert not [name for name in names if name.endswith((".age", ".part")) or name.startswith((".evidence", ".sealed"))]
