"""The process in which architectures are tried: it is of the class, and forks for each.

    python -m scripts.zoo.trials LIBRARIES [--list] [FAMILY | NAME ...]

What is imported here once, each trial has. A trial that takes too long, or more memory than it may,
ends alone.
"""

from __future__ import annotations

import json
import multiprocessing
import resource
import sys
import warnings
from collections.abc import Iterator
from dataclasses import asdict
from importlib import import_module
from multiprocessing.connection import Connection

from fitchain.pod.compute.environment import DEFAULT, Environment, configure, installed_torch
from scripts.zoo.architecture import Architecture
from scripts.zoo.catalogue import FAMILIES

SECONDS, BYTES = 300, 10 << 30


def main(libraries: str, arguments: list[str]) -> int:
    """Try architectures and print a line of JSON each."""
    sys.path.append(libraries)  # at the end: what the project itself is installed with comes first
    starts = [each for each in arguments if each != "--list"]
    if "--list" in arguments:
        for architecture in architectures(starts):
            print(architecture.family, architecture.name, sep="\t")
        return 0
    configure(Environment(DEFAULT.name, 1, installed_torch()))
    warnings.simplefilter("ignore")

    import scripts.zoo.trial  # noqa: F401

    for architecture in architectures(starts):
        print(json.dumps(tried(architecture)), flush=True)
    return 0


def architectures(starts: list[str]) -> Iterator[Architecture]:
    """Those of all families whose family or name begins so; all without a beginning."""
    for module in FAMILIES:
        for architecture in import_module(f"scripts.zoo.catalogue.{module}").ARCHITECTURES:
            names = architecture.family, architecture.name
            if not starts or any(name.startswith(start) for name in names for start in starts):
                yield architecture


def tried(architecture: Architecture) -> dict[str, object]:
    """A trial in a process of its own."""
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_try, args=(architecture, sender))
    process.start()
    sender.close()
    try:
        if receiver.poll(SECONDS):
            return dict(json.loads(receiver.recv_bytes()))
        reason = f"it took more than {SECONDS} seconds"
    except EOFError:
        process.join()
        reason = f"its process ended with {process.exitcode}"
    finally:
        process.kill()
        process.join()
    return {
        "family": architecture.family,
        "name": architecture.name,
        "wrapped": architecture.wrapped,
        "outcome": "refused",
        "reason": reason,
        "seconds": SECONDS,
    }


def _try(architecture: Architecture, sender: Connection) -> None:
    from scripts.zoo.trial import attempt

    resource.setrlimit(resource.RLIMIT_DATA, (BYTES, BYTES))
    sys.stdout = sys.stderr  # what a library prints is no result
    sender.send_bytes(json.dumps(asdict(attempt(architecture, DEFAULT))).encode())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
