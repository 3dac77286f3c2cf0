"""`fitchain proof reaudit` and `fitchain job consent`, as people run them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fitchain.pod.compute.dataset import Table, register
from fitchain.pod.jobs.journal import DatasetRow, Journal
from fitchain.pod.parties.owner.disclosed import DISCLOSED
from fitchain.pod.ports.agreement import Audits, AuditTerms, Outcome
from fitchain.pod.values.ids import AgreementId, AuditRef
from tests.audit_scenario import AuditScenario
from tests.chain_fixtures import Account
from tests.cli_fixtures import Fitchain


@pytest.fixture(scope="module")
def settled(scenario: AuditScenario) -> AgreementId:
    """A job without verifiers that its scientist accepted."""
    id = scenario.ended(AuditTerms())
    scenario.parties.by_scientist.accept_result(id)
    return id


@pytest.fixture(scope="module")
def panel(scenario: AuditScenario) -> str:
    return str(scenario.staff.panel(scenario.parties.owner.chain, "a checker's own"))


@pytest.fixture(scope="module")
def checker(open_account: Callable[..., Account]) -> Account:
    return open_account()


@pytest.fixture(scope="module")
def owner(scenario: AuditScenario, settled: AgreementId) -> Account:
    """The owner, whose home knows the dataset and the job."""
    account, terms = scenario.parties.owner, scenario.parties.terms
    journal = Journal(account.chain.settings.home / "journal.db")
    card = register(Table.of({"x": np.arange(9.0)}), bytes(32), "findings").card.encode()
    journal.keep_dataset(DatasetRow(terms.dataset, Path("gone"), {}, b"", terms.dataset_root, card, "none"))
    journal.keep_fact(AuditRef(settled), DISCLOSED, "0")
    journal.close()
    return account


def test_consent_is_asked_for_once_and_given_by_the_owner(
    fitchain: Fitchain,
    scenario: AuditScenario,
    settled: AgreementId,
    panel: str,
    checker: Account,
    owner: Account,
) -> None:
    command = ("proof", "reaudit", settled.short, "--panel", panel[:10], "--segments", "3", "--fee", "1", "--no-wait")
    before = checker.chain.fit_balance(checker.address)
    code, asked, said = fitchain(checker, *command)
    assert (code, asked["ordinal"], asked["state"], asked["fees"]) == (0, 1, "ASKED", "3")
    for told in ("audit: 3 verifiers replay ", '"a checker\'s own"', "locks: 3 FIT of yours", "has 1d to consent"):
        assert told in said
    assert "Ctrl-C" not in said  # it does not wait
    code, asked, said = fitchain(checker, *command)
    assert asked["ordinal"] == 1 and "nothing more is locked" in said and "locks:" not in said
    assert before - checker.chain.fit_balance(checker.address) == 3 * 10**18
    code, answer, _ = fitchain(checker, "job", "consent", settled.short)
    assert code == 3 and "a dataset of another home" in answer["error"]["message"]
    assert [(job["agreement"], job["questions"]) for job in fitchain(owner, "job", "list")[1]["jobs"]][-1] == (
        str(settled),
        [1],
    )
    (waiting,) = fitchain(owner, "job", "show", settled.short)[1]["questions"]
    assert (waiting["ordinal"], waiting["asker"], waiting["panel"]) == (1, checker.address, panel)
    for typed, kind in (("", "AccessRefused"), ("no\n", "Unusable")):
        code, answer, said = fitchain(owner, "job", "consent", settled.short, typed=typed)
        assert (code, answer["error"]["kind"]) == (3, kind)
        shown = " ".join(said.split())  # which was folded
        assert "a checker's own" in shown and "mind its verifiers are drawn from whom" in shown
        assert "all other audits of the dataset" in shown
    journal = Journal(owner.chain.settings.home / "journal.db")
    assert journal.decision(AuditRef(settled, 1)) is None
    journal.close()
    assert fitchain(owner, "job", "consent", settled.short, "--no")[1]["decision"] == "refused"
    assert fitchain(owner, "job", "show", settled.short)[1]["questions"] == []
    assert fitchain(owner, "job", "list")[1]["jobs"][-1]["questions"] == []
    # It may change its mind.
    code, consented, _ = fitchain(owner, "job", "consent", settled.short, "--audit", "1", typed="yes\n")
    assert (code, consented["decision"], consented["asker"]) == (0, "consented", checker.address)
    assert consented["panel"]["name"] == "a checker's own" and consented["concerns"]
    asking = scenario.parties.by_owner.asked_audit(AuditRef(settled, 1))
    scenario.parties.by_owner.consent(asking)
    code, answer, _ = fitchain(owner, "job", "consent", settled.short)
    assert code == 3 and "nobody asks for another audit" in answer["error"]["message"]


def test_verdict_is_told_to_whoever_asks_again_and_ends_with_its_exit_code(
    fitchain: Fitchain, scenario: AuditScenario, settled: AgreementId, panel: str, checker: Account
) -> None:
    ref, reader = AuditRef(settled, 1), scenario.reader
    reader.chain.node.request("anvil_mine", hex(reader.chain.constants.turn_blocks + 2))
    reader.draw(ref)
    scenario.staff.join(reader.chain, settled, 1)
    scenario.staff.vote(reader.chain, settled, Outcome.MATCH, 1)
    reader.advance(ref)
    command = ("proof", "reaudit", settled.short, "--panel", panel[:10], "--segments", "3", "--fee", "1")
    code, told, said = fitchain(checker, *command)
    assert (code, told["ordinal"], told["verdict"], told["state"]) == (0, 1, "Match", "CONCLUDED"), said
    assert told["segments"] and len(told["audit"]["seats"]) == 3
    assert told["next"] == [f"fitchain trust add {panel[:10]}", "fitchain proof verify MODEL CERT"]
    assert "Ctrl-C costs nothing" in said
    assert fitchain(checker, *command, "--no-wait")[1]["ordinal"] == 2  # that answer is told: this is another question


@pytest.mark.long
def test_owner_that_stays_silent_is_told_with_exit_code_3(
    fitchain: Fitchain, settled: AgreementId, panel: str, checker: Account
) -> None:
    before = checker.chain.fit_balance(checker.address)
    words = ("--panel", panel[:10], "--fee", "1", "--segments", "2", "--consent-window", "1s")
    code, told, said = fitchain(checker, "proof", "reaudit", settled.short, *words)
    assert (code, told["state"], told["verdict"]) == (3, "UNANSWERED", None), said
    assert "took the fees back" in said
    assert checker.chain.fit_balance(checker.address) == before


def test_mismatch_ends_with_exit_code_1(
    fitchain: Fitchain, scenario: AuditScenario, settled: AgreementId, panel: str, checker: Account
) -> None:
    words = ("proof", "reaudit", settled.short, "--panel", panel[:10], "--fee", "1", "--segments", "1")
    ref = AuditRef(settled, fitchain(checker, *words, "--no-wait")[1]["ordinal"])
    scenario.parties.by_owner.consent(scenario.parties.by_owner.asked_audit(ref))
    reader = Audits(scenario.parties.owner.chain)
    reader.chain.node.request("anvil_mine", hex(reader.chain.constants.turn_blocks + 2))
    reader.draw(ref)
    scenario.staff.join(reader.chain, settled, ref.ordinal)
    scenario.staff.vote(reader.chain, settled, Outcome.MISMATCH, ref.ordinal)
    reader.advance(ref)
    code, told, _ = fitchain(checker, *words)
    assert (code, told["verdict"]) == (1, "Mismatch")


def test_no_more_segments_are_asked_for_than_the_job_has(
    fitchain: Fitchain, scenario: AuditScenario, settled: AgreementId, panel: str, checker: Account
) -> None:
    words = ("proof", "reaudit", settled.short, "--panel", panel[:10], "--fee", "1", "--segments", "4000", "--no-wait")
    code, asked, said = fitchain(checker, *words)
    job = scenario.parties.by_owner.terms(settled)
    segments = -(-job.steps // job.segment_steps)
    assert code == 0 and f"{segments} of {segments} segment" in said
    ref = AuditRef(settled, asked["ordinal"])
    assert scenario.parties.by_owner.asked_audit(ref).terms.drawn_segments == segments


def test_job_whose_removal_was_asked_for_is_not_audited_again(
    fitchain: Fitchain, scenario: AuditScenario, settled: AgreementId, panel: str, checker: Account, owner: Account
) -> None:
    """Comes after all that is audited again."""
    words = ("proof", "reaudit", settled.short, "--panel", panel[:10], "--fee", "1", "--segments", "5", "--no-wait")
    asked = fitchain(checker, *words)[1]["ordinal"]
    assert fitchain(owner, "job", "consent", settled.short, "--audit", str(asked), "--yes")[0] == 0
    code, answer, _ = fitchain(owner, "job", "remove", settled.short, "--yes")
    assert code == 3 and f"a person said yes to audit {asked}" in answer["error"]["message"]
    assert fitchain(owner, "job", "consent", settled.short, "--audit", str(asked), "--no")[0] == 0
    code, answer, said = fitchain(owner, "job", "remove", settled.short, typed="no\n")
    assert code == 3 and "nothing was deleted" in answer["error"]["message"]
    assert "no other audit can be consented to" in " ".join(said.split())
    code, answer, _ = fitchain(checker, "job", "remove", settled.short, "--yes")
    assert code == 3 and "a dataset of another home" in answer["error"]["message"]
    code, answer, _ = fitchain(owner, "job", "remove", settled.short, "--yes", "--reason", "the study is over")
    assert (code, answer["decision"], answer["kept"]) == (0, "removal", {})
    assert fitchain(owner, "job", "show", settled.short)[1]["history"][-1]["reason"] == "the study is over"
    code, answer, _ = fitchain(owner, "job", "consent", settled.short, "--audit", str(asked), "--yes")
    assert code == 3 and "is being deleted, as this home's person asked" in answer["error"]["message"]
    assert "has the fees back" in answer["error"]["hint"]


def test_job_that_is_not_settled_is_not_audited_again(
    fitchain: Fitchain, scenario: AuditScenario, panel: str, checker: Account
) -> None:
    id = scenario.parties.request()
    code, answer, _ = fitchain(checker, "proof", "reaudit", id.short, "--panel", panel[:10])
    assert code == 3 and "only a job that is settled is audited again" in answer["error"]["message"]
    code, answer, _ = fitchain(checker, "proof", "reaudit", id.short, "--panel", "pool")
    assert code == 3
