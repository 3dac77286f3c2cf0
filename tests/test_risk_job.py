"""The privacy-risk report of a job: made before anything leaves, named in the certificate, made
again; and a limit that holds a job before its end."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fitchain.cli.app import run
from fitchain.cli.views.verdict import describe_risk
from fitchain.pod.compute.checkpoint import read_leaves
from fitchain.pod.compute.dataset import RiskTerms
from fitchain.pod.jobs import history
from fitchain.pod.jobs.journal import Journal
from fitchain.pod.jobs.trail import export_trail
from fitchain.pod.jobs.worker import Context
from fitchain.pod.parties.owner import PrivacyOffer, kept_report, report_again, require_same
from fitchain.pod.parties.owner import risk as owners_risk
from fitchain.pod.parties.owner.asked import lost
from fitchain.pod.parties.owner.evidence import bound_report
from fitchain.pod.parties.owner.examine import TRAINING_S
from fitchain.pod.ports.agreement import State
from fitchain.pod.ports.store.local import LocalStore
from fitchain.pod.proof.certificate import claims, verify
from fitchain.pod.proof.certificate.envelope import read_envelope, seal
from fitchain.pod.proof.certificate.risk import RiskClaim
from fitchain.pod.proof.certificate.statement import Statement
from fitchain.pod.values.digest import Digest, Root, sha256
from fitchain.pod.values.errors import ClaimMismatch, DigestMismatch, HostUnusable, InputRefused
from fitchain.pod.values.ids import AgreementId
from fitchain.pod.values.job_folder import JobFolder, Kept
from fitchain.pod.values.leaf import results_word
from fitchain.pod.values.risk import Parts, RiskReport
from fitchain.pod.values.state import read_safetensors, write_safetensors
from tests.audits import trained_here
from tests.chain_fixtures import Devnet
from tests.faults.restarted_pod import restarted_pods
from tests.pods import RECIPE, Party, PodProcess, Workshop, owner_runs, private_table, scientist_runs, workshop_of
from tests.policies import open_policy
from tests.training_jobs import CTX, SEED

HELD_OUT = 0.3
RANGES = dict.fromkeys(("alpha", "beta", "gamma", "delta"), (-10.0, 10.0))
TERMS = RECIPE | {"held_out": HELD_OUT}


def policy_with(risk: RiskTerms) -> dict[str, Any]:
    return {"policy": open_policy(manual_approval=False, held_out=HELD_OUT, risk=risk)}


@pytest.fixture(scope="module")
def workshop(open_party: Callable[..., Party], table_path: Path) -> Workshop:
    """A dataset whose policy lets a report's summary out."""
    risk = RiskTerms(summary_leaves=True)
    return workshop_of(open_party("owner"), open_party("scientist"), table_path, **policy_with(risk))


def finished(workshop: Workshop, *states: State, **changes: Any) -> AgreementId:
    """A job that was played to its end."""
    id = workshop.request(**{"recipe_overrides": TERMS} | changes)
    with owner_runs(workshop.owner), scientist_runs(workshop.scientist):
        workshop.until_state(id, *(states or (State.SETTLED,)))
        workshop.until(workshop.scientist.has(id, "received"))
    return id


@pytest.fixture(scope="module")
def settled(workshop: Workshop) -> AgreementId:
    return finished(workshop)


def certified(party: Party, id: AgreementId) -> Statement:
    return Statement.parse(read_envelope(party.home.job_folder(id).certificate.read_bytes()).payload)


