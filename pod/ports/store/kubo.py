"""Where Kubo is: the `ipfs` that `make kubo` built into `.tools`, else one on PATH. It knows no
node and no store.

Kubo is written in Go. Its source comes from the Go module proxy, as `tools/kubo/go.mod` names it
and `go.sum` fixes it.
"""

from __future__ import annotations

import functools
import re
import shutil
import subprocess
from pathlib import Path

from fitchain.pod.values.errors import NotFound, StoreUnusable

ROOT = Path(__file__).resolve().parents[3]
BUILT = ROOT / ".tools" / "ipfs"
OLDEST = (0, 40)  # the first with the profile unixfs-v1-2025
HINT = "run `make kubo`: it builds Kubo in two minutes, and says how to get Go where there is none"


def kubo() -> Path | None:
    """Find Kubo's command `ipfs`; None where there is none, or only one that is too old."""
    on_path = shutil.which("ipfs")
    for path in (BUILT, Path(on_path) if on_path else None):
        if path is not None and path.is_file() and _numbers(version(path)) >= OLDEST:
            return path
    return None


def require_kubo() -> Path:
    """Find Kubo's command `ipfs`.

    Raises:
        NotFound: there is none; the hint says how to get it.
    """
    path = kubo()
    if path is None:
        oldest = ".".join(map(str, OLDEST))
        raise NotFound(f"there is no `ipfs` of version {oldest} or later, neither at {BUILT} nor on PATH", HINT)
    return path


@functools.cache
def version(path: Path) -> str:
    """What version an `ipfs` is, `0.43.0` say.

    Raises:
        StoreUnusable: it does not say, so it is no Kubo.
    """
    try:
        answer = subprocess.run([path, "version", "--number"], capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise StoreUnusable(f"{path} does not run: {error}", "remove it, then run `make kubo`") from None
    if answer.returncode or not _numbers(answer.stdout):
        raise StoreUnusable(f"{path} does not tell a version: {answer.stderr.strip()[:200]}", HINT)
    return answer.stdout.strip()


def _numbers(text: str) -> tuple[int, ...]:
    match = re.match(r"(\d+)\.(\d+)", text.strip())
    return tuple(map(int, match.groups())) if match else ()
