"""Where a worker runs: behind whatever carries its streams it does the same, and it ends with its
pod."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fitchain.pod.compute.checkpoint import read_leaves
from fitchain.pod.compute.sandbox import Level
from fitchain.pod.jobs.launch import LOCAL, CommandPrefix, Launcher, LocalProcess, launcher_of
from fitchain.pod.jobs.worker import Worker, measure
from fitchain.pod.jobs.worker.events import Finished, LeafRecorded, Started
from fitchain.pod.jobs.worker.task import read_task
from fitchain.pod.ports.settings import load, process_start
from fitchain.pod.values.errors import InputRefused, Unusable
from tests.training_jobs import job_folder, recipe

LIKE_SSH = """#!/bin/sh
# As ssh has it done: the words, joined by spaces, are read by a shell in a session of its own.
exec setsid -w sh -c "$*"
"""


@pytest.fixture
def like_ssh(tmp_path: Path) -> CommandPrefix:
    script = tmp_path / "like-ssh"
    script.write_text(LIKE_SSH)
    script.chmod(0o700)
    return CommandPrefix((str(script),))


def unshares() -> bool:
    """Whether this kernel gives new namespaces to this user."""
    return not subprocess.run(["unshare", "--fork", "--ipc", "true"], capture_output=True).returncode


def train(folder: Path, launcher: Launcher) -> tuple[Started, Finished]:
    with Worker(folder, read_task(folder), launcher) as worker:
        events = list(worker)
    started, ended = events[0], events[-1]
    assert isinstance(started, Started) and isinstance(ended, Finished)
    return started, ended


def test_a_training_behind_a_command_is_the_same(tmp_path: Path, like_ssh: CommandPrefix) -> None:
    here, there = job_folder(tmp_path / "here"), job_folder(tmp_path / "there")
    ends = [train(here, LOCAL)[1], train(there, like_ssh)[1]]
    assert ends[0].model == ends[1].model
    assert read_leaves(here) == read_leaves(there)


@pytest.mark.parametrize(
    "words",
    [("nice", "-n", "1"), pytest.param(("unshare", "--fork", "--ipc"), marks=pytest.mark.long)],
    ids=lambda words: words[0],
)
def test_a_worker_runs_behind(words: tuple[str, ...], tmp_path: Path) -> None:
    if words[0] == "unshare" and not unshares():
        pytest.skip("this kernel gives no namespaces to this user")
    folder = job_folder(tmp_path / "job")
    assert measure(folder, launcher=CommandPrefix(words)) == measure(folder)


def gone(pid: int) -> bool:
    """Whether a process ends within seconds."""
    deadline = time.monotonic() + 20
    while process_start(pid) is not None and time.monotonic() < deadline:
        time.sleep(0.05)
    return process_start(pid) is None


def test_a_worker_in_another_session_ends_when_its_pod_lets_go(tmp_path: Path, like_ssh: CommandPrefix) -> None:
    """No signal reaches it, as none reaches another host."""
    folder = job_folder(tmp_path / "job", recipe(steps=200_000))
    with Worker(folder, read_task(folder), like_ssh) as worker:
        events = iter(worker)
        started = next(events)
        assert isinstance(started, Started) and os.getsid(started.pid) != os.getsid(worker.process.pid)
        assert isinstance(next(event for event in events if isinstance(event, LeafRecorded)), LeafRecorded)
    assert gone(started.pid)


def test_a_worker_ends_with_a_pod_that_is_killed(tmp_path: Path) -> None:
    folder = job_folder(tmp_path / "job", recipe(steps=200_000))
    pod = (
        "import sys; from pathlib import Path; from fitchain.pod.jobs.worker import Worker; "
        "from fitchain.pod.jobs.worker.task import read_task; folder = Path(sys.argv[1])\n"
        "with Worker(folder, read_task(folder)) as worker: print(next(iter(worker)).pid, flush=True); input()"
    )
    command = [sys.executable, "-c", pod, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        process.kill()
        assert gone(pid)


def test_a_command_that_is_not_there_says_what_to_do(tmp_path: Path) -> None:
    folder = job_folder(tmp_path / "job")
    with pytest.raises(Unusable, match="there is no command 'srum', which the setting worker_prefix") as caught:
        measure(folder, launcher=CommandPrefix(("srum", "-n1")))
    assert "without it workers run on this host" in caught.value.hint


def test_a_command_that_leads_nowhere_says_what_to_look_at(tmp_path: Path) -> None:
    with pytest.raises(Unusable, match="exit code 1 and no last event") as caught:
        measure(job_folder(tmp_path / "job"), launcher=CommandPrefix(("false", "node 7")))
    assert "see that `false 'node 7' env true` works" in caught.value.hint


def test_a_folder_whose_name_a_shell_would_read_is_refused(tmp_path: Path, like_ssh: CommandPrefix) -> None:
    folder = Path(shutil.copytree(job_folder(tmp_path / "job"), tmp_path / "$(touch taken)"))
    with pytest.raises(Unusable, match="a shell on the way would read"):
        measure(folder, launcher=like_ssh)
    assert measure(folder)  # here no shell reads it


def test_no_variable_of_this_package_reaches_what_stands_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FITCHAIN_KEY", "secret")
    with (tmp_path / "log").open("ab") as log:
        process = CommandPrefix(("sh", "-c", "env; exec true")).start(["true"], {"HOME": "/"}, tmp_path, log)
        said, _ = process.communicate()
    assert b"PATH=" in said and b"FITCHAIN" not in said


def test_a_home_s_setting_says_where_workers_run(tmp_path: Path) -> None:
    def chosen(text: str, environ: dict[str, str] | None = None) -> Launcher:
        (tmp_path / "settings.toml").write_text(text)
        return launcher_of(load(home=tmp_path, environ=environ or {}))

    assert chosen("") == LOCAL == LocalProcess(Level.LIMITS)
    assert chosen('worker_prefix = ["ssh", "-o", "BatchMode=yes", "node"]') == CommandPrefix(
        ("ssh", "-o", "BatchMode=yes", "node")
    )
    assert chosen("", {"FITCHAIN_WORKER_PREFIX": "srun --ntasks=1"}) == CommandPrefix(("srun", "--ntasks=1"))
    assert chosen('sandbox = "view"') == LocalProcess(Level.VIEW)
    assert chosen('worker_prefix = ["nice"]', {"FITCHAIN_SANDBOX": "calls"}) == CommandPrefix(("nice",), Level.CALLS)
    with pytest.raises(InputRefused, match="'most' is no level of the sandbox"):
        chosen('sandbox = "most"')
    for wrong in ("worker_prefix = 7", "worker_prefix = [7]", 'worker_prefix = [""]', 'worker_prefix = "ssh \'"'):
        with pytest.raises(InputRefused, match="the setting worker_prefix"):
            chosen(wrong)


def test_a_task_that_nobody_sends_ends_the_worker(tmp_path: Path) -> None:
    folder = job_folder(tmp_path / "job")
    command = [sys.executable, "-P", "-m", "fitchain.pod.jobs.worker", str(folder), "limits"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, cwd=Path(__file__).parents[1])
    assert done.returncode == 3 and b'"error"' in io.BytesIO(done.stdout).readline()


def test_what_a_worker_leaves_in_its_folder_is_no_library_and_no_module_of_the_next_one(tmp_path: Path) -> None:
    folder, trace = job_folder(tmp_path / "job"), tmp_path / "was-here"
    (folder / "libcuda.so.1").write_bytes(b"no library")  # torch's own libraries look into the working directory
    for name in ("usercustomize.py", "sitecustomize.py", "torch.py"):
        for place in (folder, folder / ".scratch" / ".local" / "lib" / "python3.11" / "site-packages"):
            place.mkdir(parents=True, exist_ok=True)
            (place / name).write_text(f"open({str(trace)!r}, 'w')")
    with Worker(folder, read_task(folder)) as worker:
        assert Path(f"/proc/{worker.process.pid}/cwd").resolve() == Path("/")
        loaded = [event for event in worker if isinstance(event, Finished)]
    assert loaded and not trace.exists()
    assert "file too short" not in (folder / "worker.log").read_text()
