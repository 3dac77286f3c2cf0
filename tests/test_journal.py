"""What a pod must find again after a power cut."""

from __future__ import annotations

import multiprocessing
import stat
from pathlib import Path

import pytest

from fitchain.pod.jobs import history
from fitchain.pod.jobs.journal import DatasetRow, Decision, Journal, ModelRow, RequestRow
from fitchain.pod.values.digest import Root, sha256
from fitchain.pod.values.errors import NotFound
from fitchain.pod.values.ids import AgreementId, AuditRef, DatasetId, ModelId

JOB, OTHER = AgreementId(sha256(b"job")), AgreementId(sha256(b"other job"))


def checkpoint(index: int) -> history.CheckpointRecorded:
    return history.CheckpointRecorded(index, 4 * index, sha256(b"leaf"), {"loss": 0.5}, True)


def test_history_is_kept_in_order_and_read_on_from_a_line(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.db")
    for index in range(3):
        journal.record(JOB, checkpoint(index))
    journal.record(OTHER, history.Accepted())
    first, *rest = journal.history(JOB)
    assert [line.entry for line in [first, *rest]] == [checkpoint(index) for index in range(3)]
    assert journal.history(JOB, after=first.id) == rest


def test_a_line_recorded_once_is_there_once(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.db")
    assert journal.record(JOB, history.Anchored(64, 7), once="64")
    assert not journal.record(JOB, history.Anchored(64, 8), once="64")
    assert journal.record(JOB, history.Anchored(128, 9), once="128")
    assert journal.record(OTHER, history.Anchored(64, 7), once="64")
    assert [line.entry for line in journal.history(JOB)] == [history.Anchored(64, 7), history.Anchored(128, 9)]
    assert journal.last(JOB, history.Anchored) == history.Anchored(128, 9)


def test_a_job_s_history_has_the_lines_of_its_later_audits(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.db")
    for ordinal in (0, 1, 11):
        journal.record(AuditRef(JOB, ordinal), history.Drawn(0), once="0")
        journal.keep_fact(AuditRef(JOB, ordinal), "ballot/0", str(ordinal))
    assert [line.ordinal for line in journal.history(JOB)] == [0, 1, 11]
    assert [line.ordinal for line in journal.history(AuditRef(JOB, 1))] == [1]
    assert [journal.fact(AuditRef(JOB, ordinal), "ballot/0") for ordinal in (0, 1, 11)] == ["0", "1", "11"]
    assert journal.fact(JOB, "ballot/0") == "0"


def test_everything_survives_closing(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.db")
    dataset = DatasetRow(
        DatasetId(JOB), Path("/data/table.csv"), {"drop": ["name"]}, b"salt", Root(OTHER), b"{}", "bafk"
    )
    model = ModelRow(
        ModelId(OTHER), "Classifier", Path("/models/1"), JOB, Root(OTHER), "bafy", (("age", "bmi"), ("icd",))
    )
    request = RequestRow(JOB, OTHER, {"price": "1"}, "bafy", b"{}")
    journal.keep_dataset(dataset)
    journal.keep_model(model)
    journal.keep_request(request)
    journal.decide(JOB, Decision("approve", concerns=("a bond", "a panel")))
    journal.decide(JOB, Decision("reject", "too cheap"))
    journal.keep_fact(JOB, "delivery", "bafy")
    journal.close()
    again = Journal(tmp_path / "journal.db")
    assert again.dataset(DatasetId(JOB)) == dataset
    assert again.model(ModelId(OTHER)) == model
    assert again.requests() == [request]
    assert again.decision(JOB) == Decision("reject", "too cheap")
    assert again.fact(JOB, "delivery") == "bafy"
    assert again.decision(OTHER) is None


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.db")
    with pytest.raises(NotFound, match=JOB.short):
        journal.dataset(DatasetId(JOB))
    with pytest.raises(NotFound, match=JOB.short):
        journal.model(ModelId(JOB))
    assert journal.fact(JOB, "delivery") is None


def test_nobody_else_may_read_it(tmp_path: Path) -> None:
    Journal(tmp_path / "home" / "journal.db").record(JOB, history.Accepted())
    assert stat.S_IMODE((tmp_path / "home" / "journal.db").stat().st_mode) == 0o600


def _write_many(path: Path, job: AgreementId) -> None:
    journal = Journal(path)
    for index in range(50):
        journal.record(job, checkpoint(index), once=str(index))


def test_two_processes_may_write_at_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_write_many, args=(tmp_path / "journal.db", JOB)) for _ in range(2)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    assert len(Journal(tmp_path / "journal.db").history(JOB)) == 50
