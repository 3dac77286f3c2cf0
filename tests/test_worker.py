"""The worker: foreign recipes train in a sandbox, whatever happens the transcript is the same, and
a replay tells the difference."""

from __future__ import annotations

import itertools
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any, TypeVar

import numpy as np
import pytest

from fitchain.pod.compute import training
from fitchain.pod.compute.checkpoint import read_leaves, replace_last_leaf, state_steps
from fitchain.pod.compute.checkpoint.files import state_path
from fitchain.pod.compute.environment import installed_torch
from fitchain.pod.jobs.launch import LocalProcess
from fitchain.pod.jobs.rehearsal import rehearse
from fitchain.pod.jobs.worker import Context, Event, Limits, Task, Worker, replay, run_worker
from fitchain.pod.jobs.worker.events import (
    Diverged,
    Evaluated,
    Finished,
    LeafRecorded,
    ReplayEnded,
    Resumed,
    SegmentReplayed,
    Skipped,
    Started,
)
from fitchain.pod.jobs.worker.job import Job
from fitchain.pod.jobs.worker.modes import MODES
from fitchain.pod.jobs.worker.parent import most_usage
from fitchain.pod.jobs.worker.task import (
    BESIDE_BYTES,
    TASKS,
    Assess,
    Audit,
    Evaluate,
    Explain,
    Measure,
    Recompute,
    Rehearse,
    Reopen,
    Replay,
    Train,
    parse_task,
    read_task,
)
from fitchain.pod.proof.transcript import Transcript
from fitchain.pod.values.digest import Digest, Root, sha256, sha256_file
from fitchain.pod.values.errors import (
    ClaimMismatch,
    DigestMismatch,
    EnvironmentRefused,
    InputRefused,
    NotFound,
    Unusable,
)
from fitchain.pod.values.evaluation import ModelEvaluation
from fitchain.pod.values.job_folder import JobFolder
from fitchain.pod.values.recipe import Recipe
from fitchain.pod.values.state import TensorBytes, model_root, read_safetensors
from fitchain.pod.values.work import StepWork
from tests.risk_reports import made_up_report
from tests.training_jobs import (
    COLUMNS,
    CTX,
    SALT_KEYS,
    SEED,
    exported,
    job_folder,
    leaf_digests,
    recipe,
    table,
    train_folder,
)


def root(folder: Path, seed: Digest = SEED) -> Digest:
    """The transcript root of a folder's leaves."""
    return Transcript(CTX, seed, tuple(checkpoint.leaf for checkpoint in read_leaves(folder))).root


def work_here(folder: Path, task: Task | None = None) -> list[Event]:
    """Do a task in this process, the folder's own unless it is given: the same code without a
    sandbox, for what needs no process of its own."""
    task, events = task or read_task(folder), list[Event]()
    job = Job.open(folder, task, Recipe.parse((folder / "recipe.json").read_bytes()))
    MODES[task.mode](job, events.append)
    return events


Kind = TypeVar("Kind")


def of(kind: type[Kind], events: list[Event]) -> list[Kind]:
    return [event for event in events if isinstance(event, kind)]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Event], dict[str, str]]:
    """A training in a worker of its own: its folder, its events, and the process's environment as
    the kernel had it."""
    folder, events, variables = job_folder(tmp_path_factory.mktemp("trained") / "job"), list[Event](), dict[str, str]()

    def note(event: Event) -> None:
        events.append(event)
        if isinstance(event, Started):
            environ = Path(f"/proc/{event.pid}/environ").read_text().rstrip("\0").split("\0")
            variables.update({name: value for name, _, value in (line.partition("=") for line in environ)})

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FITCHAIN_KEY", "secret")
        patch.setenv("MKL_CBWR", "AVX512")
        train_folder(folder, note)
    return folder, events, variables


@pytest.fixture
def copy(trained: tuple[Path, list[Event], dict[str, str]], tmp_path: Path) -> Path:
    """A copy of the trained folder, to be spoilt."""
    return Path(shutil.copytree(trained[0], tmp_path / "job"))


# Training


