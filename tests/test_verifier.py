"""Examining evidence: an honest job matches, with one trace for all; what is kept back is withheld;
and no host is made to guess."""

from __future__ import annotations

import shutil
import signal
import sys
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import Mock

import pytest

from fitchain.pod.compute.checkpoint import Unmoved, read_leaves, state_steps
from fitchain.pod.jobs.exchange import fetch_key, send_folder
from fitchain.pod.jobs.worker import Context, SegmentAudited
from fitchain.pod.jobs.worker.events import Diverged, LeafRecorded
from fitchain.pod.jobs.worker.task import Audit, Recompute, read_task
from fitchain.pod.parties.verifier import Verifier, examine
from fitchain.pod.ports.agreement import audit_id
from fitchain.pod.ports.sealed import new_identity, seal_file
from fitchain.pod.ports.store import Cid
from fitchain.pod.ports.store.local import LocalStore
from fitchain.pod.proof.audit.checking import Checked
from fitchain.pod.proof.audit.vote import Outcome, trace_digest
from fitchain.pod.values.digest import ZERO, sha256
from fitchain.pod.values.errors import EnvironmentRefused, HostUnusable, InputRefused
from fitchain.pod.values.ids import AgreementId, AuditRef
from fitchain.pod.values.job_folder import DELIVERY_FILES, JobFolder
from tests.attacks import cheats
from tests.audits import (
    JOB_RECIPIENT,
    REF,
    VERIFIER_RECIPIENT,
    VERIFIER_SECRET,
    Case,
    Tamper,
    trained,
    trained_here,
    work_here,
)

module: Any = import_module(examine.__module__)  # the package has a function of the same name


@pytest.fixture(scope="module")
def honest(store: LocalStore, tmp_path_factory: pytest.TempPathFactory) -> Case:
    """A job trained by a worker."""
    return trained(tmp_path_factory.mktemp("honest") / "job", store)


@pytest.fixture(scope="module")
def delivered(honest: Case) -> Cid:
    """Its delivery."""
    return honest.deliver()


def test_an_honest_job_matches_with_one_trace(honest: Case, delivered: Cid) -> None:
    facts = honest.facts(delivered, drawn=2)
    one, other = honest.examined(facts), honest.examined(facts)
    assert (one.outcome, one.problems, one.lasting) == (Outcome.MATCH, (), True)
    assert tuple(each.index for each in one.audited) == facts.audited
    assert (one.outcome, one.trace) == (other.outcome, other.trace)
    states = [each.before for each in one.audited]
    assert one.trace == trace_digest(facts.audit, 0, states)
    assert not {leaf.leaf.state for leaf in read_leaves(honest.folder)} & set(states)  # no leaf gives a trace away
    assert ZERO not in states


def test_a_cheat_and_another_delivery_mismatch(honest: Case) -> None:
    case = honest.copy("cheat")
    cheats.tampered_state(case.folder, 3)
    weights = case.deliver(
        lambda place: shutil.copyfile(case.folder / "initial.safetensors", place / DELIVERY_FILES[0])
    )
    facts = case.facts(weights)
    found = case.examined(facts, lambda place: cheats.forged_opening(place, 6))
    assert found.outcome == Outcome.MISMATCH
    assert [problem.segment for problem in found.problems] == [0, 1, 2, 4, None, 3]
    assert [each.index for each in found.audited] == [3, 5]
    states = {each.index: each.before for each in found.audited}
    traced = [states.get(index, ZERO) for index in range(6)]
    assert found.trace == trace_digest(facts.audit, 0, traced)


def test_a_problem_of_the_whole_is_voted_with_a_whole_replay(honest: Case, delivered: Cid) -> None:
    facts = honest.facts(delivered)
    one, found = honest.examined(facts), honest.examined(facts, cheats.other_path)
    assert (found.outcome, len(found.problems), found.trace) == (Outcome.MISMATCH, 1, one.trace)


def test_where_nothing_can_be_replayed_the_evidence_is_withheld(honest: Case, delivered: Cid) -> None:
    found = honest.examined(honest.facts(delivered), cheats.other_class)
    assert (found.outcome, found.trace, found.audited) == (Outcome.WITHHELD, ZERO, ())
    assert "recipe.json has the digest" in found.problems[0].what


