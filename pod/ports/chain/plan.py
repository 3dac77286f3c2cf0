"""Which contracts a deployment creates, and where: everything follows from who deploys, two
amounts and a number.

The contracts call one another, so none could be given the others' addresses when it is created if
its own address depended on them. Each is given the directory's instead. The salt covers everything
that is chosen and all creation code: a directory's address belongs to one set of contracts, and
what was left unfinished can only be finished as it was begun.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fitchain.pod.ports.chain.abi import interface
from fitchain.pod.ports.chain.base import CONTRACTS, DIRECTORY, Constants, Deployment
from fitchain.pod.ports.chain.create2 import created_at
from fitchain.pod.values.digest import Digest, sha256, tagged


@dataclass(frozen=True)
class Plan:
    """A deployment before it is made.

    Args:
        deployer: the account that fills the directory and gets the supply of FIT.
        fee_floor: the least fee of a seat, in base units.
        turn_blocks: blocks in which only whoever asked for an audit draws its verifiers.
        number: sets a deployer's deployments of the same contracts apart.
    """

    deployer: str
    fee_floor: int
    turn_blocks: int
    number: int

    @classmethod
    def of(cls, deployment: Deployment, constants: Constants) -> Plan:
        """How a deployment that stands was made."""
        return cls(constants.deployer, constants.fee_floor, constants.turn_blocks, deployment.number)

    @property
    def salt(self) -> Digest:
        """The salt of every contract of the deployment."""
        codes = sha256(b"".join(interface(name).bytecode for name in (DIRECTORY, *CONTRACTS)))
        return tagged("fitchain/deployment-salt/v2", self.number, self.fee_floor, self.turn_blocks, codes)

    @property
    def directory(self) -> str:
        """Where the directory stands."""
        return created_at(self.salt, interface(DIRECTORY).init_code([self.deployer]))

    def arguments(self) -> Mapping[str, list[Any]]:
        """The constructors' arguments by contract, the directory's first."""
        arguments: dict[str, list[Any]] = {DIRECTORY: [self.deployer], "FitCoin": [self.deployer]}
        arguments |= {name: [self.directory] for name in CONTRACTS if name != "FitCoin"}
        arguments["Agreements"].append(self.fee_floor)
        arguments["Audits"].append(self.turn_blocks)
        return arguments

    def init_codes(self) -> Mapping[str, bytes]:
        """What creates each contract, by its name, the directory's first."""
        return {name: interface(name).init_code(args) for name, args in self.arguments().items()}

    def deployment(self, chain_id: int, block: int = 0) -> Deployment:
        """Where the contracts stand on a chain, once they do."""
        salt = self.salt
        addresses = {name: created_at(salt, code) for name, code in self.init_codes().items()}
        return Deployment(
            chain_id, {name: addresses[name] for name in CONTRACTS}, addresses[DIRECTORY], self.number, block
        )
