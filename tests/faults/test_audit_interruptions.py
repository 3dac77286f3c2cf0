"""Pods killed at each step of an audit, with SIGKILL, and started again: the audit ends as the
undisturbed one does, nothing is sent twice and nothing that is sent is refused."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pytest

from fitchain.pod.jobs import history
from fitchain.pod.parties.scientist import delivery, publish_model
from fitchain.pod.ports.agreement import AuditTerms, Outcome, Phase, State
from fitchain.pod.ports.chain import Chain
from fitchain.pod.ports.sealed import new_identity
from fitchain.pod.values.audit_mode import AuditMode
from fitchain.pod.values.ids import AgreementId, AuditRef, PanelId
from tests.audited_workshop import DAY_S, FEE, SEAT_STAKE, panel_of
from tests.chain_fixtures import MONEY, Devnet
from tests.faults.killable_pod import QUESTION
from tests.faults.restarted_pod import restarted_pods
from tests.pods import BOND, HOUR_S, PRICE, Party, Workshop, module_file, offer_table
from tests.policies import open_policy

pytestmark = pytest.mark.long

Points = Mapping[str, Sequence[str]]
HONEST: Points = {
    "owner": [
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
    "scientist": ["send:draw:after", "record:received:before", "send:acceptRelease:after"],
}
GARBAGE: Points = {
    "owner": [],
    "verifier": ["send:release:before", "send:release:after", "record:wiped:before"],
    "scientist": ["send:complain:before", "send:complain:after", "record:complained:before", "record:received:after"],
}
AGAIN: Points = {
    "owner": [
        "keep_fact:disclosed:before",
        "send:consent:before",
        "send:consent:after",
        "keep_fact:evidence/0:after",
        "send:submit:after",
        "record:wiped:before",
    ],
    "verifier": ["send:join:after", "keep_fact:ballot/0:after", "send:commit:after", "send:reveal:after"],
    "asker": ["send:askAgain:before", "send:askAgain:after", "send:draw:after", "record:verdict:before"],
}


@dataclass(frozen=True)
class AuditableWorkshop:
    """A workshop whose dataset may be audited, and a panel of which one verifier is left once it is
    asked."""

    workshop: Workshop
    verifier: Party
    leaver: Party
    panel: PanelId

    def request(self) -> AgreementId:
        """Ask for an audited job; then one of the two that stand in its jury leaves."""
        terms = AuditTerms(
            drawn_segments=2,
            verifiers=1,
            mode=AuditMode.SAMPLED,
            panel=self.panel,
            window=HOUR_S,
            wait=DAY_S,
            fee_per_seat=FEE,
            seat_stake=SEAT_STAKE,
        )
        id = self.workshop.request(audit=terms)
        self.leaver.home.verifiers.leave_panel(self.panel)
        return id

    def come_back(self) -> None:
        """Let the leaver stand again, for later requests."""
        self.leaver.home.verifiers.join_panel(self.panel)


@dataclass(frozen=True)
class Survived:
    """A job, where each pod died, and what they wrote."""

    id: AgreementId
    died: dict[str, list[str]]
    statuses: list[int]
    log: str

    def died_everywhere(self, points: Points) -> None:
        """Check that each pod died wherever it should, and ended well."""
        assert self.died == points, self.log
        assert self.statuses == [0] * len(points), self.log


@pytest.fixture(scope="module")
def bench(workshop: Workshop, table_path: Path, open_verifier: Callable[[str], Party]) -> AuditableWorkshop:
    verifier, leaver = open_verifier("verifier"), open_verifier("leaver")
    panel = panel_of(workshop.scientist.home.chain, "the two", [verifier, leaver])
    policy = open_policy(
        manual_approval=False, disclosure_mode=AuditMode.SAMPLED, disclosure_cap=None, panels=(str(panel),)
    )
    dataset = offer_table(workshop.owner, table_path, policy=policy)
    home = workshop.scientist.home
    model = publish_model(home, module_file(home.settings.home), dataset.id, name="Tiny")
    return AuditableWorkshop(replace(workshop, dataset=dataset, model=model), verifier, leaver, panel)


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("restarted_pods") / "log"


@pytest.fixture(scope="module")
def job(bench: AuditableWorkshop, running_devnet: Devnet, log: Path) -> Survived:
    owner, scientist, verifier = bench.workshop.owner, bench.workshop.scientist, bench.verifier
    id = bench.request()
    with restarted_pods(
        running_devnet.folder, log, HONEST, owner=owner, verifier=verifier, scientist=scientist
    ) as pods:
        over = owner.has(id, "wiped"), verifier.has(id, "wiped"), scientist.has(id, "settled")
        bench.workshop.until(lambda: all(reached() for reached in over) or not all(pod.lives for pod in pods.values()))
        statuses = [pod.end() for pod in pods.values()]
    bench.come_back()
    return Survived(id, {role: pod.died for role, pod in pods.items()}, statuses, log.read_text())


def refused(reader: Chain, first: int, parties: Sequence[Party]) -> list[str]:
    """Transactions of some accounts that were mined and refused, from a block on."""
    senders = {party.address.lower() for party in parties}
    sent = [
        transaction["hash"]
        for number in range(first, reader.head() + 1)
        for transaction in reader.node.request("eth_getBlockByNumber", hex(number), True)["transactions"]
        if transaction["from"] in senders
    ]
    receipts = [reader.node.request("eth_getTransactionReceipt", transaction) for transaction in sent]
    return [receipt["transactionHash"] for receipt in receipts if receipt["status"] != "0x1"]


def test_every_pod_died_at_every_step(job: Survived) -> None:
    job.died_everywhere(HONEST)


def test_audit_ends_as_the_undisturbed_one(bench: AuditableWorkshop, job: Survived) -> None:
    home = bench.workshop.owner.home
    audit = home.audits.read(AuditRef(job.id))
    assert (audit.verdict, audit.phase) == (Outcome.MATCH, Phase.CONCLUDED)
    assert home.agreements.read(job.id).state == State.SETTLED
    assert home.agreements.owed(bench.workshop.owner.address) == PRICE + BOND
    assert delivery(bench.workshop.scientist.home, job.id).model.exists()
    assert bench.verifier.fit() == MONEY + FEE


def test_every_step_was_taken_once_and_nothing_reverted(bench: AuditableWorkshop, job: Survived, reader: Chain) -> None:
    names = [event.name for event in bench.workshop.owner.home.agreements.events(job.id)]
    steps = ("Drawn", "Joined", "EvidenceSubmitted", "Committed", "Revealed", "Concluded", "Released", "ReleaseClosed")
    assert [names.count(step) for step in steps] == [1] * len(steps)
    parties = bench.workshop.owner, bench.workshop.scientist, bench.verifier
    assert refused(reader, reader.deployment.block, parties) == []


def test_histories_tell_all_that_was_sent_once(bench: AuditableWorkshop, job: Survived) -> None:
    """Also what a pod was killed right after: it finds it done, and never gets its receipt."""
    workshop = bench.workshop
    sent_once(workshop.owner, job.id, "accepted", "begun", "finished", "evidence", "released")
    sent_once(bench.verifier, job.id, "drawn", "joined", "committed", "revealed")
    sent_once(workshop.scientist, job.id, "requested", "release_accepted")


def sent_once(party: Party, id: AgreementId, *kinds: str, ordinal: int = 0) -> None:
    """Check that a history has an entry of each kind, and only one."""
    told = [line.entry.kind for line in party.home.journal.history(id) if line.ordinal == ordinal]
    assert {kind: told.count(kind) for kind in kinds} == dict.fromkeys(kinds, 1)


def test_no_identity_and_no_evidence_is_left(bench: AuditableWorkshop, job: Survived) -> None:
    assert list(bench.verifier.home.job_folder(job.id).path.iterdir()) == []
    folder = bench.workshop.owner.home.job_folder(job.id).path
    names = {path.name for path in folder.iterdir()}
    assert not [name for name in names if name.endswith((".age", ".part")) or name.startswith((".evidence", ".sealed"))]


def test_complaint_and_release_are_made_once_however_often_pods_die(
    bench: AuditableWorkshop,
    job: Survived,
    running_devnet: Devnet,
    log: Path,
    reader: Chain,
    pass_time: Callable[[int], None],
) -> None:
    owner, scientist, verifier = bench.workshop.owner, bench.workshop.scientist, bench.verifier
    first, earned = reader.head() + 1, verifier.fit()
    id = bench.request()
    audits = owner.home.audits
    with restarted_pods(
        running_devnet.folder, log, GARBAGE, owner=owner, verifier=verifier, scientist=scientist
    ) as pods:
        bench.workshop.until(lambda: audits.read(AuditRef(id)).phase is Phase.COMMITTING)
        owner.home.keep_secret(owner.home.job_folder(id).path / "identity.age", new_identity()[0])
        bench.workshop.until(scientist.has(id, "received"))
        bench.workshop.until(lambda: audits.read(AuditRef(id)).seats[0].released)
        pass_time(HOUR_S + 1)
        over = owner.has(id, "wiped"), verifier.has(id, "wiped"), scientist.has(id, "settled")
        bench.workshop.until(lambda: all(reached() for reached in over) or not all(pod.lives for pod in pods.values()))
        statuses = [pod.end() for pod in pods.values()]
    bench.come_back()
    Survived(id, {role: pod.died for role, pod in pods.items()}, statuses, log.read_text()).died_everywhere(GARBAGE)
    names = [event.name for event in owner.home.agreements.events(id)]
    assert [names.count(step) for step in ("Complained", "Released", "ReleaseClosed")] == [1, 2, 1]
    assert [release.by for release in audits.releases(AuditRef(id))] == [owner.address, verifier.address]
    assert delivery(scientist.home, id).model.exists()
    sent_once(scientist, id, "complained")
    sent_once(verifier, id, "joined", "committed", "revealed", "released")
    assert verifier.fit() == earned + FEE
    assert refused(reader, first, [owner, scientist, verifier]) == []


def test_audit_asked_again_is_paid_once_however_often_pods_die(
    bench: AuditableWorkshop,
    job: Survived,
    running_devnet: Devnet,
    log: Path,
    reader: Chain,
    open_party: Callable[..., Party],
) -> None:
    owner, verifier, asker = bench.workshop.owner, bench.verifier, open_party("asker")
    first, earned, spent = reader.head() + 1, verifier.fit(), asker.fit()
    words = {"agreement": str(job.id), "panel": str(bench.panel)}
    (asker.home.settings.home / QUESTION).write_text(json.dumps(words))
    ref = AuditRef(job.id, 1)
    with restarted_pods(running_devnet.folder, log, AGAIN, owner=owner, verifier=verifier, asker=asker) as pods:
        bench.workshop.until(lambda: owner.home.agreements.asking() != [])
        bench.leaver.home.verifiers.leave_panel(bench.panel)
        over: list[Callable[[], bool]] = [
            partial(party.home.journal.happened, ref, history.Wiped) for party in (owner, verifier)
        ]
        over.append(lambda: asker.home.journal.fact(ref, "over") is not None)
        bench.workshop.until(lambda: all(reached() for reached in over) or not all(pod.lives for pod in pods.values()))
        statuses = [pod.end() for pod in pods.values()]
    Survived(job.id, {role: pod.died for role, pod in pods.items()}, statuses, log.read_text()).died_everywhere(AGAIN)
    audit = owner.home.audits.read(ref)
    assert (audit.verdict, audit.phase) == (Outcome.MATCH, Phase.CONCLUDED)
    names = [event.name for event in owner.home.agreements.events(job.id) if event.args.get("ordinal") == 1]
    steps = ("AuditAsked", "AuditConsented", "Drawn", "Joined", "EvidenceSubmitted", "Committed", "Revealed")
    assert [names.count(step) for step in steps] == [1] * len(steps)
    sent_once(owner, job.id, "consented", "evidence", ordinal=1)
    sent_once(verifier, job.id, "joined", "committed", "revealed", ordinal=1)
    assert spent - asker.fit() == audit.fee_per_seat == verifier.fit() - earned
    assert refused(reader, first, [owner, verifier, asker]) == []
