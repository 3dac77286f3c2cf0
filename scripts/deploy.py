"""Deploy the contracts on the chain of any node, or go on with a deployment that was cut off.

    python scripts/deploy.py --rpc URL --passphrase-file FILE [--home FOLDER] [--key NAME]
    [--chain-id N] [--fee-floor UNITS] [--turn-blocks N] [--number N] [--with-factory]

Prints the deployment, which is also kept as `<home>/deployments/<chain id>.json`. On a devnet no
key is needed: its node deploys.
"""

from __future__ import annotations

import argparse
import getpass
import sys
from pathlib import Path

from fitchain.pod.ports import keys, settings
from fitchain.pod.ports.chain.deploy import Choices, deploy
from fitchain.pod.ports.settings import DEVNET_CHAIN_ID
from fitchain.pod.values.errors import FitchainError


def main() -> int:
    """Deploy as the command line says; the exit code."""
    args = _parser().parse_args()
    try:
        configured = settings.load(args.home, args.rpc, args.chain_id, key=args.key, confirmations=args.confirmations)
        needed = args.passphrase_file or configured.chain_id != DEVNET_CHAIN_ID
        account = keys.unlock(configured.home, configured.key, _passphrase(args.passphrase_file)) if needed else None
        choices = Choices(args.fee_floor, args.turn_blocks, args.number, args.with_factory)
        sys.stdout.write(deploy(configured, account, choices).encode().decode())
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
    parser.add_argument("--fee-floor", type=int, help="the least fee of a seat, in base units of FIT")
    parser.add_argument("--turn-blocks", type=int, help="blocks in which only the asker draws an audit's verifiers")
    parser.add_argument("--number", type=int, help="sets deployments of one account apart")
    parser.add_argument("--with-factory", action="store_true", help="pay for the CREATE2 factory where it is absent")
    return parser


def _passphrase(file: Path | None) -> str:
    return file.read_text().splitlines()[0] if file else getpass.getpass("Passphrase: ")


if __name__ == "__main__":
    sys.exit(main())