def test_a_worker_tells_of_every_leaf_and_of_the_model(trained: tuple[Path, list[Event], dict[str, str]]) -> None:
    folder, events, _ = trained
    last, leaves = events[-1], read_leaves(folder)
    assert [event.digest for event in of(LeafRecorded, events)] == leaf_digests(leaves)
    assert isinstance(last, Finished) and (last.step, last.leaves) == (22, 7)
    assert last.sha256 == sha256_file(folder / "run/final.safetensors")
    assert last.model == leaves[-1].model == model_root(read_safetensors(folder / "run/final.safetensors")[0])


def test_a_worker_is_confined_and_says_so(trained: tuple[Path, list[Event], dict[str, str]]) -> None:
    (started,) = of(Started, trained[1])
    assert started.sandbox.missing == ()
    assert [what.partition(":")[0] for what in started.sandbox.enforced][-2:] == ["files", "system calls"]


def test_a_worker_has_its_classs_variables_and_no_secret(trained: tuple[Path, list[Event], dict[str, str]]) -> None:
    variables = trained[2]
    assert (variables["MKL_CBWR"], variables["ATEN_CPU_CAPABILITY"]) == ("COMPATIBLE", "avx2")
    assert not [name for name in variables if name.startswith("FITCHAIN")]


def test_no_record_stands_in_log_leaves_or_order(trained: tuple[Path, list[Event], dict[str, str]]) -> None:
    folder, events, _ = trained
    cell = repr(float(table().arrays["a"][0]))
    for text in (
        *(event.encode().decode() for event in events),
        *((folder / name).read_text() for name in ("worker.log", "run/leaves.jsonl", "task.json")),
    ):
        assert cell not in text


def test_a_task_keeps_its_keys_out_of_sight() -> None:
    told = repr(Train(Context(CTX, SEED), SALT_KEYS))
    for key in (SALT_KEYS.metrics, SALT_KEYS.states):
        assert key.hex() not in told and repr(key) not in told


@pytest.mark.long
def test_killed_at_any_moment_a_training_ends_in_the_same_transcript(tmp_path: Path) -> None:
    given = recipe(steps=2000, group_leaves=16)  # more events than a pipe holds: it cannot end unseen
    undisturbed = job_folder(tmp_path / "a", given, keep_every=50)
    killed = job_folder(tmp_path / "b", given, keep_every=3)
    last = train_folder(undisturbed)
    for moment in (2, 17):
        kill_at(killed, moment)
    events = list[Event]()
    resumed = train_folder(killed, events.append)
    assert isinstance(last, Finished) and isinstance(resumed, Finished)
    assert (root(killed), resumed.sha256) == (root(undisturbed), last.sha256)
    assert of(Resumed, events)[0].step >= 12


def kill_at(folder: Path, leaf: int) -> None:
    """Start a worker and end it by force once it has told of a leaf; its pod is told that it did
    not finish."""
    with pytest.raises(Unusable, match="ended by SIGKILL"), Worker(folder, read_task(folder)) as worker:
        for event in worker:
            if isinstance(event, LeafRecorded) and event.index >= leaf:
                worker.kill()


# Resuming, without a process of its own


def test_resuming_a_finished_training_changes_nothing(copy: Path) -> None:
    before = (copy / "run/leaves.jsonl").read_bytes()
    events = work_here(copy)
    assert (copy / "run/leaves.jsonl").read_bytes() == before
    assert of(LeafRecorded, events) == []


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    """A training recorded in this process, whose kernels a resumption here has too."""
    folder = job_folder(tmp_path / "recorded")
    work_here(folder)
    return folder


def spoil(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("disturb", "step", "reason"),
    [
        (spoil, 20, "the state's (model|optimizer) has the root"),
        (lambda path: path.write_bytes(path.read_bytes()[:100]), 20, "header|bytes"),
    ],
    ids=["altered", "torn"],
)
def test_a_spoilt_state_is_passed_over_and_told(
    recorded: Path, disturb: Callable[[Path], None], step: int, reason: str
) -> None:
    before = root(recorded)
    disturb(state_path(recorded, 22))
    events = work_here(recorded)
    (skipped,), (resumed,) = of(Skipped, events), of(Resumed, events)
    assert (skipped.step, resumed.step) == (22, step)
    assert re.search(reason, skipped.reason)
    assert root(recorded) == before


