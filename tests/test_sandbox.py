"""What a process in its sandbox can no longer do, tried from inside."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]

ATTEMPTS = """
import ctypes, json, os, socket, subprocess, sys, threading
from pathlib import Path
from typing import Any
from fitchain.pod.compute.sandbox import confine

folder, outside = map(Path, sys.argv[1:])
enforcement = confine(folder, 1 << 30, 1 << 20)

def attempt(what):
    try:
        what()
        return "done"
    except OSError as error:
        return error.strerror
    except MemoryError:
        return "no memory"

def thread():
    running = threading.Thread(target=lambda: None)
    running.start()
    running.join()

print(json.dumps({
    "enforced": enforcement.enforced,
    "missing": enforcement.missing,
    "read inside": attempt((folder / "mine").read_bytes),
    "write inside": attempt(lambda: (folder / "new").write_bytes(b"x")),
    "rename inside": attempt(lambda: (folder / "new").rename(folder / "newer")),
    "start a thread": attempt(thread),
    "read outside": attempt((outside / "secret").read_bytes),
    "list outside": attempt(lambda: list(outside.iterdir())),
    "write outside": attempt(lambda: (outside / "new").write_bytes(b"x")),
    "remove outside": attempt((outside / "secret").unlink),
    "follow a link": attempt((folder / "link").read_bytes),
    "read passwords": attempt(Path("/etc/passwd").read_bytes),
    "open a socket": attempt(socket.socket),
    "run a program": attempt(lambda: subprocess.run([sys.executable, "-V"])),
    "fork": attempt(os.fork),
    "signal the parent": attempt(lambda: os.kill(os.getppid(), 0)),
    "read the parent's memory": attempt(lambda: open(f"/proc/{os.getppid()}/mem", "rb").read(1)),
    "write a large file": attempt(lambda: (folder / "large").write_bytes(bytes(1 << 21))),
    "allocate": attempt(lambda: bytearray(2 << 30)),
    "gain privileges": ctypes.CDLL(None).prctl(39, 0, 0, 0, 0),
}))
"""


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The attempts' results, from one process."""
    place = tmp_path_factory.mktemp("sandbox")
    folder, outside = place / "job", place / "outside"
    for each, name in ((folder, "mine"), (outside, "secret")):
        each.mkdir()
        (each / name).write_bytes(b"words")
    (folder / "link").symlink_to(outside / "secret")
    command = [sys.executable, "-c", ATTEMPTS, str(folder), str(outside)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def test_everything_is_enforced_and_said(found: dict[str, Any]) -> None:
    assert found["missing"] == []
    assert [what.partition(":")[0] for what in found["enforced"]][:2] == ["memory", "file size"]


@pytest.mark.parametrize("what", ["read inside", "write inside", "rename inside", "start a thread"])
def test_work_stays_possible(found: dict[str, Any], what: str) -> None:
    assert found[what] == "done"


@pytest.mark.landlock
@pytest.mark.parametrize(
    "what",
    ["read outside", "list outside", "write outside", "remove outside", "follow a link", "read passwords"],
)
def test_files_outside_are_out_of_reach(found: dict[str, Any], what: str) -> None:
    assert found[what] == "Permission denied"


@pytest.mark.parametrize("what", ["open a socket", "run a program", "fork", "signal the parent"])
def test_other_processes_and_the_network_are_out_of_reach(found: dict[str, Any], what: str) -> None:
    assert found[what] == "Operation not permitted"


@pytest.mark.landlock
def test_the_parents_memory_is_out_of_reach(found: dict[str, Any]) -> None:
    assert found["read the parent's memory"] == "Permission denied"


def test_limits_hold(found: dict[str, Any]) -> None:
    assert found["write a large file"] == "File too large"
    assert found["allocate"] == "no memory"


def test_privileges_are_given_up(found: dict[str, Any]) -> None:
    assert found["gain privileges"] == 1  # PR_GET_NO_NEW_PRIVS


def test_confine_refuses_a_process_with_threads() -> None:
    code = (
        "import threading, pathlib; from fitchain.pod.compute.sandbox import confine\n"
        "threading.Thread(target=threading.Event().wait, daemon=True).start()\n"
        "try: confine(pathlib.Path('/tmp'), 1 << 30, 1)\n"
        "except Exception as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert "the process has 2 threads" in done.stdout


# Hiding one folder from a command


def hidden(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    call = [sys.executable, "-m", "fitchain.pod.compute.sandbox", "--hide", str(folder), "--", *command]
    return subprocess.run(call, cwd=ROOT, capture_output=True, text=True)


@pytest.mark.landlock
def test_hidden_folder_cannot_be_read_even_as_root(tmp_path: Path) -> None:
    for name in ("owner", "scientist"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(f"the {name}'s")
    done = hidden(tmp_path / "owner", "sh", "-c", f"cat {tmp_path}/scientist/file; cat {tmp_path}/owner/file")
    assert done.stdout == "the scientist's"
    assert "Permission denied" in done.stderr


@pytest.mark.landlock
def test_neighbours_of_a_hidden_folder_stay_writable(tmp_path: Path) -> None:
    for name in ("owner", "scientist"):
        (tmp_path / name).mkdir()
    done = hidden(
        tmp_path / "owner", "sh", "-c", f"echo new > {tmp_path}/scientist/file; cat {tmp_path}/scientist/file"
    )
    assert done.stdout == "new\n"


def test_hiding_a_missing_folder_is_an_error(tmp_path: Path) -> None:
    done = hidden(tmp_path / "nowhere", "true")
    assert (done.returncode, "there is no folder" in done.stderr) == (3, True)


def test_a_wrong_call_of_the_command_is_told() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "fitchain.pod.compute.sandbox", "true"], cwd=ROOT, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr.startswith("usage")) == (2, True)
