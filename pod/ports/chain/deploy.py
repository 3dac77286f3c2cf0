"""Deployment: the contracts put on a chain, each by itself, at addresses that follow from who
deploys and what is chosen.

Works on any chain whose node speaks Ethereum's JSON-RPC, that has the CREATE2 factory and serves
the hashes of old blocks (EIP-2935). On a devnet the node's own first account deploys and gets the
supply of FIT; elsewhere a key of the home does. Nothing is kept while it goes on: what stands is
seen on the chain, and whoever runs it again completes what is missing. At the end `<chain id>.json`
is the deployment; beside it lies what a block explorer is given (`verification`).
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from fitchain.pod.ports.chain.base import (
    CONTRACTS,
    DIRECTORY,
    Constants,
    Deployment,
    Pending,
    Signer,
    write_file,
)
from fitchain.pod.ports.chain.client import Chain
from fitchain.pod.ports.chain.connect import join, require_contracts, unlocked_account
from fitchain.pod.ports.chain.create2 import FACTORY, creation
from fitchain.pod.ports.chain.plan import Plan
from fitchain.pod.ports.chain.prerequisites import require_factory, require_history, send_factory
from fitchain.pod.ports.chain.queue import Queue
from fitchain.pod.ports.chain.rpc import Node
from fitchain.pod.ports.chain.sender import Sender
from fitchain.pod.ports.chain.verification import verification_paths, write_verification
from fitchain.pod.ports.settings import DEVNET_CHAIN_ID, DevnetRecord, Settings
from fitchain.pod.values.amounts import FIT
from fitchain.pod.values.digest import Digest
from fitchain.pod.values.errors import AccessRefused, ChainUnusable, InputRefused, Reverted

FEE_FLOOR = FIT
TURN_BLOCKS, DEVNET_TURN_BLOCKS = 25, 8
MAX_TURN_BLOCKS = 8191
"""So many hashes of old blocks a chain serves (EIP-2935)."""

MAX_FEE = 2**80 - 1
SEARCHED_BLOCKS = 1_000
REFUSALS = 3
"""So often the estimate of a contract's creation may be refused before that is believed."""


@dataclass(frozen=True)
class Choices:
    """What the deployer chooses; None leaves it to the default, or to the deployment that stands.

    Args:
        fee_floor: the least fee of a seat, in base units; one FIT.
        turn_blocks: blocks in which only whoever asked for an audit draws its verifiers; 25, and 8
            on the devnet.
        number: sets a deployer's deployments of the same contracts apart; 0.
        with_factory: whether the CREATE2 factory is paid for where it is absent.
    """

    fee_floor: int | None = None
    turn_blocks: int | None = None
    number: int | None = None
    with_factory: bool = False

    def __post_init__(self) -> None:
        _require_within("the floor of fees", self.fee_floor, 1, MAX_FEE)
        _require_within("the asker's turn, in blocks,", self.turn_blocks, 1, MAX_TURN_BLOCKS)
        _require_within("the deployment's number", self.number, 0, 2**53 - 1)

    def plan(self, deployer: str, chain_id: int) -> Plan:
        """What is created, with the defaults where nothing was chosen."""
        turn = DEVNET_TURN_BLOCKS if chain_id == DEVNET_CHAIN_ID else TURN_BLOCKS
        return Plan(
            deployer,
            FEE_FLOOR if self.fee_floor is None else self.fee_floor,
            turn if self.turn_blocks is None else self.turn_blocks,
            self.number or 0,
        )

    def differences(self, constants: Constants, number: int) -> Iterator[str]:
        """What was chosen otherwise than it stands."""
        for what, chosen, value in (
            ("a floor of fees of", self.fee_floor, constants.fee_floor),
            ("an asker's turn in blocks of", self.turn_blocks, constants.turn_blocks),
            ("the number", self.number, number),
        ):
            if chosen not in (None, value):
                yield f"{what} {value}, and {chosen} is asked for"


def deploy(settings: Settings, account: Signer | None = None, choices: Choices | None = None) -> Deployment:
    """Deploy the contracts, go on with a deployment that was cut off, or find one that is complete.

    Args:
        settings: which node; a `chain_id` there must be the node's.
        account: the opened key that pays and gets the supply of FIT; None takes a devnet's own
            account.
        choices: what is chosen for it; None takes the defaults.

    Returns:
        the deployment, which is written to `deployments/<chain id>.json` in the home, or in the
        devnet's folder for a running devnet.

    Raises:
        NodeUnreachable: no node is chosen and no devnet runs, or the node does not answer.
        ChainUnusable: the node is on another chain, the chain lacks the factory or EIP-2935, the
            account cannot pay, or a record stands whose contracts do not.
        AccessRefused: the chain is no devnet and no key was given.
        InputRefused: a choice is out of range, or differs from the deployment that is recorded.
    """
    choices = choices or Choices()
    settings = settings.located()
    node = Node(settings.rpc)
    settings, genesis = join(node, settings)
    assert settings.chain_id is not None
    path = record_path(settings, settings.chain_id)
    deployment = _recorded(node, settings.chain_id, path, choices)
    complete = deployment is not None
    deployment = deployment or _Work(node, settings, genesis, account, choices).finish()
    if not complete or not all(file.exists() for file in verification_paths(path)):
        write_verification(path, deployment, require_contracts(node, deployment))
        write_file(path, deployment.encode())
    return deployment


