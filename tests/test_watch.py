"""What `job show` and `job watch` tell of a job, from made-up standings."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import cast

import pytest

from fitchain.cli.views import watch
from fitchain.cli.views.history import describe, sentence, state_name, values
from fitchain.pod.compute.sandbox import Enforcement
from fitchain.pod.jobs import history
from fitchain.pod.jobs.history import parse_entry
from fitchain.pod.jobs.job_status import JobStatus, JobStatusReader
from fitchain.pod.jobs.journal import Line
from fitchain.pod.jobs.watch import changes, over
from fitchain.pod.ports.agreement import Agreement, Anchor, RunRecord, State, Terms
from fitchain.pod.values.amounts import FIT
from fitchain.pod.values.digest import ZERO, Digest, Root, sha256
from fitchain.pod.values.ids import AgreementId, DatasetId, ModelId

JOB = AgreementId(sha256(b"job"))
OWNER, SCIENTIST = "0x" + "11" * 20, "0x" + "22" * 20
TERMS = Terms(
    owner=OWNER,
    dataset=DatasetId(sha256(b"d")),
    dataset_root=Root(sha256(b"records")),
    model=ModelId(sha256(b"m")),
    model_root=Root(sha256(b"weights")),
    recipe=sha256(b"r"),
    environment=sha256(b"e"),
    steps=560,
    segment_steps=10,
    group_leaves=16,
    step_bytes=1 << 20,
    step_calls=12,
    step_operations=10**6,
    price=10 * FIT,
    bond=FIT,
    acceptance_window=600,
    training_window=600,
    dispute_window=600,
)


def anchor(count: int) -> Anchor:
    return Anchor(count, sha256(bytes([count])), None, 100 + count, sha256(b"t"))


def standing(
    state: State, count: int = 0, step: int = 0, ended: bool = False, lines: tuple[Line, ...] = ()
) -> JobStatus:
    agreement = Agreement(
        id=JOB,
        scientist=SCIENTIST,
        terms=TERMS,
        state=state,
        requested_block=3,
        places=0,
        seed_block=5,
        steps_done=step,
        price_due=TERMS.price,
        complained=False,
        acceptance_deadline=0,
        training_deadline=0,
        dispute_deadline=0,
    )
    run = RunRecord(
        ctx=sha256(b"c"),
        seed=sha256(b"s"),
        nonce=ZERO,
        noise_root=ZERO,
        count=count,
        step=step,
        delivered=max(count - 1, 0),
        transcript_root=Root(ZERO),
        model_root=Root(ZERO),
        last_model_root=Root(ZERO),
        delivery=None,
        identity=None,
        anchors=tuple(anchor(covered) for covered in range(16, count + 1, 16)),
        end_block=130 if ended else None,
    )
    losses = tuple((10 * i, 1 / (i + 1)) for i in range(count))
    return JobStatus(agreement, run, 5, 412_345, losses, 0.96 if count else None, lines, 0)


def line(id: int, entry: history.Entry | history.Unrecognised) -> Line:
    return Line(id, JOB, 1_800_000_000.0 + id, entry)


TRAINED = standing(State.TRAINED, 57, 560, ended=True)


@pytest.mark.parametrize(
    ("job", "name"),
    [
        (standing(State.REQUESTED), "Requested"),
        (TRAINED, "Trained"),
        (standing(State.SETTLED, 57, 560, ended=True), "Settled"),
        (standing(State.SETTLED, 20, 190, ended=True), "Settled (diverged)"),
        (standing(State.FORFEITED, 20), "Forfeited"),
        (standing(State.HALVED, 57, 560, ended=True), "Halved"),
    ],
)
def test_a_state_is_told_in_a_word(job: JobStatus, name: str) -> None:
    assert state_name(job) == name


@pytest.mark.parametrize("state", list(State)[1:])
def test_watching_ends_when_the_training_does_or_the_money_has_moved(state: State) -> None:
    job = standing(state)
    ended = (State.SETTLED, State.CANCELLED, State.FORFEITED, State.REFUNDED, State.HALVED)
    assert over(job, until_settled=True) == (state in ended)
    assert over(job, until_settled=False) == (state not in (State.REQUESTED, State.ACCEPTED, State.TRAINING))


def test_checkpoints_of_this_pod_count_before_they_are_anchored() -> None:
    assert (
        standing(State.TRAINING, 16, lines=(line(1, history.CheckpointRecorded(40, 400, ZERO, {}, True)),)).checkpoints
        == 41
    )


def test_the_terminal_shows_progress_anchors_loss_and_gas() -> None:
    shown = watch.draw(TRAINED).plain
    for wanted in ("57 of 57", "blocks 116, 132, 148", "▁", "96.0%", "412,345 in 5 transactions", "Trained"):
        assert wanted in shown


def test_lines_tell_each_thing_once() -> None:
    first = line(1, history.Accepted(gas=60000))
    second = line(2, history.Anchored(16, 7, gas=41000))
    jobs = [standing(State.TRAINING, lines=(first,)), standing(State.TRAINING, lines=(first, second)), TRAINED]
    told: list[str] = []
    watch.watch_lines(iter(jobs), told.append)
    assert [text[21:].strip() for text in told] == [
        "accepted, the bond is locked (60,000 gas)",
        "Training",
        "anchored 16 checkpoints in block 7 (41,000 gas)",
        "Trained",
    ]


def test_an_entry_that_is_not_known_is_told_in_full() -> None:
    unknown = parse_entry("something_new", {"root": str(JOB), "n": 3})
    assert sentence(line(1, unknown)).endswith(f"something new: root {str(JOB)[:10]}, n 3")


def test_an_entry_with_other_fields_than_this_release_s_is_told_as_it_is() -> None:
    assert sentence(line(1, parse_entry("anchored", {"count": 3}))).endswith("anchored: count 3")
    assert sentence(line(1, parse_entry("anchored", [3]))).endswith("anchored: body [3]")


def test_a_training_is_told_with_its_steps_and_its_process() -> None:
    told = sentence(line(1, history.Training(0, 560, 7, Enforcement("view", ("files",), ()))))
    assert told.endswith("training 560 steps, in process 7, in a sandbox of the level `view`")
    assert sentence(line(1, history.Training())).endswith("  training")  # a scientist's history knows no more


def test_json_gives_amounts_as_decimal_fit() -> None:
    told = values(TRAINED)
    assert (told["price"], told["bond"], told["checkpoints"], told["diverged"]) == ("10", "1", 57, False)


def test_a_reason_cannot_break_a_sentence() -> None:
    assert sentence(line(1, history.Refused("{0} {gas} \n"))).endswith("refused: {0} {gas} \n")


def test_described_before_anything_was_anchored() -> None:
    pairs = dict(describe(standing(State.REQUESTED)).pairs)
    assert pairs["anchored"] == "0 checkpoints in 0 anchors" and "transcript" not in pairs


def test_a_standing_is_read_until_the_job_ends() -> None:
    class Reader:
        def __init__(self, jobs: Iterator[JobStatus]) -> None:
            self.read = jobs.__next__

    jobs = iter([TRAINED, dataclasses.replace(TRAINED)])
    assert watch.watch(cast(JobStatusReader, Reader(jobs)), until_settled=False) is TRAINED
    assert len(list(jobs)) == 1


def test_what_differs_in_time_alone_is_no_change() -> None:
    later = dataclasses.replace(TRAINED, now=TRAINED.now + 1)
    asked = standing(State.REQUESTED)
    assert list(changes(iter([asked, TRAINED, later, later, asked]))) == [asked, TRAINED, asked]


def test_digest_is_shown_whole_where_it_is_asked_for() -> None:
    assert Digest.parse(str(dict(describe(TRAINED).pairs)["job"])) == JOB
