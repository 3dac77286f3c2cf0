"""What a process in its sandbox can no longer do, tried from inside."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from fitchain.pod.compute.sandbox import Level
from fitchain.pod.compute.sandbox.namespaces import user_of
from fitchain.pod.values.errors import InputRefused

ROOT = Path(__file__).parents[1]

ATTEMPTS = """
import ctypes, json, os, resource, signal, socket, subprocess, sys, threading
from pathlib import Path
from fitchain.pod.compute.sandbox import confine
from fitchain.pod.compute.sandbox import namespaces
from fitchain.pod.values.errors import Unusable

folder, outside, user, view = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4] == "view"
other = int(sys.argv[5])
if user:
    # Whoever runs this may have its interpreter in a folder of its own, so it is shown to the user first.
    module = sys.modules["fitchain.pod.compute.sandbox.confine"]
    shown = [path for path in module.interpreter() if path.parts[1] != "proc"] + [outside, Path("/proc")]
    tree = namespaces._tree
    namespaces._tree = lambda path, read_only: tree(path, False)
    namespaces._call(272, 0x20000, purpose="unshare")
    namespaces._call(165, None, b"/", None, 0x44000, None, purpose="mount")
    namespaces._enter_root(shown, module._search_path(), folder)
    namespaces._tree = tree
    os.setgroups([]); os.setresgid(user, user, user); os.setresuid(user, user, user)
    ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)  # PR_SET_DUMPABLE, without which /proc/self is root's
if not view:
    def refuse(*arguments):
        raise Unusable("not here")
    sys.modules["fitchain.pod.compute.sandbox.confine"].enter = refuse
before = os.geteuid()
enforcement = confine(folder, 1 << 30, 1 << 20, cpu_s=100)
libc = ctypes.CDLL(None, use_errno=True)

def attempt(what):
    try:
        what()
        return "done"
    except OSError as error:
        return error.strerror
    except MemoryError:
        return "no memory"
    except (ValueError, PermissionError) as error:
        return str(error)

def call(number, *arguments):
    if libc.syscall(ctypes.c_long(number), *arguments) < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

def thread():
    running = threading.Thread(target=lambda: None)
    running.start()
    running.join()

