"""What a market leaves behind: processes, secrets in job folders, half-written files, scratch,
tracebacks. At its end there is none of it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from fitchain.pod.values.job_folder import IDENTITY, RECORDS, RELEASED_IDENTITY, SEAT_IDENTITY, Scratch
from tests.faults.market.parties import Market

SECRETS = frozenset({RECORDS, IDENTITY, SEAT_IDENTITY, RELEASED_IDENTITY})
SCRATCH = tuple(kind.prefix for kind in Scratch)
TRACEBACK = "Traceback (most recent call last)"
CONTEXT = 600


def files(market: Market) -> Iterator[str]:
    """Secrets, halves and scratch in homes and store."""
    for root in (*(market.folder / name for name in market.parties), market.store.path):
        for path in sorted(root.rglob("*")):
            if path.name in SECRETS or path.name.endswith(".part") or path.name.startswith(SCRATCH):
                yield f"left behind: {path.relative_to(market.folder)}"


def processes(market: Market) -> Iterator[str]:
    """Processes that name the market's folder, or stand in it, but for its node."""
    for path in Path("/proc").glob("[0-9]*"):
        if int(path.name) == os.getpid():
            continue
        try:
            words = (path / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            at = os.readlink(path / "cwd")
        except OSError:
            continue  # it has gone
        if "anvil" not in words and str(market.folder) in f"{words} {at}":
            yield f"left running: {path.name} {words[:200]}"


def tracebacks(market: Market) -> Iterator[str]:
    """Tracebacks in the logs of pods and commands, and of workers."""
    jobs = (path for name in market.parties for path in (market.folder / name / "jobs").glob("*/worker.log"))
    for path in (*sorted((market.folder / "logs").iterdir()), *sorted(jobs)):
        text = path.read_text(errors="replace")
        if TRACEBACK in text:
            start = text.index(TRACEBACK)
            yield f"a traceback in {path.relative_to(market.folder)}: {text[start : start + CONTEXT]}"
