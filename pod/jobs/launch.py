"""Where a worker runs: on this host, or wherever the words lead that are put before its command
(`ssh node`, `srun --ntasks=1`).

A worker reads its task from its standard input and ends once that is closed; it tells its events on
its standard output. So whatever carries both streams and starts a command can carry a worker. Its
job's folder, this interpreter and this package must be under the same paths there: a shared file
system, or a home that lies on the node.
"""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

from fitchain.pod.compute.sandbox import Level
from fitchain.pod.ports.settings import Settings
from fitchain.pod.values.errors import Unusable

SETTING = "worker_prefix"
OWN_VARIABLES = "FITCHAIN_"
"""With which the names of this package's own variables begin: no command in between gets them."""


class Launcher(Protocol):
    """Starts a worker's command."""

    @property
    def sandbox(self) -> Level:
        """The least level of the sandbox without which a worker does nothing."""

    def start(
        self, command: Sequence[str], variables: Mapping[str, str], folder: Path, log: IO[bytes]
    ) -> subprocess.Popen[bytes]:
        """Start it, with pipes to its standard input and output, in a process group of its own.

        Args:
            command: path and arguments.
            variables: the worker's environment, and nothing besides.
            folder: the job's.
            log: takes its standard error.

        Raises:
            Unusable: it cannot be started.
        """

    def describe(self, code: int) -> str:
        """What to do about a worker that ended with this exit code before it said a word; empty
        where its log is all there is to look at."""


@dataclass(frozen=True)
class LocalProcess:
    """A process of this host.

    Args:
        sandbox: see `Launcher`.
    """

    sandbox: Level = Level.LIMITS

    def start(
        self, command: Sequence[str], variables: Mapping[str, str], folder: Path, log: IO[bytes]
    ) -> subprocess.Popen[bytes]:
        """As `Launcher.start`."""
        return _start(command, variables, log)

    def describe(self, code: int) -> str:
        """As `Launcher.describe`."""
        return ""


@dataclass(frozen=True)
class CommandPrefix:
    """A process behind a command that takes another command as its last words.

    The worker's environment goes as words of `env -i`, since such a command may hand on another
    one, or none. Words may be read by a shell on the way, as ssh has it done, so none may need
    quotes.

    Args:
        words: the command and its arguments.
        sandbox: see `Launcher`.
    """

    words: tuple[str, ...]
    sandbox: Level = Level.LIMITS

    def start(
        self, command: Sequence[str], variables: Mapping[str, str], folder: Path, log: IO[bytes]
    ) -> subprocess.Popen[bytes]:
        """As `Launcher.start`."""
        inner = ["env", "-i", *(f"{name}={value}" for name, value in variables.items()), *command]
        if quoted := next((word for word in inner if shlex.quote(word) != word), None):
            raise Unusable(
                f"a worker cannot be started behind `{self}`: a shell on the way would read {quoted!r} otherwise",
                "let home, interpreter and package lie under paths of letters, digits and @%+=:,./-_ alone",
            )
        own = {name: value for name, value in os.environ.items() if not name.startswith(OWN_VARIABLES)}
        try:
            return _start([*self.words, *inner], own, log)
        except FileNotFoundError:
            raise Unusable(
                f"there is no command {self.words[0]!r}, which the setting {SETTING} puts before a worker",
                f"install it, or change {SETTING} in settings.toml; without it workers run on this host",
            ) from None
        except PermissionError:
            raise Unusable(
                f"{self.words[0]!r}, which the setting {SETTING} puts before a worker, cannot be executed",
                f"let it be executed, or change {SETTING} in settings.toml",
            ) from None

    def describe(self, code: int) -> str:
        """As `Launcher.describe`."""
        return (
            f"`{self}` stands before it by the setting {SETTING}: see that `{self} env true` works without asking "
            "for anything, and that the job's folder, the interpreter and the package are under the same paths there"
        )

    def __str__(self) -> str:
        return shlex.join(self.words)


LOCAL = LocalProcess()


def launcher_of(settings: Settings) -> Launcher:
    """Where a home's workers run.

    Raises:
        InputRefused: the setting `sandbox` names no level.
    """
    level = Level.parse(settings.sandbox)
    return CommandPrefix(settings.worker_prefix, level) if settings.worker_prefix else LocalProcess(level)


def _start(command: Sequence[str], variables: Mapping[str, str], log: IO[bytes]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command,
        env=dict(variables),
        # Not the job's folder, which a worker writes to: libraries of torch's are looked for in the
        # working directory, too, before the next worker has confined itself.
        cwd="/",
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log,
        start_new_session=True,  # a Ctrl-C at the pod's terminal is the pod's to deal with
    )