secret, limit, handle = outside / "secret", (1 << 20, 1 << 20), ctypes.create_string_buffer(256)
status = Path("/proc/self/status")
attempts = {
    "read inside": (folder / "mine").read_bytes,
    "write inside": lambda: (folder / "new").write_bytes(b"x"),
    "rename inside": lambda: (folder / "new").rename(folder / "newer"),
    "remove inside": lambda: (folder / "newer").unlink(),
    "make a folder inside": lambda: (folder / "states").mkdir(),
    "start a thread": thread,
    "know the time": lambda: __import__("time").sleep(0.001),
    "import a module": lambda: __import__("tomllib"),
    "read a limit": lambda: resource.prlimit(0, resource.RLIMIT_AS),
    "read outside": secret.read_bytes,
    "list outside": lambda: list(outside.iterdir()),
    "write outside": lambda: (outside / "new").write_bytes(b"x"),
    "remove outside": secret.unlink,
    "follow a link": (folder / "link").read_bytes,
    "read passwords": Path("/etc/passwd").read_bytes,
    "read the parent's memory": lambda: open(f"/proc/{os.getppid()}/mem", "rb").read(1),
    "see whether it is there": lambda: os.stat(secret),
    "see another process": lambda: os.readlink(f"/proc/{other}/cwd"),
    "see the root": lambda: os.stat("/var"),
    "write to the root": lambda: Path("/new").write_bytes(b"x"),
    "write to the interpreter": lambda: Path(sys.prefix, "new").write_bytes(b"x"),
    "change a mode": lambda: os.chmod(folder / "mine", 0o4755),
    "change an owner": lambda: os.chown(folder / "mine", 1, 1),
    "change a time": lambda: os.utime(folder / "mine", (1, 1)),
    "change an attribute": lambda: os.setxattr(folder / "mine", b"user.x", b"1"),
    "make a link": lambda: os.symlink(secret, folder / "planted"),
    "make another name": lambda: os.link(folder / "mine", folder / "planted"),
    "leave a device behind": lambda: call(316, -100, bytes(folder / "states"), -100, bytes(folder / "other"), 4),
    "make a file that sets its user": lambda: os.close(os.open(folder / "suid", os.O_CREAT | os.O_WRONLY, 0o4755)),
    "cut a file by its name": lambda: call(76, bytes(folder / "mine"), 1),
    "take room beyond a file": lambda: call(285, os.open(folder / "mine", os.O_WRONLY), 1, 0, 1 << 26),
    "lock a file": lambda: __import__("fcntl").flock(os.open("/dev/null", os.O_RDONLY), 2),
    "lock a part of a file": lambda: __import__("fcntl").lockf(os.open(folder / "mine", os.O_WRONLY), 2),
    "make a device": lambda: os.mknod(folder / "device", 0o600 | 0o020000, os.makedev(1, 1)),
    "make a pipe with a name": lambda: os.mkfifo(folder / "fifo"),
    "open a socket": socket.socket,
    "open a pair of sockets": socket.socketpair,
    "run a program": lambda: subprocess.run([sys.executable, "-V"]),
    "fork": os.fork,
    "signal another": lambda: os.kill(other, 0),
    "signal a thread of another": lambda: call(234, other, other, 0),
    "signal by a queue": lambda: call(129, other, 0, ctypes.create_string_buffer(128)),
    "limit another": lambda: resource.prlimit(other, resource.RLIMIT_FSIZE, limit),
    "raise a limit": lambda: resource.prlimit(0, resource.RLIMIT_NOFILE, limit),
    "slow another": lambda: os.setpriority(os.PRIO_PROCESS, other, 19),
    "move another": lambda: os.sched_setaffinity(other, {0}),
    "be signalled for another": lambda: __import__("fcntl").fcntl(0, 8, other),
    "move a terminal": lambda: __import__("fcntl").ioctl(0, 0x5412, b"x"),
    "watch a folder": lambda: call(294, 0),
    "make memory that is a file": lambda: os.memfd_create("x"),
    "trace": lambda: call(101, 16, other, 0, 0),
    "name a file by its handle": lambda: call(303, -100, b"/", handle, ctypes.byref(ctypes.c_int()), 0),
    "mount": lambda: call(165, b"x", bytes(folder), b"tmpfs", 0, None),
    "copy a mount": lambda: call(428, -100, b"/", 1),
    "have namespaces": lambda: call(272, 0x10000000),
    "become root": lambda: os.setuid(0),
    "use an interface of later kernels": lambda: call(460, 0, 0, 0),
    "write a large file": lambda: (folder / "large").write_bytes(bytes(1 << 21)),
    "allocate": lambda: bytearray(2 << 30),
    "open many files": lambda: [os.open("/dev/null", os.O_RDONLY) for _ in range(1 << 11)],
}
print(json.dumps({
    "level": enforcement.level,
    "enforced": enforcement.enforced,
    "missing": enforcement.missing,
    "user": [before, os.geteuid(), os.getegid()],
    "status": [line for line in status.read_text().splitlines() if line[:4] in ("CapE", "CapP", "NoNe", "Grou")],
    "cpu": resource.getrlimit(resource.RLIMIT_CPU),
    **{name: attempt(each) for name, each in attempts.items()},
}))
"""
ANYONE = 65_500
"""A user that no system gives to anybody."""


@dataclass(frozen=True)
class Tried:
    """What came of each attempt of one process."""

    results: dict[str, Any]
    outside: Path
    started_as: int


def tried(place: Path, user: int, view: bool) -> Tried:
    folder, outside = place / "job", place / "outside"
    for each, name in ((folder, "mine"), (outside, "secret")):
        each.mkdir(parents=True)
        (each / name).write_bytes(b"words")
    (folder / "link").symlink_to(outside / "secret")
    if user:
        for path in (folder, outside, *folder.iterdir(), *outside.iterdir()):
            os.chown(path, user, user, follow_symlinks=False)
    with subprocess.Popen(["sleep", "300"]) as other:
        arguments = [str(folder), str(outside), str(user), "view" if view else "files", str(other.pid)]
        try:
            done = subprocess.run(
                [sys.executable, "-c", ATTEMPTS, *arguments], cwd=ROOT, capture_output=True, text=True
            )
            assert done.returncode == 0, done.stderr
        finally:
            other.kill()
    return Tried(json.loads(done.stdout), outside, user or os.geteuid())


@pytest.fixture(scope="module", params=["view", "files alone"])
def found(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The attempts' results, from one process, with all of the sandbox and without a view of its
    own."""
    return tried(tmp_path_factory.mktemp("sandbox"), 0, request.param == "view").results


def has_view(found: dict[str, Any]) -> bool:
    return bool(found["level"] == "view")


