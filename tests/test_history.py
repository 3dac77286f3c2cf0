"""What happens to a job is kept and told by its class: each is read back, and has a sentence with
its date."""

from __future__ import annotations

import json
import re
from typing import Any, get_args

import pytest

from fitchain.cli.views.history import describe_entry, sentence
from fitchain.pod.compute.sandbox import Enforcement
from fitchain.pod.jobs import history
from fitchain.pod.jobs.history import KINDS, REACHED, Entry, Unrecognised, parse_entry
from fitchain.pod.jobs.journal import Line
from fitchain.pod.ports.agreement import State
from fitchain.pod.values.digest import Root, sha256
from fitchain.pod.values.held_out import Classes, HeldOut
from fitchain.pod.values.ids import AgreementId, DatasetId, ModelId
from fitchain.pod.values.job_folder import Kept

JOB = AgreementId(sha256(b"job"))
ROOT = Root(sha256(b"root"))
SENT = history.Paid(transaction=sha256(b"transaction"), gas=41_000)

ONE_OF_EACH: tuple[Entry, ...] = (
    history.Requested(DatasetId(ROOT), ModelId(ROOT), "10"),
    history.RequestedAgain(),
    history.Checking(),
    history.Checked(("the bond is higher than the price",)),
    history.ApprovalNeeded(()),
    history.Approved("a known group", ("the bond is higher than the price",)),
    history.TurnedDown("nobody I know"),
    history.Refused("too dear"),
    history.Ignored("its offer does not open"),
    history.Rejected("too dear", **SENT),
    history.Accepted(**SENT),
    history.Late("the training deadline has passed"),
    history.Begun(sha256(b"seed"), **SENT),
    history.SetAside(sha256(b"seed")),
    history.Training(0, 560, 7, Enforcement("view", ("files",), ("network",))),
    history.Skipped(20, "another root"),
    history.Resumed(16, 5, 12),
    history.CheckpointRecorded(3, 12, sha256(b"leaf"), {"loss": 0.25, "accuracy": 0.5}, True),
    history.HeldOutTold(HeldOut(91, Classes(2, 91, 86, (50, 2, 3, 36), 0.2, 4000)), 1.0, "unaudited"),
    history.Anchored(64, 7, **SENT),
    history.NoteRead(64, 256, None, 7),
    history.Assessing(120.0),
    history.Assessed(ROOT, 32, 22, 364, 91),
    history.NotAssessed("it took longer than it was given"),
    history.Held("its model gives away 6.0% of the records"),
    history.DeliveredAllTheSame("a demonstration"),
    history.Delivered("bafy", "bafk"),
    history.Finished(ROOT, ROOT, **SENT),
    history.Diverged("the loss is nan", ROOT, ROOT, **SENT),
    history.EndedEarly(7, "the loss is nan"),
    history.Trained(),
    history.Received("model.safetensors", "certificate.json", "sampled"),
    history.ResultAccepted(**SENT),
    history.Complained("it does not open", **SENT),
    history.Disputed(**SENT),
    history.AuditDrawn("AWAITING", 0, **SENT),
    history.HashesFixed("AWAITING", 0, **SENT),
    history.AuditAdvanced("JOINING", 0, **SENT),
    history.Drawn(0),
    history.Joined(0, **SENT),
    history.Declined(0, "too cheap", **SENT),
    history.EvidenceGiven(0, "bafy", "evidence-0.car", False, **SENT),
    history.CannotReplay("memory ran out"),
    history.Examined("MATCH", (), 3),
    history.Committed(0, **SENT),
    history.Revealed(0, "MATCH", **SENT),
    history.VerdictReached("MATCH"),
    history.Released("bafk", 0, **SENT),
    history.ReleaseAccepted(**SENT),
    history.Collected(**SENT),
    history.AskedAgain("the whole pool", "3"),
    history.ConsentNeeded(("a reason",), "0x11", "the whole pool"),
    history.ConsentGiven("a known panel", ("a reason",)),
    history.ConsentRefused(""),
    history.CannotConsent("its states are gone"),
    history.Consented("0x11", **SENT),
    history.Unanswered(),
    history.Answered("CONCLUDED"),
    history.TakenBack(**SENT),
    history.FeesCollected(**SENT),
    history.Auditing(),
    history.Settled(),
    history.Cancelled(),
    history.Forfeited(),
    history.Refunded(),
    history.Halved(),
    history.Error("the node does not answer", "start it"),
    history.Refuted("other bytes", ""),
    history.Wiped(states=True),
    history.RemovalAsked("its patient objects"),
    history.Removed((Kept.STATES, Kept.TRAINING), (history.Ended.AUDIT, history.Ended.REPLAY), by_person=True),
    history.Replayed(5, True),
    history.LetGo(),
    history.Recovered(),
)


def test_every_class_of_entry_is_tried_here() -> None:
    assert {type(entry) for entry in ONE_OF_EACH} == set(get_args(Entry)) == set(KINDS.values())
    assert len(KINDS) == len(ONE_OF_EACH)


@pytest.mark.parametrize("entry", ONE_OF_EACH, ids=lambda entry: entry.kind)
def test_an_entry_is_read_back_and_has_a_sentence_with_its_date(entry: Entry) -> None:
    assert parse_entry(entry.kind, json.loads(json.dumps(entry.json()))) == entry
    assert re.fullmatch(r"2027-01-1\d \d\d:\d\d:\d\d  audit 2: .{5,}", sentence(Line(1, JOB, 1.8e9, entry, 2)))


@pytest.mark.parametrize("entry", ONE_OF_EACH, ids=lambda entry: entry.kind)
def test_an_entry_with_another_body_is_told_as_it_stands(entry: Entry) -> None:
    bodies: list[dict[str, Any]] = [{**entry.json(), "more": 1}]
    bodies += [{**entry.json(), name: {"a": [[]]}} for name in entry.json()]
    for body in bodies:
        assert parse_entry(entry.kind, body) == Unrecognised(entry.kind, body)
        assert describe_entry(parse_entry(entry.kind, body)).startswith(entry.kind.replace("_", " "))


def test_every_state_that_is_reached_has_an_entry() -> None:
    assert set(REACHED) == set(State) - {State.NONE, State.REQUESTED}
    assert [entry.kind for entry in REACHED.values()] == [state.name.lower() for state in REACHED]
    assert all(len(describe_entry(entry)) > 5 for entry in REACHED.values())


def test_what_a_transaction_took_is_told_where_it_is_known() -> None:
    assert describe_entry(history.Accepted(**SENT)).endswith("(41,000 gas)")
    assert describe_entry(history.Finished(ROOT, ROOT, transaction=ROOT)).endswith(ROOT.short)