def test_half_a_line_and_lost_states_are_recomputed(recorded: Path) -> None:
    before = (recorded / "run/leaves.jsonl").read_bytes()
    (recorded / "run/leaves.jsonl").write_bytes(before[:-50])
    for step in state_steps(recorded):
        if step > 8:
            state_path(recorded, step).unlink()
    (resumed,) = of(Resumed, work_here(recorded))
    assert (resumed.step, resumed.leaves, resumed.dropped_bytes > 0) == (8, 6, True)
    assert (recorded / "run/leaves.jsonl").read_bytes() == before


def test_recomputed_leaves_must_equal_the_recorded_ones(recorded: Path) -> None:
    table(change=("a", 3, 0.125)).write_npz(recorded / "records.npz")
    shutil.rmtree(recorded / "run/states")
    with pytest.raises(DigestMismatch, match=r"leaf 1 comes out as .*: metrics"):
        work_here(recorded)


def test_leaves_of_another_job_are_refuted(recorded: Path) -> None:
    Train(Context(sha256(b"another"), SEED), SALT_KEYS).write(recorded)
    with pytest.raises(ClaimMismatch, match="leaf 1 names"):
        work_here(recorded)


# What changes the transcript, and what does not


def changed_weights() -> dict[str, TensorBytes]:
    """The initial weights with one bit of one of them flipped."""
    weights = dict(exported()[1])
    data = bytearray(weights["first.weight"].data)
    data[5] ^= 1
    weights["first.weight"] = replace(weights["first.weight"], data=memoryview(data))
    return weights


CHANGES: dict[str, dict[str, Any]] = {
    "one record": {"records": table(change=("a", 3, 0.125))},
    "one hyper-parameter": {"given": recipe(optimizer={"name": "AdamW", "arguments": {"weight_decay": 0.02}})},
    "one weight": {"initial": changed_weights()},
    "the order seed": {"seed": sha256(b"another")},
}


@pytest.mark.parametrize("change", CHANGES)
def test_the_transcript_changes_with(recorded: Path, tmp_path: Path, change: str) -> None:
    other = job_folder(tmp_path / "other", **CHANGES[change])
    work_here(other)
    assert root(other, CHANGES[change].get("seed", SEED)) != root(recorded)
    assert read_leaves(other)[-1].model != read_leaves(recorded)[-1].model


def test_the_same_job_gives_the_same_transcript_whatever_is_kept(recorded: Path, tmp_path: Path) -> None:
    again = job_folder(tmp_path / "again", keep_every=4)
    work_here(again)
    assert (again / "run/leaves.jsonl").read_bytes() == (recorded / "run/leaves.jsonl").read_bytes()
    assert state_steps(again) == [16, 22]


# Divergence


def test_a_diverged_training_ends_at_its_last_finite_leaf(tmp_path: Path) -> None:
    exploding = {"name": "SGD", "arguments": {"weight_decay": 1e6}}
    given = recipe(optimizer=exploding, learning_rates=[[9, 1e-9], [13, 1e6]])
    folder = job_folder(tmp_path / "job", given)
    end = work_here(folder)[-1]
    last, (final, _) = read_leaves(folder)[-1], read_safetensors(folder / "run/final.safetensors")
    assert isinstance(end, Diverged) and (end.step, end.index) == (last.leaf.step, last.leaf.index)
    assert 8 <= end.step <= end.at < 22
    assert model_root(final) == end.model == last.model
    assert last.opened.model == last.model  # recorded as one of many, and shown as the last
    assert work_here(folder)[-1] == end
    assert read_leaves(folder)[-1] == last


def test_a_training_that_diverges_at_once_ends_at_leaf_0(tmp_path: Path) -> None:
    folder = job_folder(tmp_path / "job", recipe(batch_size=40), records=table(change=("kind", 0, 7)))
    end = work_here(folder)[-1]
    assert isinstance(end, Diverged) and (end.step, end.index, end.at) == (0, 0, 0)
    assert end.model == recipe().initial_model