def test_everything_is_enforced_and_said(found: dict[str, Any]) -> None:
    means = [what.partition(":")[0] for what in found["enforced"]]
    assert means[-2:] == ["files", "system calls"]
    assert ("view" in means) == has_view(found) == (not found["missing"])
    assert {"memory", "file size", "no core dumps", "open files", "CPU time"} <= set(means)
    assert found["cpu"] == [100, 100]
    if not has_view(found):
        assert found["level"] == "calls"
        assert found["missing"] == ["view: a root, a network and a user of its own (not here)"]


@pytest.mark.parametrize(
    "what",
    [
        *("read inside", "write inside", "rename inside", "remove inside", "make a folder inside", "start a thread"),
        *("know the time", "import a module", "read a limit"),
    ],
)
def test_work_stays_possible(found: dict[str, Any], what: str) -> None:
    assert found[what] == "done"


@pytest.mark.landlock
@pytest.mark.parametrize(
    "what",
    [
        *("read outside", "list outside", "write outside", "remove outside", "follow a link", "read passwords"),
        "read the parent's memory",
    ],
)
def test_files_outside_are_out_of_reach(found: dict[str, Any], what: str) -> None:
    refusals = ("No such file or directory", "Permission denied", "Read-only file system")
    assert found[what] in (refusals if has_view(found) else ("Permission denied",))


@pytest.mark.landlock
@pytest.mark.parametrize("what", ["see whether it is there", "see another process", "see the root"])
def test_a_view_of_its_own_shows_nothing_else(found: dict[str, Any], what: str) -> None:
    if has_view(found):
        assert found[what] == "No such file or directory"


@pytest.mark.parametrize("what", ["write to the root", "write to the interpreter"])
def test_only_its_folder_is_written_to(found: dict[str, Any], what: str) -> None:
    assert found[what] in ("Permission denied", "Read-only file system")


@pytest.mark.parametrize(
    "what",
    [
        *("change a mode", "change an owner", "change a time", "change an attribute", "make a link"),
        *("leave a device behind", "make a file that sets its user", "cut a file by its name"),
        *("take room beyond a file", "lock a file", "lock a part of a file", "make another name", "make a device"),
        *("make a pipe with a name", "open a socket", "open a pair of sockets"),
        *("run a program", "fork", "signal another", "signal a thread of another", "signal by a queue"),
        *("limit another", "raise a limit", "slow another", "move another", "be signalled for another"),
        *("move a terminal", "watch a folder", "make memory that is a file", "trace", "name a file by its handle"),
        *("mount", "copy a mount", "have namespaces", "become root", "use an interface of later kernels"),
    ],
)
def test_what_a_training_does_not_need_is_refused(found: dict[str, Any], what: str) -> None:
    assert found[what] in ("Operation not permitted", "not allowed to raise maximum limit")


def test_limits_hold(found: dict[str, Any]) -> None:
    assert found["write a large file"] == "File too large"
    assert found["allocate"] == "no memory"
    assert found["open many files"] == "Too many open files"


def test_privileges_are_given_up(found: dict[str, Any]) -> None:
    assert "NoNewPrivs:\t1" in found["status"]
    if has_view(found):
        assert {line.split("\t")[1] for line in found["status"] if line.startswith("Cap")} == {"0" * 16}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes another user")
def test_root_becomes_another_user_and_another_user_stays_itself(tmp_path: Path) -> None:
    as_root = tried(tmp_path / "root", 0, view=True).results
    assert as_root["level"] == "view" and as_root["user"] == [0, *[user_of(tmp_path / "root" / "job")] * 2]
    assert "Groups:\t " in as_root["status"]
    as_anyone = tried(tmp_path / "anyone", ANYONE, view=True).results
    assert as_anyone["level"] == "view" and as_anyone["user"] == [ANYONE, ANYONE, ANYONE]
    assert as_anyone["write inside"] == "done"
    assert as_anyone["see whether it is there"] == "No such file or directory"


