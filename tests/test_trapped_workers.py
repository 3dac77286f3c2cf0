"""What a trap of the processor says: nothing once, and twice the same that the training ends."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import IO

import pytest

from fitchain.pod.compute.checkpoint import read_leaves
from fitchain.pod.jobs.launch import LOCAL, Launcher, LocalProcess
from fitchain.pod.jobs.rehearsal import rehearse
from fitchain.pod.jobs.worker import Context, Ending, audit, run_worker
from fitchain.pod.jobs.worker.events import Diverged, Finished, SegmentAudited
from fitchain.pod.jobs.worker.room import BESIDE_STEP_BYTES, require_room
from fitchain.pod.jobs.worker.task import Limits, Train, Trap, read_task
from fitchain.pod.jobs.worker.trap import ATTEMPTS, Trapped, end_at_traps, trap_signal
from fitchain.pod.ports.store.local import LocalStore
from fitchain.pod.values.errors import HostUnusable, InputRefused, Unusable
from tests.audits import Case, trained, trained_here
from tests.training_jobs import CTX, SEED, job_folder, recipe, table

TRAPS = """
import ctypes, os, signal, sys
from pathlib import Path
from fitchain.pod.compute import training

own, counter = training.step_seed, Path(sys.argv[1], "run", "traps")

def step_seed(seed, step):
    before = len(counter.read_bytes()) if counter.exists() else 0
    if step == eval({step!r}):
        counter.write_bytes(bytes(before + 1))
        ctypes.string_at(0)
    return own(seed, step)

training.step_seed = step_seed
from fitchain.pod.jobs.worker.child import main
sys.exit(main(sys.argv[1:]))
"""


@dataclass(frozen=True)
class TrapsAt(LocalProcess):
    """A real worker that reads memory that is none before a step.

    Args:
        step: an expression of how many traps there were `before`; None for no step.
    """

    step: str = "None"

    def start(
        self, command: Sequence[str], variables: Mapping[str, str], folder: Path, log: IO[bytes]
    ) -> subprocess.Popen[bytes]:
        at = list(command).index("-m")
        code = TRAPS.replace("{step!r}", repr(self.step))
        return super().start([*command[:at], "-c", code, *command[at + 2 :]], variables, folder, log)


@dataclass(frozen=True)
class Shell(LocalProcess):
    """A shell's words in place of a worker."""

    words: str = ""

    def start(
        self, command: Sequence[str], variables: Mapping[str, str], folder: Path, log: IO[bytes]
    ) -> subprocess.Popen[bytes]:
        return super().start(["sh", "-c", self.words], variables, folder, log)


ALWAYS, NEVER = TrapsAt(step="13"), LOCAL


def train(folder: Path, launcher: Launcher) -> Ending:
    task = read_task(folder)
    assert isinstance(task, Train)
    return end_at_traps(task, partial(run_worker, folder, launcher=launcher))


@pytest.fixture(scope="module")
def trapped(tmp_path_factory: pytest.TempPathFactory) -> tuple[Case, Ending]:
    """A training that traps at its fourteenth step, in whatever worker."""
    place, endings = tmp_path_factory.mktemp("trapped"), list[Ending]()
    store = LocalStore(place / "store", place / "home")
    return trained(place / "job", store, lambda folder: endings.append(train(folder, ALWAYS))), endings[0]


@pytest.mark.long
def test_two_equal_traps_end_a_training_at_its_last_leaf(trapped: tuple[Case, Ending]) -> None:
    case, ended = trapped
    assert isinstance(ended, Diverged)
    assert (ended.at, ended.step, ended.index) == (13, 12, 3)
    assert ended.reason == "an operator traps the processor (SIGSEGV)"
    leaves = read_leaves(case.folder)
    assert len(leaves) == 4 and leaves[-1].state_salt is None
    # The first was not told of each step, so two more were needed.
    assert (case.folder / "run" / "traps").stat().st_size == 3


def audited(case: Case, launcher: Launcher, segments: tuple[int, ...] = (0, 2, 3)) -> tuple[SegmentAudited, ...]:
    place, _ = case.plain(case.facts(None))
    return audit(place, Context(CTX, SEED), segments, launcher=launcher)


@pytest.mark.long
def test_verifiers_come_to_the_same_end(trapped: tuple[Case, Ending]) -> None:
    case, _ = trapped
    first, second = audited(case, ALWAYS), audited(case, ALWAYS)
    assert first == second and all(each.equal for each in first)
    # Where no worker traps, the training goes on, and the owner said what is not so.
    untrapped = audited(case, NEVER)
    assert [each.equal for each in untrapped] == [True, True, False]
    assert "the training goes on to step 16" in untrapped[-1].difference


@pytest.mark.long
def test_a_training_said_to_have_gone_on_past_a_trap_differs(tmp_path: Path) -> None:
    case = trained(tmp_path / "job", LocalStore(tmp_path / "store", tmp_path / "home"))
    found = audited(case, ALWAYS, (0, 3, 4))
    assert [(each.index, each.equal) for each in found] == [(0, True), (3, False)]
    assert found[-1].difference == "the training ends after step 13: an operator traps the processor (SIGSEGV)"


