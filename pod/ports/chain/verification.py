"""What a block explorer is given so that it shows the contracts' sources: written beside a
deployment's file.

`<chain id>.verification.json` is the compiler's standard JSON input, byte for byte the one that the
artifacts were compiled from: one file serves all contracts, and explorers take it as it is
("Standard JSON input"). `<chain id>.explorer.json` says what else their forms ask for, contract by
contract: the compiler's version, the name with its source, the address, the constructor's
arguments.
"""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path

from fitchain.pod.ports.chain.abi import interface
from fitchain.pod.ports.chain.base import DIRECTORY, Constants, Deployment, write_file
from fitchain.pod.ports.chain.plan import Plan

EXPLORER_VERSION = "fitchain/explorer/v2"


def verification_paths(record: Path) -> tuple[Path, Path]:
    """The two files beside a deployment's: the compiler's input, and what goes with it."""
    return record.with_suffix(".verification.json"), record.with_suffix(".explorer.json")


def write_verification(record: Path, deployment: Deployment, constants: Constants) -> None:
    """Write both files.

    Args:
        record: where the deployment's own file is, or will be.
        deployment: the deployment.
        constants: what was chosen for it.
    """
    source, explorer = verification_paths(record)
    artifacts = resources.files("fitchain.pod.ports.chain") / "artifacts"
    write_file(source, (artifacts / "standard-input.json").read_bytes())
    plan = Plan.of(deployment, constants)
    addresses = {DIRECTORY: deployment.directory, **deployment.addresses}
    body = {
        "version": EXPLORER_VERSION,
        "chain_id": deployment.chain_id,
        "standard_input": source.name,
        "contracts": {
            name: {
                "address": addresses[name],
                "contract": f"{interface(name).source}:{name}",
                "compiler": f"v{interface(name).compiler}",
                "constructor_arguments": "0x" + interface(name).constructor_words(arguments).hex(),
            }
            for name, arguments in plan.arguments().items()
        },
    }
    write_file(explorer, (json.dumps(body, indent=2) + "\n").encode())
