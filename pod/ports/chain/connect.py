"""Connecting: before anything is done, the node is on the agreed chain and the deployment's
contracts stand there.

Endpoint and deployment come from the settings of whoever connects, never from what is being
checked. Where the settings name the chain, all of it is one request to the node.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fitchain.pod.ports.chain import answers
from fitchain.pod.ports.chain.answers import Query
from fitchain.pod.ports.chain.base import Constants, Deployment, Signer
from fitchain.pod.ports.chain.client import Chain
from fitchain.pod.ports.chain.code import code_requests, require_code
from fitchain.pod.ports.chain.known import KnownChain, require_known, require_known_genesis
from fitchain.pod.ports.chain.queue import Queue
from fitchain.pod.ports.chain.rpc import Node
from fitchain.pod.ports.chain.sender import Unlocked
from fitchain.pod.ports.settings import Settings
from fitchain.pod.values.digest import Digest
from fitchain.pod.values.errors import ChainUnusable, NotFound

_checked: dict[tuple[str, bytes], tuple[Digest, Constants]] = {}
"""Node and deployment -> the chain's genesis block, and what the contracts' code said: code never
changes, so a process reads it once."""


def connect(settings: Settings, account: Signer | None = None, adopt: bool = False) -> Chain:
    """Connect to the node and the deployment that the settings name.

    Args:
        settings: where the node, the home and the devnet are.
        account: an opened key to send with; None reads only. Its unconfirmed transactions are
            looked up and sent again.
        adopt: take the chain for the home's, whatever its record says.

    Raises:
        NodeUnreachable: no node answers.
        ChainUnusable: it is on another chain, or what stands where the deployment says are not
            this Fitchain's contracts; or the home belongs to another chain or deployment.
        NotFound: no deployment on this chain is known.
    """
    node, settings, genesis, deployment, constants = _open(settings, adopt)
    if not adopt:
        require_known(settings.home, KnownChain.of(genesis, deployment), node.shown)
    sender = None
    if account is not None:
        cap, confirmations = settings.fee_cap_wei, settings.confirmations
        sender = Queue(settings.home, node, genesis, deployment.chain_id, account, cap, confirmations)
        # Last: a home that has met a chain and lacks the queue has lost it.
        KnownChain.of(genesis, deployment).keep(settings.home)
        sender.rebroadcast()
    return Chain(node, settings, deployment, sender, account, constants)


def connect_unlocked(settings: Settings) -> Chain:
    """Connect with the first account that the node itself holds: a devnet's deployer and faucet.
    Raises as `connect`."""
    node, settings, _, deployment, constants = _open(settings)
    return Chain(node, settings, deployment, unlocked_account(node), constants=constants)


def unlocked_account(node: Node) -> Unlocked:
    """The first account that the node itself holds.

    Raises:
        NotFound: it holds none.
    """
    accounts = node.ask(answers.accounts())
    if not accounts:
        raise NotFound(f"the node at {node.shown} holds no account", "only a devnet does; use a key of your own")
    return Unlocked(node, accounts[0])


def join(node: Node, settings: Settings) -> tuple[Settings, Digest]:
    """Check that a node is on the wanted chain.

    Returns:
        the settings with that chain's defaults; the hash of its genesis block.

    Raises:
        ChainUnusable: the node is on another chain.
    """
    return _joined(node, settings, node.batch(_WHICH_CHAIN))


def find_deployment(settings: Settings) -> Deployment:
    """The deployment that this home, or else the devnet, has on the chain.

    Raises:
        NotFound: there is none.
        ChainUnusable: the record is of another chain.
    """
    assert settings.chain_id is not None
    paths = settings.deployment_paths(settings.chain_id)
    for path in paths:
        if (deployment := Deployment.read(path)) is None:
            continue
        if deployment.chain_id != settings.chain_id:
            raise ChainUnusable(f"{path} is of chain {deployment.chain_id}, and the node is on {settings.chain_id}")
        return deployment
    raise NotFound(
        f"no deployment on chain {settings.chain_id} is known: neither {paths[0]} nor {paths[1]} exists",
        "run `fitchain deploy`, or copy the deployment's file there",
    )


def require_contracts(node: Node, deployment: Deployment) -> Constants:
    """Read the contracts' code and check it; returns and raises as `code.require_code`."""
    return require_code(deployment, node.batch(code_requests(deployment)))


_WHICH_CHAIN: Sequence[Query[Any]] = (answers.chain_id(), answers.block(0))


def _open(settings: Settings, adopt: bool = False) -> tuple[Node, Settings, Digest, Deployment, Constants]:
    """Check chain and contracts in as few requests as the settings allow."""
    settings = settings.located()
    node = Node(settings.rpc)
    expected = None
    if settings.chain_id is not None and any(path.exists() for path in settings.deployment_paths(settings.chain_id)):
        expected = find_deployment(settings)
    unread = expected is not None and (settings.rpc, expected.encode()) not in _checked
    asked = code_requests(expected) if expected is not None and unread else []
    answered = node.batch([*_WHICH_CHAIN, *asked])
    settings, genesis = _joined(node, settings, answered[: len(_WHICH_CHAIN)])
    if expected is None and not adopt:
        require_known_genesis(settings.home, answered[0], genesis, node.shown)
    deployment = expected or find_deployment(settings)
    key = (settings.rpc, deployment.encode())
    if asked:
        _checked[key] = genesis, require_code(deployment, answered[len(_WHICH_CHAIN) :])
    elif key not in _checked or _checked[key][0] != genesis:
        _checked[key] = genesis, require_contracts(node, deployment)
    node.stay_on(genesis, settings.running_devnet)
    return node, settings, genesis, deployment, _checked[key][1]


def _joined(node: Node, settings: Settings, answered: Sequence[Any]) -> tuple[Settings, Digest]:
    chain_id, genesis = answered
    if settings.chain_id not in (None, chain_id):
        raise ChainUnusable(
            f"the node at {node.shown} is on chain {chain_id}, and the settings say {settings.chain_id}",
            "correct the node's URL or FITCHAIN_CHAIN_ID",
        )
    if genesis is None:
        raise ChainUnusable(f"the node at {node.shown} does not have the chain's first block", "name another node")
    return settings.on_chain(chain_id), genesis.hash
