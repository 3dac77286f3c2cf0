"""What a market leaves behind: processes, secrets in job folders, half-written files, scratch,
tracebacks. At its end there is none of it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from fitchain.pod.values.job_folder import IDENTITY, RECORDS, RELEASED_IDENTITY, SEAT_IDENTITY, Scratch

SECRETS = frozenset({RECORDS, IDENTITY, SEAT_IDENTITY, RELEASED_IDENTITY})
SCRATCH = tuple(kind.prefix for kind in Scratch)
TRACEBACK = "Traceback (most recent call last)"
CONTEXT = 600


def files(market: Path) -> Iterator[str]:
    """Secrets, halves and scratch in homes and store, which lie in the market's folder."""
    for path in sorted(market.rglob("*")):
        if path.name in SECRETS or path.name.endswith(".part") or path.name.startswith(SCRATCH):
            yield f"left behind: {path.relative_to(market)}"


def processes(market: Path) -> Iterator[str]:
    """Processes that name the market's folder, or stand in it, but for its node."""
    for path in Path("/proc").glob("[0-9]*"):
        if int(path.name) == os.getpid():
            continue
        try:
            words = (path / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            at = os.readlink(path / "cwd")
        except OSError:
            continue  # it has gone
        if "anvil" not in words and str(market) in f"{words} {at}":
            yield f"left running: {path.name} {words[:200]}"


def tracebacks(market: Path) -> Iterator[str]:
    """Tracebacks in the logs of pods and commands, and of workers."""
    for path in sorted([*(market / "logs").glob("*.log"), *market.glob("*/jobs/*/worker.log")]):
        text = path.read_text(errors="replace")
        if TRACEBACK in text:
            start = text.index(TRACEBACK)
            yield f"a traceback in {path.relative_to(market)}: {text[start : start + CONTEXT]}"
