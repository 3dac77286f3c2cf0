"""Connecting: before anything is done, the node is on the agreed chain and the deployment's
contracts stand there.

Endpoint and deployment come from the settings of whoever connects, never from what is being
checked.
"""

from __future__ import annotations

from fitchain.pod.ports.chain.base import CONTRACTS, Deployment, Signer
from fitchain.pod.ports.chain.client import Chain, checksum
from fitchain.pod.ports.chain.queue import Queue
from fitchain.pod.ports.chain.rpc import Node
from fitchain.pod.ports.chain.sender import Unlocked
from fitchain.pod.ports.settings import Settings
from fitchain.pod.values.digest import Digest
from fitchain.pod.values.errors import ChainUnusable, NotFound


def connect(settings: Settings, account: Signer | None = None) -> Chain:
    """Connect to the node and the deployment that the settings name.

    Args:
        settings: where the node, the home and the devnet are.
        account: an opened key to send with; None reads only. Its unconfirmed transactions are
            looked up and sent again.

    Raises:
        NodeUnreachable: no node answers.
        ChainUnusable: it is on another chain, or the contracts do not stand where the deployment
            says.
        NotFound: no deployment on this chain is known.
    """
    node = Node(settings.rpc)
    settings, genesis = join(node, settings)
    deployment = find_deployment(settings)
    sender = None
    if account is not None:
        chain_id = deployment.chain_id
        cap, confirmations = settings.fee_cap_wei, settings.confirmations
        sender = Queue(settings.home, node, genesis, chain_id, account, cap, confirmations)
    chain = Chain(node, settings, deployment, sender, account)
    require_contracts(chain)
    if sender is not None:
        sender.nudge()
    return chain


def connect_unlocked(settings: Settings) -> Chain:
    """Connect with the first account that the node itself holds: a devnet's deployer and faucet.
    Raises as `connect`."""
    node = Node(settings.rpc)
    settings, _ = join(node, settings)
    chain = Chain(node, settings, find_deployment(settings), unlocked_account(node))
    require_contracts(chain)
    return chain


def unlocked_account(node: Node) -> Unlocked:
    """The first account that the node itself holds.

    Raises:
        NotFound: it holds none.
    """
    accounts = node.request("eth_accounts")
    if not accounts:
        raise NotFound(f"the node at {node.shown} holds no account", "only a devnet does; use a key of your own")
    return Unlocked(node, checksum(accounts[0]))


def join(node: Node, settings: Settings) -> tuple[Settings, Digest]:
    """Check that a node is on the wanted chain.

    Returns:
        the settings with that chain's defaults; the hash of its genesis block.

    Raises:
        ChainUnusable: the node is on another chain.
    """
    answer, genesis = node.batch([("eth_chainId", []), ("eth_getBlockByNumber", ["0x0", False])])
    chain_id = int(answer, 16)
    if settings.chain_id not in (None, chain_id):
        raise ChainUnusable(
            f"the node at {node.shown} is on chain {chain_id}, and the settings say {settings.chain_id}",
            "correct the node's URL or FITCHAIN_CHAIN_ID",
        )
    return settings.on_chain(chain_id), Digest.parse(genesis["hash"])


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


def require_contracts(chain: Chain) -> None:
    """Check that the contracts stand where the deployment says and know each other.

    Raises:
        ChainUnusable: one is missing, or belongs to another deployment.
    """
    addresses = chain.deployment.addresses
    codes = chain.node.batch([("eth_getCode", [addresses[name], "latest"]) for name in CONTRACTS])
    for name, code in zip(CONTRACTS, codes, strict=True):
        if len(code) <= len("0x"):
            raise ChainUnusable(
                f"no contract stands at {addresses[name]}, where the deployment has {name}",
                "run `fitchain deploy` (a devnet that was started afresh has forgotten its contracts)",
            )
    links = ("fitCoin", "registry", "proofOfTrain")
    linked = chain.call_many([("Agreements", link, ()) for link in links], "latest")
    for link, address in zip(links, linked, strict=True):
        name = link[0].upper() + link[1:]
        if address != addresses[name]:
            raise ChainUnusable(f"Agreements names {address} as its {name}, and the deployment says {addresses[name]}")
