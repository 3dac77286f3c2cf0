"""Deploy the contracts on the chain of any node, or go on with a deployment that was cut off.

    python scripts/deploy.py --rpc URL --passphrase-file FILE [--home FOLDER] [--key NAME]
    [--chain-id N]

Prints the deployment, which is also kept as `<home>/deployments/<chain id>.json`. On a devnet no
key is needed: its node deploys.
"""

from __future__ import annotations

import argparse
import getpass
import sys
from pathlib import Path

from fitchain.pod.ports import keys, settings
from fitchain.pod.ports.chain.deploy import deploy
from fitchain.pod.ports.settings import DEVNET_CHAIN_ID
from fitchain.pod.values.errors import FitchainError


def main() -> int:
    """Deploy as the command line says; the exit code."""
    args = _parser().parse_args()
    try:
        configured = settings.load(args.home, args.rpc, args.chain_id, key=args.key, confirmations=args.confirmations)
        needed = args.passphrase_file or configured.chain_id != DEVNET_CHAIN_ID
        account = keys.unlock(configured.home, configured.key, _passphrase(args.passphrase_file)) if needed else None
        sys.stdout.write(deploy(configured, account).encode().decode())
    except FitchainError as error:
        print(f"{error.message}\n{error.hint}".strip(), file=sys.stderr)
        return error.exit_code
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Deploy the contracts.")
    parser.add_argument("--rpc", help="URL of the node")
    parser.add_argument("--chain-id", type=int, help="refuse a node on another chain")
    parser.add_argument("--home", type=Path, help="folder of the pod that pays")
    parser.add_argument("--key", help="name of its key")
    parser.add_argument("--passphrase-file", type=Path, help="file whose first line is the key's passphrase")
    parser.add_argument("--confirmations", type=int, help="blocks to wait for")
    return parser


def _passphrase(file: Path | None) -> str:
    return file.read_text().splitlines()[0] if file else getpass.getpass("Passphrase: ")


if __name__ == "__main__":
    sys.exit(main())