def test_a_recipe_that_cannot_be_computed_ends_at_leaf_0(tmp_path: Path) -> None:
    """The model puts out three numbers and the loss wants one: the owner must not lose its bond
    over it."""
    given = recipe(loss={"name": "mse_loss", "arguments": {}}, metrics=["loss"])
    end = work_here(job_folder(tmp_path / "job", given))[-1]
    assert isinstance(end, Diverged) and end.step == 0
    assert end.reason == "the model's output is [8, 3], and mse_loss needs the target's [8]"


def test_initial_weights_that_are_not_finite_end_at_leaf_0(tmp_path: Path) -> None:
    weights = dict(exported()[1])
    data = memoryview(np.full(32, np.nan, np.float32).tobytes())
    weights["first.weight"] = replace(weights["first.weight"], data=data)
    end = work_here(job_folder(tmp_path / "job", initial=weights))[-1]
    assert isinstance(end, Diverged) and (end.step, end.reason) == (0, "the loss is nan")


# Rehearsing


def test_a_rehearsal_trains_two_segments_on_fewer_records(tmp_path: Path) -> None:
    folder = job_folder(tmp_path / "job", recipe(rows=[0, 4000]), records=table(12), mode="rehearse")
    last = work_here(folder)[-1]
    assert isinstance(last, Finished) and (last.step, last.leaves) == (8, 3)


def test_worker_that_takes_longer_than_it_was_given_is_ended(tmp_path: Path) -> None:
    """A stranger's offer may have segments of a million steps."""
    folder = job_folder(tmp_path / "job", recipe(steps=2_000_000, segment_steps=1_000_000), mode="rehearse")
    with pytest.raises(InputRefused, match="took longer than the 1 s that it was given"):
        train_folder(folder, limit_s=1)


# Replaying


def test_a_replay_in_a_worker_finds_every_segment_equal(copy: Path) -> None:
    verdicts = replay(copy, [5, 0, 3, 3])
    assert [(verdict.index, verdict.step, verdict.equal) for verdict in verdicts] == [
        (0, 4, True),
        (3, 16, True),
        (5, 22, True),
    ]
    assert read_task(copy).mode == "train"


def replay_here(folder: Path, *segments: int) -> list[Event]:
    return work_here(folder, Replay(Context(CTX, SEED), segments))


def test_a_replay_without_states_starts_at_leaf_0(recorded: Path) -> None:
    shutil.rmtree(recorded / "run/states")
    assert replay_here(recorded, 4)[-1] == ReplayEnded(1, True)


def test_a_replay_names_the_first_difference(recorded: Path) -> None:
    """A record that was changed after the training: the segments that use it come out differently,
    from there on alone."""
    table(change=("a", 3, 0.125)).write_npz(recorded / "records.npz")
    segments = of(SegmentReplayed, replay_here(recorded, *range(6)))
    different = [segment for segment in segments if not segment.equal]
    assert 0 < len(different) < 6
    assert all(segment.difference.startswith("metrics 0x") for segment in different)


def test_a_replay_of_a_forged_last_leaf_is_refuted(recorded: Path) -> None:
    forged = replace(read_leaves(recorded)[-1], model=Root(sha256(b"forged")))
    replace_last_leaf(recorded, forged.unsalted())
    segment, verdict = replay_here(recorded, 5)
    assert isinstance(segment, SegmentReplayed) and verdict == ReplayEnded(1, False)
    assert segment.difference.endswith(f"not {sha256(b'forged')}")


def test_a_last_leaf_with_a_risk_report_is_replayed_and_trained_again_to_the_same_bytes(recorded: Path) -> None:
    last = read_leaves(recorded)[-1]
    replace_last_leaf(recorded, last.with_report(made_up_report().parts))
    leaves = (recorded / "run/leaves.jsonl").read_bytes()
    assert replay_here(recorded, 5)[-1] == ReplayEnded(1, True)
    shutil.rmtree(recorded / "run/states")
    assert isinstance(work_here(recorded, read_task(recorded))[-1], Finished)
    assert (recorded / "run/leaves.jsonl").read_bytes() == leaves


