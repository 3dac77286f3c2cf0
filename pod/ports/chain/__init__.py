"""The chain: a client, the contracts' artifacts, deployment, the nonce queue, the devnet.

It knows contracts by name, calls and events; what an agreement means is said in `registry` and
`agreement`. Nothing here imports torch, and reading needs no key.

    base        values: deployment, block, event, receipt, pending transaction, signer
    abi         the artifacts: call data, events, errors by selector
    rpc         JSON-RPC to one node; foreign exceptions end here
    sender      whoever gets transactions of one account to the node
    queue       the sender with a key of ours: signed, written down, sent, sent again
    client      typed calls, transactions and events of one deployment
    connect     the checks before anything is done
    deploy      the contracts put on a chain, once
    devnet      a local chain whose time passes
    node_tools  programs that npm installed
"""

from fitchain.pod.ports.chain.base import Block, Deployment, Event, Pending, Receipt, Signer, amount_text
from fitchain.pod.ports.chain.client import Chain
from fitchain.pod.ports.chain.connect import connect, connect_unlocked

__all__ = [
    "Block",
    "Chain",
    "Deployment",
    "Event",
    "Pending",
    "Receipt",
    "Signer",
    "amount_text",
    "connect",
    "connect_unlocked",
]
