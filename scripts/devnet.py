"""Start, show or stop a devnet with its contracts, without the command line's frame.

    python scripts/devnet.py up|status|down [FOLDER] [--port PORT] [--fresh]

`up` also deploys. FOLDER defaults to the devnet that `fitchain devnet` uses.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from fitchain.pod.ports import settings
from fitchain.pod.ports.chain import devnet
from fitchain.pod.ports.chain.deploy import deploy
from fitchain.pod.values.errors import FitchainError


def main() -> int:
    """Do as the command line says; the exit code."""
    parser = argparse.ArgumentParser(description="Run a devnet.")
    parser.add_argument("action", choices=("up", "status", "down"))
    parser.add_argument("folder", nargs="?", type=Path, default=settings.default_devnet())
    parser.add_argument("--port", type=int, default=devnet.DEFAULT_PORT, help="0 takes a free one")
    parser.add_argument("--fresh", action="store_true", help="forget the chain that the folder holds")
    args = parser.parse_args()
    try:
        print(_done(args.action, args.folder.absolute(), args.port, args.fresh))
    except FitchainError as error:
        print(f"{error.message}\n{error.hint}".strip(), file=sys.stderr)
        return error.exit_code
    return 0


def _done(action: str, folder: Path, port: int, fresh: bool) -> str:
    if action == "down":
        return "stopped" if devnet.down(folder) else "was not running"
    if action == "status":
        record = devnet.status(folder)
        return f"{record.rpc} (process {record.pid})" if record else "not running"
    record = devnet.up(folder, port, fresh)
    deployment = deploy(settings.load(home=folder / "nobody", devnet=folder, environ={}))
    return "\n".join([record.rpc, *(f"{name} {address}" for name, address in deployment.addresses.items())])


if __name__ == "__main__":
    sys.exit(main())