def command(party: Party, devnet: Devnet, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """Run the command line as a party; its exit code."""
    monkeypatch.setenv("FITCHAIN_DEVNET", str(devnet.folder))
    side = party.side
    return run([*arguments, "--home", str(side.home), "--passphrase-file", str(side.passphrase_file), "--json"])


def test_report_stays_with_the_owner_and_the_certificate_shows_its_summary(
    workshop: Workshop, settled: AgreementId, running_devnet: Devnet, tmp_path: Path
) -> None:
    report = kept_report(workshop.owner.home.job_folder(settled))
    assert report is not None and report.summary.rates
    told = workshop.owner.told(settled, "assessed")
    assert (told["digest"], told["members"], told["non_members"]) == (str(report.digest), 28, 12)
    kinds = workshop.owner.kinds(settled)
    assert kinds.count("assessed") == 1 and kinds.index("assessed") < kinds.index("delivered")
    theirs = workshop.scientist.home.job_folder(settled)
    assert not theirs.risk_report.exists() and b"exposed" not in theirs.certificate.read_bytes()
    verdict = verify(theirs.model, theirs.certificate, running_devnet.settings(tmp_path))
    claim = verdict.statement.risk
    assert claim is not None and claim.digest == report.digest and claim.summary == report.summary
    words = describe_risk(verdict)
    bound = "bound in the last checkpoint, which the chain took with the delivery; what it says as the owner states"
    assert words is not None and words.endswith(f"{bound}; nobody vouches for its reference trainings")
    last = read_leaves(workshop.owner.home.job_folder(settled).path)[-1]
    assert last.report == report.parts and last.leaf.held_out == results_word(last.held_out_digest, report.parts)
    assert workshop.owner.kinds(settled).count("checkpoint") == 7
    assert Kept.RISK_REPORT in [kind for kind in Kept if workshop.owner.home.job_folder(settled).kept(kind)]


@pytest.mark.parametrize(
    "change",
    [
        {"digest": sha256(b"another")},
        {"findings": sha256(b"another")},
        {"references": sha256(b"another")},
        {"details": sha256(b"another")},
        {"details": None},
        {"auc": 0.123},
        {"model": Root(sha256(b"another"))},
    ],
    ids=lambda change: str(*change),
)
def test_a_certificate_whose_report_is_altered_is_refuted(
    workshop: Workshop, settled: AgreementId, change: dict[str, Any]
) -> None:
    statement = certified(workshop.scientist, settled)
    claims.check_risk(statement)
    assert statement.risk is not None and statement.risk.summary is not None
    of_summary = {name: value for name, value in change.items() if name in ("auc", "model")}
    summary = replace(statement.risk.summary, **of_summary)
    risk = replace(statement.risk, **({"summary": summary} if of_summary else change))
    with pytest.raises(ClaimMismatch, match="risk report"):
        claims.check_risk(replace(statement, risk=risk))


def test_a_summary_that_the_card_does_not_let_out_is_refuted(workshop: Workshop, settled: AgreementId) -> None:
    statement = certified(workshop.scientist, settled)
    for policy, says in (
        (open_policy(risk=RiskTerms()), "summary stands in the certificate True, and the dataset's card says False"),
        (open_policy(), "a risk report stands in the certificate True, and the dataset's policy"),
    ):
        with pytest.raises(ClaimMismatch, match=says):
            claims.check_risk(replace(statement, card=replace(statement.card, policy=policy)))


def test_a_summary_of_another_model_is_refuted_under_a_digest_of_its_own(
    workshop: Workshop, settled: AgreementId
) -> None:
    report = kept_report(workshop.owner.home.job_folder(settled))
    statement = certified(workshop.scientist, settled)
    assert report is not None and statement.risk is not None
    other = replace(report, summary=replace(report.summary, model=Root(sha256(b"another"))))
    risk = replace(
        statement.risk,
        digest=other.digest,
        findings=other.parts.findings,
        summary=other.summary,
        details=other.details_digest,
    )
    with pytest.raises(ClaimMismatch, match="the risk report's digest"):
        claims.check_risk(replace(statement, risk=risk))
    renamed = replace(risk, digest=replace(other.parts, model=statement.final_model).digest)
    with pytest.raises(ClaimMismatch, match="the risk report's model"):
        claims.check_risk(replace(statement, risk=renamed))


def test_another_report_or_none_signed_again_is_refuted(
    workshop: Workshop, settled: AgreementId, running_devnet: Devnet, tmp_path: Path
) -> None:
    """Each is consistent in itself and signed by the owner; the last leaf names the one that was
    made before the model was delivered."""
    owner, theirs = workshop.owner.home, workshop.scientist.home.job_folder(settled)
    report, statement = kept_report(owner.job_folder(settled)), certified(workshop.owner, settled)
    last = read_leaves(owner.job_folder(settled).path)[-1]
    assert report is not None
    milder = replace(report, summary=replace(report.summary, auc=0.123))
    salted = replace(report, salt=sha256(b"another salt"))
    for other in (milder, salted, None):
        parts = Parts.unmade(statement.final_model) if other is None else other.parts
        claim = RiskClaim.of(other, parts, last, statement.card)
        claims.check_risk(replace(statement, risk=claim))
        certificate = seal(replace(statement, risk=claim).encode(), owner.keys)
        with pytest.raises(ClaimMismatch, match="the results that leaf 6 names, with those of the risk report"):
            verify(theirs.model, certificate, running_devnet.settings(tmp_path))
    certificate = seal(replace(statement, risk=None).encode(), owner.keys)
    with pytest.raises(ClaimMismatch, match="a risk report stands in the certificate False"):
        verify(theirs.model, certificate, running_devnet.settings(tmp_path))


@pytest.mark.long
def test_made_again_it_is_the_same_and_of_another_model_it_is_refused(workshop: Workshop, settled: AgreementId) -> None:
    owner = workshop.owner.home
    folder, claim = owner.job_folder(settled), certified(workshop.owner, settled).risk
    assert claim is not None
    again = report_again(owner, settled)
    require_same(again, claim.digest, "the certificate names")
    with pytest.raises(DigestMismatch, match="made again, the risk report has the digest"):
        require_same(replace(again, summary=replace(again.summary, auc=0.123)), claim.digest, "the certificate names")
    sound = folder.model.read_bytes()
    folder.model.unlink()
    write_safetensors(folder.model, read_safetensors(folder.initial)[0])
    try:
        with pytest.raises(ClaimMismatch, match="and the chain has"):
            report_again(owner, settled)
    finally:
        folder.model.write_bytes(sound)


def test_an_owner_whose_report_is_gone_makes_it_again_for_evidence_and_reckons_the_time(
    workshop: Workshop, settled: AgreementId
) -> None:
    home, agreement = workshop.owner.home, workshop.owner.home.agreements.read(settled)
    folder, parts = home.job_folder(settled), certified(workshop.owner, settled).risk
    assert parts is not None
    bound = parts.parts(certified(workshop.owner, settled).final_model)
    training_s = float(home.journal.fact(settled, TRAINING_S) or 0)

    def missing(window_s: float) -> str:
        return lost(home, agreement, SimpleNamespace(terms=SimpleNamespace(window=window_s)))  # type: ignore[arg-type]

    assert missing(3600) == "" and training_s > 0
    assert missing(training_s).startswith("to open a reference training of its risk report takes")
    report = folder.risk_report.read_bytes()
    for spoilt in (b"no report", b""):
        folder.risk_report.write_bytes(spoilt)
        assert missing(3600) == ""
        assert missing(4 * training_s).startswith("its risk report is gone, and to make it again and open a reference")
    folder.risk_report.unlink()
    assert bound_report(home, settled, bound).parts == bound
    assert folder.risk_report.read_bytes() == report


def test_not_a_word_of_it_is_in_an_exported_trail(workshop: Workshop, settled: AgreementId, tmp_path: Path) -> None:
    export_trail(workshop.owner.home, settled, workshop.owner.address, tmp_path / "trail.jsonl")
    told = (tmp_path / "trail.jsonl").read_text()
    assert '"delivered"' in told and "assessed" not in told


def test_report_that_was_kept_before_its_pod_was_killed_is_told_once(tmp_path: Path) -> None:
    """The pod ended between the file and the history's line; the last leaf binds it already."""
    store, id = LocalStore(tmp_path / "store", tmp_path / "home"), AgreementId(sha256(b"job"))
    case, journal = trained_here(tmp_path / "job", store, held_out=0.2).assessed(), Journal(tmp_path / "journal.db")
    folder, report = JobFolder(case.folder), case.report
    assert report is not None
    folder.risk_report.write_bytes(report.encode())
    home: Any = SimpleNamespace(journal=journal, job_folder=lambda _: folder)
    card: Any = SimpleNamespace(privacy=None)
    nothing: Any = None
    for _ in range(2):
        assert owners_risk.assess_run(home, id, Context(CTX, SEED), nothing, card, threading.Event()) == report
    (line,) = journal.lines(id, history.Assessed)
    journal.close()
    assert line.entry.json()["digest"] == str(report.digest)


def test_owner_reads_it_and_draws_it(
    workshop: Workshop,
    settled: AgreementId,
    running_devnet: Devnet,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    picture = tmp_path / "roc.svg"
    assert (
        command(workshop.owner, running_devnet, monkeypatch, "job", "report", str(settled), "--svg", str(picture)) == 0
    )
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert told["report"]["summary"]["members"] == 28 and picture.read_text().startswith("<svg")
    assert command(workshop.owner, running_devnet, monkeypatch, "job", "report", str(settled), "--again") == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["digest"] == told["digest"]
    assert command(workshop.scientist, running_devnet, monkeypatch, "job", "report", str(settled)) == 3
    assert command(workshop.owner, running_devnet, monkeypatch, "job", "deliver", str(settled), "--yes") == 3
    assert "is not held" in capsys.readouterr().err


@pytest.mark.long
def test_a_pod_that_is_killed_while_it_attacks_makes_the_report_once(workshop: Workshop, tmp_path: Path) -> None:
    id = workshop.request(recipe_overrides=TERMS)
    owner = workshop.owner
    pod = PodProcess(owner, tmp_path / "log")
    workshop.until(lambda: owner.home.job_folder(id).final.exists())
    pod.kill()
    assert owner.state(id) is State.TRAINING and not owner.has(id, "delivered")()
    with owner_runs(owner), scientist_runs(workshop.scientist):
        workshop.until_state(id, State.SETTLED)
    assert owner.kinds(id).count("assessed") == 1
    claim = certified(owner, id).risk
    assert claim is not None and report_again(owner.home, id).digest == claim.digest


KILLED = (
    *("attack::after", "record:assessed:before", "bind::before", "bind::after"),
    *("send:anchor:after", "keep_fact:weights:before"),
)


@pytest.mark.nightly
def test_a_pod_that_is_killed_between_the_report_and_the_end_binds_one_report(
    workshop: Workshop, running_devnet: Devnet, tmp_path: Path
) -> None:
    """Eight leaves in groups of two: the last group waits for the report."""
    owner, log = workshop.owner, tmp_path / "log"
    id = workshop.request(recipe_overrides=TERMS | {"steps": 14})
    with scientist_runs(workshop.scientist):
        with restarted_pods(running_devnet.folder, log, {"owner": ["send:begin:after", *KILLED]}, owner=owner) as pods:
            workshop.until(lambda: workshop.scientist.has(id, "settled")() or not pods["owner"].lives)
        assert pods["owner"].died[1:] == [*KILLED], log.read_text()
    assert owner.kinds(id).count("assessed") == 1
    names = [event.name for event in owner.home.agreements.events(id)]
    assert names == ["Requested", "Accepted", "Begun", *["Anchored"] * 4, "Finished", "Settled"]
    report, claim = kept_report(owner.home.job_folder(id)), certified(owner, id).risk
    assert report is not None and claim is not None and claim.digest == report.digest
    assert report_again(owner.home, id).digest == report.digest
    theirs = workshop.scientist.home.job_folder(id)
    verify(theirs.model, theirs.certificate, running_devnet.settings(tmp_path))


@pytest.mark.long
def test_what_the_host_lacks_is_waited_for_and_what_cannot_be_told_is_said(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    errors = [HostUnusable("no room", "free some"), InputRefused("it took longer than it was given")]

    def failing(*arguments: Any) -> Any:
        raise errors.pop(0)

    monkeypatch.setattr(owners_risk, "assess_folder", failing)
    id = finished(workshop)
    claim = certified(workshop.owner, id).risk
    assert errors == [] and claim is not None and not claim.is_made and claim.summary is None
    folder = workshop.scientist.home.job_folder(id)
    verdict = verify(folder.model, folder.certificate, workshop.scientist.home.chain)
    assert "the owner states that none could be made" in (describe_risk(verdict) or "")
    assert workshop.owner.told(id, "not_assessed")["reason"] == "it took longer than it was given"
    assert not workshop.owner.has(id, "assessed")()


@pytest.mark.long
def test_under_a_budget_the_certificate_has_a_digest_whatever_became_of_the_report(
    open_party: Callable[..., Party], table_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An attack that fails may say something of a record, so nobody but the owner sees that."""
    private = workshop_of(
        open_party("private"),
        open_party("reader"),
        table_path,
        **policy_with(RiskTerms(summary_leaves=True)),
        privacy=PrivacyOffer(8, 1e-3),
        transform="ranges",
        ranges=RANGES,
        classes=("ill", "well"),
    )
    terms = {name: value for name, value in TERMS.items() if name != "metrics"} | {"privacy": {"epsilon": 3}}
    made = finished(private, recipe_overrides=terms)
    report, claim = kept_report(private.owner.home.job_folder(made)), certified(private.owner, made).risk
    assert report is not None and claim is not None and report.details.epsilon is not None
    assert (claim.digest, claim.summary, claim.details) == (report.digest, None, None)
    assert claim.findings == report.parts.findings

    def failing(*arguments: Any) -> Any:
        raise InputRefused("an operator fails")

    monkeypatch.setattr(owners_risk, "assess_folder", failing)
    unmade = finished(private, recipe_overrides=terms)
    claim = certified(private.owner, unmade).risk
    assert claim is not None and claim.is_made and claim.summary is None and claim.details is None
    assert private.owner.has(unmade, "not_assessed")()


# A limit


@pytest.fixture(scope="module")
def strict(open_party: Callable[..., Party], tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    """A dataset of which no model may give anything away."""
    table = private_table(tmp_path_factory.mktemp("strict") / "table.csv", rows=80, seed=9)
    risk = RiskTerms(most_exposed=0.0)
    return workshop_of(open_party("strict"), open_party("asker"), table, **policy_with(risk))


@pytest.mark.long
def test_a_job_beyond_the_limit_is_held_and_nothing_of_it_leaves(
    strict: Workshop,
    running_devnet: Devnet,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    made = owners_risk.assess_folder

    def exposing(*arguments: Any) -> RiskReport:
        """The report, in which at least one record is named: which are is the order seed's chance."""
        report = made(*arguments)
        rates = tuple(replace(rate, hits=max(rate.hits, 1)) for rate in report.summary.rates)
        return replace(report, summary=replace(report.summary, rates=rates))

    monkeypatch.setattr(owners_risk, "assess_folder", exposing)
    owner, id = strict.owner, strict.request(recipe_overrides=TERMS)
    with owner_runs(owner), scientist_runs(strict.scientist):
        strict.until(owner.has(id, "held"))
    assert "the policy admits 0.0%" in owner.told(id, "held")["reason"]
    folder, journal = owner.home.job_folder(id), owner.home.journal
    assert owner.state(id) is State.TRAINING and not folder.certificate.exists()
    assert read_leaves(folder.path)[-1].report is None
    assert journal.fact(id, "weights") is None and journal.fact(id, "key") is None
    with owner_runs(owner):  # started again, it does not train or attack again
        strict.until(lambda: True)
    assert owner.kinds(id).count("held") == 1 and owner.kinds(id).count("assessed") == 1

    assert command(owner, running_devnet, monkeypatch, "job", "list") == 0
    (listed,) = [job for job in json.loads(capsys.readouterr().out)["jobs"] if job["agreement"] == str(id)]
    assert listed["held"]
    assert command(owner, running_devnet, monkeypatch, "job", "deliver", str(id), "--yes", "--reason", "agreed") == 0
    assert "your bond of 6 FIT is lost, half of it burned" in capsys.readouterr().err
    with owner_runs(owner), scientist_runs(strict.scientist):
        strict.until_state(id, State.SETTLED)
    assert owner.told(id, "delivered_all_the_same")["reason"] == "agreed"
    claim = certified(owner, id).risk
    assert claim is not None and claim.summary is None  # its card lets no summary out
    assert claim.digest == Digest.parse(owner.told(id, "assessed")["digest"])


@pytest.mark.long
def test_a_model_of_which_nothing_could_be_told_is_held_by_a_limit(
    strict: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*arguments: Any) -> Any:
        raise InputRefused("it took longer than it was given")

    monkeypatch.setattr(owners_risk, "assess_folder", failing)
    id = strict.request(recipe_overrides=TERMS)
    with owner_runs(strict.owner), scientist_runs(strict.scientist):
        strict.until(strict.owner.has(id, "held"))
    assert "could not be told" in strict.owner.told(id, "held")["reason"]
    assert strict.owner.state(id) is State.TRAINING
