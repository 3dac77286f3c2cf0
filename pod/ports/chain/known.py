"""The chain that a home belongs to: what it met first, and refuses all others by.

A devnet that was begun anew has the same chain id and the same addresses, and another node at the
same URL may be on any chain. A pod whose journal speaks of one chain must not act on another. So
`<home>/known-chain.json` keeps the hash of the first block and where the contracts stand, from the
first time on that the home sends from its account.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fitchain.pod.ports.chain.base import CONTRACTS, DIRECTORY, Deployment, read_address, write_file
from fitchain.pod.values.digest import Digest
from fitchain.pod.values.errors import ChainUnusable, InputRefused, OtherVersion
from fitchain.pod.values.versions import require_version

KNOWN_FILE = "known-chain.json"
KNOWN_VERSION = "fitchain/known-chain/v2"


@dataclass(frozen=True)
class KnownChain:
    """A chain and a deployment on it.

    Args:
        chain_id: the chain.
        genesis: hash of its first block.
        addresses: contract name -> where it stands, the directory included.
    """

    chain_id: int
    genesis: Digest
    addresses: Mapping[str, str]

    @classmethod
    def of(cls, genesis: Digest, deployment: Deployment) -> KnownChain:
        """What a connection has connected."""
        return cls(deployment.chain_id, genesis, {**deployment.addresses, DIRECTORY: deployment.directory})

    @classmethod
    def read(cls, home: Path) -> KnownChain | None:
        """What a home has met; None where it has met no chain.

        Raises:
            InputRefused: the file is no such record.
        """
        path = home / KNOWN_FILE
        try:
            body = json.loads(path.read_bytes())
            require_version(str(path), body, KNOWN_VERSION)
            if body["version"] != KNOWN_VERSION:
                raise ValueError("its version is no text")
            addresses = {name: read_address(body["contracts"][name]) for name in (*CONTRACTS, DIRECTORY)}
            return cls(int(body["chain_id"]), Digest.parse(body["genesis"]), addresses)
        except FileNotFoundError:
            return None
        except OtherVersion:
            raise
        except (ValueError, KeyError, TypeError, OSError, InputRefused) as error:
            raise InputRefused(
                f"{path} is not the record of a home's chain: {error!r:.200}",
                "put it back from a copy of the home; without it nothing says which chain the journal is about",
            ) from None

    def keep(self, home: Path) -> None:
        """Write it down."""
        body = {
            "version": KNOWN_VERSION,
            "chain_id": self.chain_id,
            "genesis": str(self.genesis),
            "contracts": dict(self.addresses),
        }
        write_file(home / KNOWN_FILE, (json.dumps(body, indent=2) + "\n").encode())


def require_known(home: Path, connected: KnownChain, node: str) -> None:
    """Check that what a connection has found is what the home has met, if it has met any.

    Args:
        home: the pod's folder.
        connected: chain and deployment.
        node: the node's URL as people are shown it.

    Raises:
        ChainUnusable: it is another chain, or another deployment.
        InputRefused: the home's record is none.
    """
    record = require_known_genesis(home, connected.chain_id, connected.genesis, node)
    if record is None or record == connected:
        return
    name = next(name for name, address in record.addresses.items() if connected.addresses[name] != address)
    raise ChainUnusable(
        f"the home {home} belongs to the deployment whose {name} stands at {record.addresses[name]}, and the "
        f"deployment that is recorded for chain {connected.chain_id} has it at {connected.addresses[name]}",
        "get the deployment's file again from where you trust it, or take another home with --home",
    )


def require_known_genesis(home: Path, chain_id: int, genesis: Digest, node: str) -> KnownChain | None:
    """Check that a node is on the chain that the home has met, whatever is deployed there.

    Args:
        home: the pod's folder.
        chain_id, genesis: the node's chain, and the hash of its first block.
        node: its URL as people are shown it.

    Returns:
        what the home has met; None where it has met no chain.

    Raises:
        ChainUnusable: it is another chain.
        InputRefused: the home's record is none.
    """
    record = KnownChain.read(home)
    if record is not None and (record.chain_id, record.genesis) != (chain_id, genesis):
        raise ChainUnusable(
            f"the home {home} belongs to chain {record.chain_id} that begins with block {record.genesis}, and the node "
            f"at {node} is on chain {chain_id} that begins with block {genesis}",
            f"name a node of its chain with --rpc, or take another home with --home; if its chain is gone for good "
            f"(a devnet that was begun anew), {home / KNOWN_FILE} may go, and what the journal says of it is void",
        )
    return record