AT_ONCE = """
import ctypes, sys
from fitchain.pod.jobs.worker import child
child.MODES = dict.fromkeys(child.MODES, lambda *given: ctypes.string_at(0))
sys.exit(child.main(sys.argv[1:]))
"""
"""A worker that reads memory that is none once it stands in its sandbox."""


@dataclass(frozen=True)
class TrapsAtOnce(LocalProcess):
    """A real worker that does so."""

    def start(
        self, command: Sequence[str], variables: Mapping[str, str], folder: Path, log: IO[bytes]
    ) -> subprocess.Popen[bytes]:
        at = list(command).index("-m")
        return super().start([*command[:at], "-c", AT_ONCE, *command[at + 2 :]], variables, folder, log)


def test_worker_that_ends_in_traps_is_no_hosts_fault_once_it_may_have_read_what_is_foreign(tmp_path: Path) -> None:
    case = trained_here(tmp_path / "job", LocalStore(tmp_path / "store", tmp_path / "home"))
    place, _ = case.plain(case.facts(None))
    with pytest.raises(InputRefused, match="no worker comes through it: the worker was ended by SIGSEGV"):
        audit(place, Context(CTX, SEED), (0,), launcher=TrapsAtOnce())
    with pytest.raises(Trapped, match="the worker was ended by SIGSEGV") as ended:
        audit(place, Context(CTX, SEED), (0,), launcher=Shell(words="kill -SEGV $$"))
    assert not ended.value.has_started


@pytest.mark.long
def test_one_trap_says_nothing(tmp_path: Path) -> None:
    folder = job_folder(tmp_path / "job")
    assert isinstance(train(folder, TrapsAt(step="13 if before < 1 else None")), Finished)
    assert len(read_leaves(folder)) == recipe().leaf_count


@pytest.mark.long
def test_traps_at_other_steps_are_the_hosts(tmp_path: Path) -> None:
    folder = job_folder(tmp_path / "job")
    with pytest.raises(HostUnusable, match=f"ended {ATTEMPTS + 1} workers, each at another step"):
        train(folder, TrapsAt(step="2 + before"))


@pytest.mark.long
def test_traps_where_memory_is_short_are_the_hosts(tmp_path: Path) -> None:
    """A crash at the same step in worker after worker, each of which may take less than kernels do."""
    folder = job_folder(tmp_path / "job")
    task = replace(read_task(folder), limits=Limits(memory_bytes=BESIDE_STEP_BYTES // 2))
    assert isinstance(task, Train)
    with pytest.raises(Unusable, match=r"does not give a step the memory that it takes, 1\.0 GiB") as ended:
        end_at_traps(task, partial(run_worker, folder, launcher=ALWAYS))
    assert not isinstance(ended.value, Trapped)
    assert (folder / "run" / "traps").stat().st_size == 1, "the second worker did not come to a step"


def test_room_is_asked_for_and_given_back() -> None:
    for _ in range(3):
        require_room(1 << 20)
    with pytest.raises(HostUnusable, match=r"the memory that it takes, .*: Cannot allocate memory"):
        require_room(1 << 53)


@pytest.mark.long
def test_a_rehearsal_that_traps_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputRefused, match=r"cannot be computed at step 4 .* traps the processor"):
        rehearse(job_folder(tmp_path / "job"), table().write_npz, launcher=TrapsAt(step="3"))


def test_an_end_before_the_first_step_or_by_force_is_no_trap(tmp_path: Path) -> None:
    folder = job_folder(tmp_path / "job")
    with pytest.raises(Trapped) as ended:
        train(folder, Shell(words="kill -SEGV $$"))
    assert ended.value.trap is None
    with pytest.raises(Unusable, match="ended by SIGKILL") as killed:
        train(folder, Shell(words="kill -KILL $$"))
    assert not isinstance(killed.value, Trapped)
    assert [trap_signal(code) for code in (-9, -6, -7, 0, 1, 3)] == [""] * 6
    assert trap_signal(128 + 8) == trap_signal(-8) == "SIGFPE"


def trapping(*steps: int | None) -> tuple[list[Train], Callable[[Train], str]]:
    """What is asked of workers that trap at these steps, one after the other, and then end well."""
    asked, left = list[Train](), list(steps)

    def run(task: Train) -> str:
        asked.append(task)
        if left and task.trap is None:
            step = left.pop(0) if task.tells_steps else None
            raise Trapped("trapped", "", None if step is None else Trap(step, "SIGFPE"), has_started=True)
        return "ended"

    return asked, run


def test_a_trap_counts_once_it_comes_twice_at_the_same_step() -> None:
    asked, run = trapping(7, 7)
    assert end_at_traps(Train(), run) == "ended"
    assert [(task.tells_steps, task.trap) for task in asked] == [
        *((False, None), (True, None), (True, None)),
        (True, Trap(7, "SIGFPE")),
    ]
    asked, run = trapping(7, 8, 8)
    assert end_at_traps(Train(), run) == "ended" and asked[-1].trap == Trap(8, "SIGFPE")
    with pytest.raises(HostUnusable, match="each at another step"):
        end_at_traps(Train(), trapping(1, 2, 3, 4)[1])
    with pytest.raises(Trapped):
        end_at_traps(Train(), trapping(None)[1])