def test_a_segment_that_is_not_there_is_refused(recorded: Path) -> None:
    with pytest.raises(InputRefused, match="the training has 6 segments"):
        replay_here(recorded, 6)


# Evaluating


def test_an_evaluation_tells_metrics_and_writes_outputs(recorded: Path) -> None:
    table(11).write_npz(recorded / "records.npz")
    assert of(Evaluated, work_here(recorded, Evaluate())) == [Evaluated(11)]
    outputs = np.fromfile(recorded / "run/outputs.bin", "<f4").reshape(11, 3)
    hits = (outputs.argmax(1) == table(11).arrays["kind"]).mean()
    evaluation = ModelEvaluation.parse((recorded / "run/evaluation.json").read_bytes())
    assert (evaluation.records, evaluation.shape, evaluation.metrics()["accuracy"]) == (11, (3,), hits)


def test_an_evaluation_needs_a_model(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"there is no file .*final\.safetensors"):
        work_here(job_folder(tmp_path / "job", mode="evaluate"))


# Bad input


def test_a_worker_of_another_torch_refuses_with_its_own_error(tmp_path: Path) -> None:
    environment = replace(recipe().environment, torch="2.0.0+cpu")
    folder = job_folder(tmp_path / "job", replace(recipe(), environment=environment))
    with pytest.raises(EnvironmentRefused, match=f"torch here is {installed_torch()}".replace("+", r"\+")):
        train_folder(folder)


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("initial.safetensors", DigestMismatch),
        ("graph.json", (DigestMismatch, InputRefused)),
        ("records.npz", InputRefused),
    ],
)
def test_an_altered_file_is_refused(tmp_path: Path, name: str, error: Any) -> None:
    folder = job_folder(tmp_path / "job")
    spoil(folder / name)
    with pytest.raises(error):
        work_here(folder)


@pytest.mark.parametrize("name", ["initial.safetensors", "graph.json", "records.npz", "task.json"])
def test_a_missing_file_is_told_by_name(tmp_path: Path, name: str) -> None:
    folder = job_folder(tmp_path / "job")
    (folder / name).unlink()
    with pytest.raises(NotFound, match=name):
        work_here(folder)


def test_fewer_records_than_the_recipes_rows_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputRefused, match="rows up to 40, and the table has 12"):
        work_here(job_folder(tmp_path / "job", records=table(12)))


def test_a_target_that_is_not_in_the_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputRefused, match="species"):
        work_here(job_folder(tmp_path / "job", recipe(target="species", inputs=[list(COLUMNS)])))


@pytest.mark.parametrize(
    "make",
    [
        lambda: Train(keep_every=0),
        lambda: Replay(segments=(-1,)),
        lambda: Audit(segments=(2, 1)),
        lambda: Recompute(leaves=(1, 1)),
        lambda: parse_task(b'{"version": "fitchain/task/v3", "mode": "pickle"}'),
        lambda: parse_task(Train().encode().replace(b"v3", b"v2")),
        lambda: parse_task(Measure().encode().replace(b"measure", b"audit").replace(b"{", b'{"model":"../x",', 1)),
    ],
)
def test_a_task_out_of_bounds_is_refused(make: Callable[[], object]) -> None:
    with pytest.raises(InputRefused):
        make()


ONE_OF_EACH: tuple[Task, ...] = (
    Train(Context(CTX, SEED), SALT_KEYS, keep_every=7),
    Rehearse(work=StepWork(1, 2, 3)),
    Replay(Context(CTX, SEED), (3, 5)),
    Recompute(Context(CTX, SEED), (1, 2)),
    Audit(Context(CTX, SEED), (0, 4), StepWork(1, 2, 3)),
    Explain(Context(CTX, SEED), (0,)),
    Evaluate(limits=Limits(1 << 30, 1 << 20)),
    Assess(Context(CTX, SEED), delta=1e-5, opens=True),
    Reopen(Context(CTX, SEED), 3, 2),
    Measure(),
)