def test_an_audit_that_is_asked_for_again_opens_no_delivery(honest: Case) -> None:
    ref = replace(REF, ordinal=1)
    facts = replace(honest.facts(None), ref=ref, audit=audit_id(ref))
    found = honest.examined(facts, identity=None)
    assert (found.outcome, found.problems) == (Outcome.MATCH, ())
    assert found.trace == trace_digest(audit_id(ref), 0, [each.before for each in found.audited])


def test_evidence_of_the_first_audit_without_an_identity_is_withheld(honest: Case, delivered: Cid) -> None:
    found = honest.examined(honest.facts(delivered), identity=None)
    assert found.outcome == Outcome.WITHHELD
    assert "no identity that opens the delivery" in found.problems[0].what


# Withheld


STRANGER = new_identity()


def replace_file(path: Path, data: bytes) -> None:
    path.unlink()
    path.write_bytes(data)


def replace_text(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    replace_file(path, text.replace(old, new).encode())


WITHHELD: dict[str, tuple[Tamper, str]] = {
    "a file is missing": (lambda place: (place / "2.safetensors").unlink(), "should hold"),
    "the evidence is none": (
        lambda place: replace_file(place / "evidence.json", b"{}"),
        "evidence.json is a fitchain/evidence/v2",
    ),
    "a metric's name is no UTF-8": (
        lambda place: replace_text(place / "evidence.json", '"loss":', '"\\ud800":'),
        "the text is not JSON",
    ),
    "the identity opens nothing": (lambda place: cheats.other_identity(place, STRANGER[0]), "does not open"),
    "the identity is none": (lambda place: cheats.other_identity(place, "secret"), "the text is no age identity"),
}


@pytest.mark.parametrize("what", WITHHELD)
def test_evidence_is_withheld_where(honest: Case, delivered: Cid, what: str) -> None:
    tamper, reason = WITHHELD[what]
    found = honest.examined(honest.facts(delivered), tamper)
    assert (found.outcome, found.trace, found.audited, found.lasting) == (Outcome.WITHHELD, ZERO, (), True)
    assert reason in found.problems[0].what


@pytest.mark.parametrize("where", ["check", "agreed_recipe"])
def test_evidence_on_which_a_check_breaks_is_withheld(
    honest: Case, delivered: Cid, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """A check with a hole would keep every seat from voting, and each would lose a tenth."""

    def broken(*_: object) -> None:
        raise KeyError("loss")

    monkeypatch.setattr(sys.modules["fitchain.pod.parties.verifier.examine"], where, broken)
    found = honest.examined(honest.facts(delivered))
    assert (found.outcome, found.lasting) == (Outcome.WITHHELD, True)
    assert found.problems[0].what == "the evidence cannot be checked: KeyError"


def garbage(store: LocalStore, place: Path) -> Cid:
    """A delivery that is no age file."""
    place.mkdir()
    for name in DELIVERY_FILES:
        (place / f"{name}.age").write_bytes(b"garbage" * 100)
    return store.add_folder(place)


def test_a_delivery_of_garbage_is_withheld(honest: Case, store: LocalStore, tmp_path: Path) -> None:
    found = honest.examined(honest.facts(garbage(store, tmp_path / "garbage")))
    assert (found.outcome, found.lasting) == (Outcome.WITHHELD, True)
    assert "not as it was sealed" in found.problems[0].what


def test_a_delivery_that_nobody_can_name_is_withheld(honest: Case) -> None:
    assert honest.examined(honest.facts(None)).outcome == Outcome.WITHHELD


def test_evidence_for_others_is_withheld(honest: Case, delivered: Cid, tmp_path: Path) -> None:
    facts = honest.facts(delivered)
    place, names = honest.plain(facts)
    cid = send_folder(honest.store, place, names, [STRANGER[1], JOB_RECIPIENT])
    found = examine(honest.store, cid, VERIFIER_SECRET, facts, tmp_path)
    assert (found.outcome, found.lasting) == (Outcome.WITHHELD, True)


def test_evidence_with_a_folder_for_a_file_is_withheld(honest: Case, delivered: Cid, tmp_path: Path) -> None:
    """It once was put down to this host's disk, and voted inconclusive."""
    facts = honest.facts(delivered)
    place, names = honest.plain(facts)
    sealed = tmp_path / "sealed"
    sealed.mkdir()
    for name in names:
        seal_file(place / name, sealed / f"{name}.age", [VERIFIER_RECIPIENT])
    (sealed / "evidence.json.age").unlink()
    (sealed / "evidence.json.age").mkdir()
    found = examine(honest.store, honest.store.add_folder(sealed), VERIFIER_SECRET, facts, tmp_path / "opened")
    assert (found.outcome, found.lasting) == (Outcome.WITHHELD, True)


@pytest.mark.parametrize(
    ("number", "withheld"), [(signal.SIGXCPU, True), (signal.SIGSEGV, True), (signal.SIGKILL, False)]
)
def test_evidence_that_stops_its_opener_is_withheld_unless_the_host_stopped_it(
    honest: Case, delivered: Cid, number: int, withheld: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = honest.facts(delivered)
    place, names = honest.plain(facts)
    cid = send_folder(honest.store, place, names, [VERIFIER_RECIPIENT])
    script = tmp_path / "python"
    script.write_text(f"#!/bin/sh\nkill -{number} $$\nsleep 60\n")
    script.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(script))
    if withheld:
        found = examine(honest.store, cid, VERIFIER_SECRET, facts, tmp_path / "opened")
        assert (found.outcome, found.lasting) == (Outcome.WITHHELD, True)
    else:
        with pytest.raises(HostUnusable):
            examine(honest.store, cid, VERIFIER_SECRET, facts, tmp_path / "opened")


def test_evidence_and_delivery_share_the_time_that_there_is(
    honest: Case, delivered: Cid, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else who drips both would have a seat miss its vote."""
    facts, clock, given_s = honest.facts(delivered), iter([0.0, 40.0, 40.0]), list[float | None]()
    evidence = honest.evidence(facts)

    def fetched(*args: Any) -> None:
        given_s.append(args[-1].seconds)

    monkeypatch.setattr(module, "fetch_folder", fetched)
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    monkeypatch.setattr(module.Evidence, "read", lambda *args: evidence)
    monkeypatch.setattr(module, "check", lambda *args: Checked((), ()))
    examine(honest.store, delivered, VERIFIER_SECRET, facts, tmp_path, None, 100.0)
    assert given_s == [100.0, 60.0]


@pytest.mark.parametrize(
    ("raised", "lasting"), [(ValueError(), False), (RecursionError(), False), (InputRefused("x"), True)], ids=repr
)
def test_what_a_hole_in_a_check_raises_is_withheld(
    honest: Case, delivered: Cid, raised: Exception, lasting: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "fetch_folder", Mock(side_effect=raised))
    found = examine(honest.store, delivered, VERIFIER_SECRET, honest.facts(delivered), tmp_path)
    assert (found.outcome, found.lasting) == (Outcome.WITHHELD, lasting)


def test_host_with_too_little_memory_blames_nobody(
    honest: Case, delivered: Cid, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "fetch_folder", Mock(side_effect=MemoryError))
    with pytest.raises(HostUnusable):
        examine(honest.store, delivered, VERIFIER_SECRET, honest.facts(delivered), tmp_path)


def test_what_the_store_lacks_may_still_come(honest: Case, delivered: Cid, tmp_path: Path) -> None:
    elsewhere = LocalStore(tmp_path / "store", tmp_path / "home")
    facts = honest.facts(delivered)
    place, names = honest.plain(facts)
    cid = send_folder(elsewhere, place, names, [VERIFIER_RECIPIENT])
    found = examine(honest.store, cid, VERIFIER_SECRET, facts, tmp_path / "opened")
    assert (found.outcome, found.lasting) == (Outcome.WITHHELD, False)


def test_a_host_of_another_class_has_no_say(store: LocalStore, tmp_path: Path) -> None:
    environment = {"class": "cpu-x86-64-v3", "threads": 1, "torch": "1.0.0+other", "probe": None}
    case = trained_here(tmp_path / "job", store, environment=environment, steps=4)
    with pytest.raises(EnvironmentRefused):
        case.examined(case.facts(case.deliver()))


# Runs that diverged

EXPLODING: dict[str, Any] = {"optimizer": {"name": "SGD", "arguments": {"weight_decay": 10.0}}}
"""With a rate of a million every step multiplies the weights by ten million: some five steps to the
end of the finite numbers."""

DIVERGING: dict[str, dict[str, Any]] = {
    "in the first segment": {"learning_rates": [[22, 1e6]], "segment_steps": 11},
    "later": {"learning_rates": [[9, 0.01], [13, 1e6]]},
    "in a segment of two steps": {"learning_rates": [[9, 0.01], [13, 1e6]], "segment_steps": 2},
    "in a segment of three steps": {"learning_rates": [[9, 0.01], [13, 1e6]], "segment_steps": 3},
}


@pytest.mark.parametrize("where", DIVERGING)
def test_a_run_that_diverged_diverges_again(store: LocalStore, tmp_path: Path, where: str) -> None:
    case = trained_here(tmp_path / "job", store, **EXPLODING, **DIVERGING[where])
    facts = case.facts(None)
    assert facts.diverged
    assert facts.audited[-1] == facts.count - 1
    assert case.replayed_here(facts) == []


def test_the_trace_of_a_divergence_is_the_state_before_the_failing_step(store: LocalStore, tmp_path: Path) -> None:
    """However the steps are cut into segments: the same step fails, and a buffer that it has moved
    is not in the trace."""
    told = []
    for segment in (4, 7, 11):
        case = trained_here(
            tmp_path / str(segment), store, **EXPLODING, **DIVERGING["later"] | {"segment_steps": segment}
        )
        facts = case.facts(None)
        place, _ = case.plain(facts)
        task = Audit(Context(facts.ctx, facts.seed), facts.audited[-1:])
        (audited,) = (event for event in work_here(place, task) if isinstance(event, SegmentAudited))
        told.append((facts.diverged, audited.equal, audited.before))
    assert set(told) == {(True, True, told[0][2])}
    assert told[0][2] != ZERO


# States that were not kept


def test_states_that_were_not_kept_are_trained_again(store: LocalStore, tmp_path: Path) -> None:
    case = trained_here(tmp_path / "job", store, keep_every=4)
    assert state_steps(case.folder) == [16, 22]
    work_here(case.folder, Recompute(read_task(case.folder).context, (1, 2, 5)))
    assert state_steps(case.folder) == [4, 8, 16, 20, 22]
    assert cheats.state_at(case.folder, 5).roots(Unmoved({})) == read_leaves(case.folder)[5].roots


def test_a_run_that_diverges_after_a_whole_group_ends_in_an_unsalted_leaf(store: LocalStore, tmp_path: Path) -> None:
    """Its last leaf was recorded as one of many; what the owner anchors once it has ended is the
    leaf as it stands then."""
    case = trained_here(tmp_path / "job", store, **EXPLODING, **DIVERGING["later"])
    checkpoints = read_leaves(case.folder)
    assert [checkpoint.state_salt is None for checkpoint in checkpoints] == [True, False, False, True]
    assert checkpoints[-1].opened.roots == checkpoints[-1].roots
    cheats.state_at(case.folder, len(checkpoints) - 1).verify(checkpoints[-1], Unmoved({}))
    facts = case.facts(None)
    assert (facts.count % case.recipe.group_leaves, facts.count) == (0, 4)
    again = Path(shutil.copytree(case.folder, tmp_path / "again"))
    events = work_here(again)
    assert [event.name for event in events if isinstance(event, LeafRecorded | Diverged)] == ["diverged"]
    assert read_leaves(again) == checkpoints


# With a chain


def test_a_key_is_released_though_nothing_can_be_sealed_to_the_scientist(store: LocalStore) -> None:
    """Else a scientist that complains and then breaks its recipient burns the seats' fees."""
    secret, own = new_identity()
    released: list[Any] = []
    pod = Verifier.__new__(Verifier)
    pod.home = cast(
        Any,
        SimpleNamespace(
            read_secret=lambda path: secret,
            audit_folder=lambda ref: JobFolder(Path()),
            agreements=SimpleNamespace(read=lambda id: SimpleNamespace(scientist="0x")),
            registry=SimpleNamespace(pod=lambda account: SimpleNamespace(recipient="age1broken")),
            keys=SimpleNamespace(recipient=own),
            store=store,
            audits=SimpleNamespace(release=None),
        ),
    )
    pod.log = lambda id, text: None

    def sent(audit: Any, entry: Any, step: Any, *args: Any) -> bool:
        released.extend(args)
        return True

    pod._send = sent  # type: ignore[method-assign]
    id = AgreementId(sha256(b"job"))
    pod._release(cast(Any, SimpleNamespace(ref=AuditRef(id), id=id, round=0, complained=True)))
    (key,) = released
    assert fetch_key(store, id, key, secret) == secret