def test_a_file_with_another_name_is_copied_before_anything_is_written_to_it(tmp_path: Path) -> None:
    folder, outside = tmp_path / "job", tmp_path / "outside"
    folder.mkdir()
    outside.write_bytes(b"words")
    os.link(outside, folder / "linked")
    code = (
        "import sys, pathlib; from fitchain.pod.compute.sandbox import confine\n"
        "print(confine(pathlib.Path(sys.argv[1]), 1 << 30, 1 << 20).level)\n"
        "pathlib.Path(sys.argv[1], 'linked').write_bytes(b'other')"
    )
    done = subprocess.run([sys.executable, "-c", code, str(folder)], cwd=ROOT, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("view\n", "")
    assert (outside.stat().st_uid, outside.read_bytes()) == (os.geteuid(), b"words")
    assert [path.name for path in folder.iterdir()] == ["linked"]


def test_less_than_the_required_level_is_refused(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib; from fitchain.pod.compute.sandbox import Level, confine\n"
        "from fitchain.pod.values.errors import Unusable\n"
        "def refuse(): raise Unusable('not here')\n"
        "sys.modules['fitchain.pod.compute.sandbox.confine'].refuse_system_calls = refuse\n"
        "try: confine(pathlib.Path(sys.argv[1]), 1 << 30, 1 << 20, least=Level.parse(sys.argv[2]))\n"
        "except Unusable as error: print(error.message)"
    )
    for least, told in (("calls", "the level `files` here, and `calls` is required"), ("files", "")):
        done = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path), least], cwd=ROOT, capture_output=True, text=True
        )
        assert told in done.stdout and bool(told) == bool(done.stdout), done.stderr


@pytest.mark.landlock
def test_a_kernel_that_lets_files_be_emptied_reaches_no_level_of_files(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib; from fitchain.pod.compute.sandbox import confine\n"
        "from fitchain.pod.values.errors import Unusable\n"
        "def refuse(*arguments): raise Unusable('not here')\n"
        "module = sys.modules['fitchain.pod.compute.sandbox.confine']\n"
        "module.landlock_abi = lambda: 2\n"
        "if sys.argv[2] == 'files': module.enter = refuse\n"
        "print(confine(pathlib.Path(sys.argv[1]), 1 << 30, 1 << 20).level)"
    )
    for means, level in (("files", "limits"), ("view", "view")):
        done = subprocess.run([sys.executable, "-c", code, tmp_path, means], cwd=ROOT, capture_output=True, text=True)
        assert done.stdout == f"{level}\n", done.stderr


def test_what_is_shown_besides_its_folder_is_read_and_not_written(tmp_path: Path) -> None:
    job = tmp_path / "job"
    (job / "run").mkdir(parents=True)
    for name in ("given", "withheld"):
        (job / name).write_bytes(b"words")
        (job / name).chmod(0o600)
    code = (
        "import sys, pathlib; from fitchain.pod.compute.sandbox import confine\n"
        "job = pathlib.Path(sys.argv[1])\n"
        "confine(job / 'run', 1 << 30, 1 << 20, readable=[job / 'given'])\n"
        "print((job / 'given').read_text())\n"
        "for act in (lambda: (job / 'given').write_text(''), lambda: (job / 'given').rename(job / 'run' / 'mine'),\n"
        "            lambda: (job / 'withheld').read_text(), lambda: (job / 'new').touch()):\n"
        "    try: print(act())\n"
        "    except OSError as error: print('refused')"
    )
    done = subprocess.run([sys.executable, "-c", code, str(job)], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.split() == ["words", *["refused"] * 4], done.stderr
    assert sorted(path.name for path in job.iterdir()) == ["given", "run", "withheld"]


def test_a_word_that_is_no_level_is_refused() -> None:
    with pytest.raises(InputRefused, match="no level of the sandbox"):
        Level.parse("most")
    assert [str(level) for level in Level] == ["limits", "files", "calls", "view"]


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


def test_a_folder_below_one_that_is_imported_from_is_still_its_own(tmp_path: Path) -> None:
    """A checkout that holds the package, by a link, and a home."""
    checkout, folder = tmp_path / "checkout", tmp_path / "checkout" / "home" / "job"
    folder.mkdir(parents=True)
    folder.parent.chmod(0o700)
    (checkout / "fitchain").symlink_to(ROOT / "fitchain")
    code = (
        "import sys, pathlib; from fitchain.pod.compute.sandbox import confine\n"
        "print(confine(pathlib.Path(sys.argv[1]), 1 << 30, 1 << 20).level)\n"
        "pathlib.Path(sys.argv[1], 'new').write_bytes(b'x')\n"
        "import fitchain.pod.values.hash_chain\n"
        "print(sorted(path.name for path in pathlib.Path(sys.argv[2]).iterdir()))"
    )
    variables = os.environ | {"PYTHONPATH": str(checkout)}
    command = [sys.executable, "-P", "-c", code, str(folder), str(checkout)]
    done = subprocess.run(command, cwd=tmp_path, env=variables, capture_output=True, text=True)
    # Landlock lets nobody list the checkout: a link, and the way to the folder.
    assert done.stdout == "view\n" and "PermissionError" in done.stderr
    assert (folder / "new").read_bytes() == b"x"