def test_worker_may_take_what_a_step_may_and_its_records_beside(tmp_path: Path) -> None:
    (records := tmp_path / "records").write_bytes(bytes(1000))
    assert Limits.around(16 << 30) == Limits()
    for step_bytes in (1 << 20, 64 << 30):
        assert Limits.around(step_bytes, records).memory_bytes == step_bytes + BESIDE_BYTES + 2000
    assert Limits.agreed(None) == Limits.agreed(StepWork(1 << 20, 2, 3)) == Limits()
    assert Limits.agreed(StepWork(64 << 30, 2, 3)) == Limits.around(64 << 30), "an auditor's follows from the terms"
    assert Rehearse(limits=Limits.around((1 << 53) - 1)).encode(), "whatever terms say can be said to a worker"


@pytest.mark.parametrize("task", ONE_OF_EACH, ids=lambda task: task.mode)
def test_a_task_is_read_back(task: Task, tmp_path: Path) -> None:
    assert {type(each) for each in ONE_OF_EACH} == set(TASKS.values())
    assert task.encode().count(b"\n") == 1
    task.write(tmp_path)
    assert read_task(tmp_path) == task
    assert (tmp_path / "task.json").stat().st_mode & 0o777 == 0o600


def test_a_rehearsal_that_does_not_repeat_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counter = itertools.count()
    monkeypatch.setattr(training, "step_seed", lambda seed, step: next(counter))
    folder = job_folder(tmp_path / "job", mode="rehearse")
    with pytest.raises(InputRefused, match=r"the job does not repeat: trained again from step \d+ on, "):
        work_here(folder)


@pytest.mark.parametrize("batch_size", [40, 2])
def test_what_cannot_be_computed_is_not_said_to_diverge(tmp_path: Path, batch_size: int) -> None:
    """Whether a batch of the first segments has the record or not."""
    folder = job_folder(tmp_path / "job", recipe(batch_size=batch_size), records=table(change=("kind", 39, 7)))
    with pytest.raises(InputRefused, match="puts out 3 classes, and the target 'kind' has class numbers up to 7"):
        rehearse(folder, lambda path: shutil.copyfile(folder / "records.npz", path))


# A worker that was taken over


@dataclass(frozen=True)
class TakenOver(LocalProcess):
    """Runs a shell's words in place of a worker, in its folder."""

    words: str = ""

    def start(
        self, command: Sequence[str], variables: Mapping[str, str], folder: Path, log: IO[bytes]
    ) -> subprocess.Popen[bytes]:
        return super().start(["sh", "-c", f"cd {folder}/run; {self.words}"], variables, folder, log)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("ln -s /etc/passwd final.safetensors", "something else lies there"),
        ("mkfifo leaves.jsonl", "something else lies there"),
        ("ln -s /etc states; sleep 60", "filled its folder|something else lies there"),
        ("head -c 200000000 /dev/zero > more; sleep 60", "filled its folder"),
        ("seq 2000 | xargs touch; sleep 60", "filled its folder"),
    ],
)
def test_what_a_worker_leaves_is_bounded_and_plain(tmp_path: Path, words: str, told: str) -> None:
    folder = job_folder(tmp_path / "job")
    with pytest.raises(Unusable, match=told):
        run_worker(folder, read_task(folder), launcher=TakenOver(words=words))


def test_an_honest_worker_has_room_enough(trained: tuple[Path, list[Event], dict[str, str]]) -> None:
    folder = JobFolder(trained[0])
    usage, most = folder.check_run(), most_usage(folder, recipe(), read_task(folder.path))
    assert usage.files * 2 < most.files and usage.size_bytes * 8 < most.size_bytes


def test_a_worker_sees_what_it_is_given_and_no_secret(tmp_path: Path) -> None:
    folder = JobFolder(job_folder(tmp_path / "job"))
    for path in (folder.identity, folder.certificate, folder.model, folder.seat_identity, folder.released_identity):
        path.touch()
    given = {path.name for path in folder.for_worker()}
    assert given == {"recipe.json", "graph.json", "initial.safetensors", "records.npz", "task.json"}
