"""The worker from inside: what happens before foreign input is touched, and how anything that goes
wrong is told (torch).

Everything is imported first; then the process confines itself; then the job is opened. Standard
output carries events alone: whatever a library prints goes to the log with the errors.
"""

from __future__ import annotations

import fcntl
import os
import sys
import threading
import time
from pathlib import Path

import torch
import torch.fx.experimental.symbolic_shapes  # a dry run imports it, when it would be too late

from fitchain.pod.compute.environment import NATIVE, Environment, configure, installed_torch
from fitchain.pod.compute.environment.uncompiled import leave_out_compiler
from fitchain.pod.compute.fitting import require_fitting
from fitchain.pod.compute.sandbox import Level, confine
from fitchain.pod.jobs.worker.events import Event, Failed, Measured, Started
from fitchain.pod.jobs.worker.job import Job, log_fault, read, read_graph, work_of
from fitchain.pod.jobs.worker.modes import MODES
from fitchain.pod.jobs.worker.task import TASK_BYTES, Evaluate, Measure, parse_task
from fitchain.pod.values.errors import EnvironmentRefused, FitchainError, Unusable
from fitchain.pod.values.job_folder import RECIPE, JobFolder
from fitchain.pod.values.recipe import Recipe
from fitchain.pod.values.recipe.terms import RECIPE_BYTES

LOCK_S = 30


class EventStream:
    """The worker's standard output, one event a line, from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._output = os.fdopen(os.dup(1), "wb", buffering=0)
        os.dup2(2, 1)

    def emit(self, event: Event) -> None:
        """Write one event."""
        line = event.encode()
        with self._lock:
            self._output.write(line)


def main(arguments: list[str]) -> int:
    """Do with a job folder what the task says that stands in standard input's first line.

    Returns:
        0, or 1 or 3 as the error says that was told, 2 for a wrong call.
    """
    if len(arguments) != 2:
        print("usage: python -m fitchain.pod.jobs.worker FOLDER LEVEL", file=sys.stderr)
        return 2
    leave_out_compiler()
    events = EventStream()
    try:
        work(Path(arguments[0]).resolve(), Level.parse(arguments[1]), events)
        return 0
    except BrokenPipeError:
        return Unusable.exit_code  # the pod is gone, and nobody is left to tell
    except FitchainError as error:
        return _emit_error(events, error)
    except (OSError, MemoryError) as error:
        reason = error.strerror if isinstance(error, OSError) else "memory ran out"
        return _emit_error(
            events, Unusable(f"the worker cannot go on: {reason}", "free space or raise the worker's limits")
        )
    except Exception as error:  # noqa: BLE001  a bug: its message may show data, so only its kind and place are kept
        log_fault(error)
        return _emit_error(
            events, Unusable(f"the worker has a bug ({type(error).__name__})", "its log says where: report it")
        )


def work(folder: Path, least: Level, events: EventStream) -> None:
    """Lock the folder, put up the sandbox, open the job, do it.

    Raises:
        FitchainError: whatever stands against it.
    """
    task = parse_task(sys.stdin.buffer.readline(TASK_BYTES + 1))
    lock = _lock(folder)
    own, limits = JobFolder(folder), task.limits
    enforcement = confine(own.run, limits.memory_bytes, limits.file_bytes, least=least, readable=own.for_worker())
    recipe = Recipe.parse(read(folder, RECIPE, RECIPE_BYTES))
    environment = _entered(recipe.environment, any_host=isinstance(task, Evaluate))
    host = environment.name, environment.threads, torch.__version__
    events.emit(Started(task.mode, os.getpid(), *host, enforcement))
    threading.Thread(target=_end_with_pod, daemon=True).start()
    try:
        if isinstance(task, Measure):  # of recipe and graph alone, before there are records
            require_fitting(graph := read_graph(folder, recipe), recipe)
            events.emit(Measured(work_of(graph, recipe)))
        else:
            MODES[task.mode](Job.open(folder, task, recipe), events.emit)
    finally:
        os.close(lock)


def _entered(environment: Environment, any_host: bool) -> Environment:
    """Bring this process into a class: the recipe's, in which a result has the training's bits, or,
    where nothing is compared and any host may compute it, that of this host.

    Raises:
        EnvironmentRefused: this process is not of the recipe's class, and has to be.
    """
    try:
        configure(environment)
    except EnvironmentRefused:
        if not any_host:
            raise
        environment = Environment(NATIVE.name, environment.threads, installed_torch())
        configure(environment)
    return environment


def _end_with_pod() -> None:
    """End this process once nobody holds the other end of its standard input any more: a pod that
    starts again starts a worker of its own. It is started in the sandbox, as every thread must be:
    what confines a thread does not confine those that were there before."""
    while os.read(0, 1):
        pass
    os._exit(Unusable.exit_code)


def _lock(folder: Path) -> int:
    """Take the folder for this process alone; a worker that lost its pod needs a moment to notice.

    Raises:
        Unusable: another worker holds it.
    """
    lock, until = (
        os.open(JobFolder(folder).worker_lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600),
        time.monotonic() + LOCK_S,
    )
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return lock
        except BlockingIOError:
            if time.monotonic() > until:
                os.close(lock)
                raise Unusable(f"another worker is at work in {folder}", "wait for it, or end it") from None
            time.sleep(0.1)


def _emit_error(events: EventStream, error: FitchainError) -> int:
    events.emit(Failed.of(error))
    return error.exit_code