def record_path(settings: Settings, chain_id: int) -> Path:
    """Where a deployment on this chain is recorded."""
    home, devnet = settings.deployment_paths(chain_id)
    record = DevnetRecord.read(settings.devnet)
    return devnet if record and record.alive and record.rpc == settings.rpc else home


def _recorded(node: Node, chain_id: int, path: Path, choices: Choices) -> Deployment | None:
    """The recorded deployment, if its contracts stand and are what is chosen.

    A devnet gets a new one where they do not (it was started afresh), are of another Fitchain, or
    something else is chosen.
    """
    devnet = chain_id == DEVNET_CHAIN_ID
    try:
        if (recorded := Deployment.read(path)) is None:
            return None
        constants = require_contracts(node, recorded)
    except ChainUnusable as fault:
        if devnet:
            return None
        hint = "let the node catch up with its chain; to deploy anew, move that file away"
        raise ChainUnusable(f"{path} records a deployment, but {fault.message}", hint) from None
    except InputRefused:
        if devnet:
            return None
        raise
    differences = list(choices.differences(constants, recorded.number))
    if differences and not devnet:
        hint = "to deploy a second time, move that file away"
        raise InputRefused(f"{path} records a deployment with {differences[0]}", hint)
    return None if differences else recorded


class _Work:
    """A deployment under way.

    Args:
        node: the node.
        settings: with the chain's own defaults in place.
        genesis: hash of the chain's first block.
        account: the key that pays; None takes a devnet's own account.
        choices: what is chosen.
    """

    def __init__(
        self, node: Node, settings: Settings, genesis: Digest, account: Signer | None, choices: Choices
    ) -> None:
        assert settings.chain_id is not None
        sender = _sender(node, settings, genesis, account)
        self.plan = choices.plan(sender.address, settings.chain_id)
        self.planned = self.plan.deployment(settings.chain_id)
        self.with_factory = choices.with_factory
        self.confirmed = Chain(node, settings, self.planned, sender, account)
        # Each step rests on the newest block; only the whole waits for its confirmations.
        self.chain = Chain(node, replace(settings, confirmations=0), self.planned, sender, account)

    def finish(self) -> Deployment:
        """Do what is missing and wait until all of it is confirmed."""
        self.chain.catch_up()
        if self.with_factory:
            send_factory(self.chain)
        require_factory(self.chain)
        require_history(self.chain)
        if not self._stands(DIRECTORY):
            self.chain.wait(self._create(DIRECTORY))
        block = self._fill()
        require_history(self.chain)
        sent = [self._create(name) for name in CONTRACTS if not self._stands(name)]
        last = max([block, *(self.chain.wait(pending).block for pending in sent)])
        self.confirmed.wait_for(last)
        return replace(self.planned, block=block)

    def _stands(self, name: str) -> bool:
        return bool(self.chain.code(self.chain.addresses[name]))

    def _create(self, name: str) -> Pending:
        """Send what creates a contract.

        A node that seals a block while it estimates may run a constructor in a block whose parent
        has no hash yet (anvil 1.7 does); the factory hands on no reason. What is refused for
        another one is refused again in the next blocks.
        """
        data = creation(self.plan.salt, self.plan.init_codes()[name])
        for _ in range(REFUSALS):
            try:
                return self.chain.submit_raw(FACTORY, data, f"the creation of {name}")
            except Reverted:
                require_history(self.chain)
                time.sleep(self.chain.settings.poll_s)
        return self.chain.submit_raw(FACTORY, data, f"the creation of {name}")

    def _fill(self) -> int:
        """Tell the directory where the others will stand, once; the block in which that was
        done."""
        try:
            self.chain.call(DIRECTORY, "contracts", block="latest")
        except Reverted as refusal:
            if refusal.error != "NotFilled":
                raise
            listed = {name[0].lower() + name[1:]: self.planned.addresses[name] for name in CONTRACTS}
            return self.chain.send(DIRECTORY, "fill", listed).block
        return next(self._filled_before())

    def _filled_before(self) -> Iterator[int]:
        """The block in which the directory was filled, looked for from the newest one back: a
        deployment that was cut off is gone on with soon."""
        last, span = self.chain.head(), SEARCHED_BLOCKS
        while last >= 0:
            first = max(0, last - span + 1)
            yield from (event.block for event in self.chain.events(DIRECTORY, "Filled", first, last))
            last, span = first - 1, 2 * span
        raise ChainUnusable(f"the node does not give the event of the directory {self.planned.directory}")


def _sender(node: Node, settings: Settings, genesis: Digest, account: Signer | None) -> Sender:
    """Who sends: the key that was given, or a devnet's own account."""
    chain_id = settings.chain_id or 0
    if account is not None:
        queue = Queue(settings.home, node, genesis, chain_id, account, settings.fee_cap_wei, settings.confirmations)
        queue.rebroadcast()
        return queue
    if chain_id != DEVNET_CHAIN_ID:
        hint = "open a key of this home: `fitchain deploy --key NAME`"
        raise AccessRefused(f"a deployment on chain {chain_id} needs a key that pays for it", hint)
    return unlocked_account(node)


def _require_within(what: str, value: int | None, least: int, most: int) -> None:
    if value is not None and not least <= value <= most:
        raise InputRefused(f"{what} is from {least} to {most}, not {value}")
