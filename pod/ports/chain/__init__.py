"""The chain: a client, the contracts' artifacts, deployment, the nonce queue, the devnet.

It knows contracts by name, calls and events; what an agreement means is said in `registry` and
`agreement`. Where CREATE2 puts what is created says `create2`. Nothing here imports torch, and
reading needs no key.

    base           values: deployment, block, event, receipt, pending transaction, signer
    abi            the artifacts: call data, events, errors by selector
    answers        what a node is asked, each with the codec of its answer
    rpc            JSON-RPC to one node; foreign exceptions end here
    reads          what can be read, as values
    reader         calls, events and blocks of one deployment, many of them together
    reading        reads in several steps, many of them together
    heads          the newest blocks, each of which names the one before it
    witness        a second node that has to say the same
    sender         whoever gets transactions of one account to the node
    queue          the sender with a key of ours: signed, written down, sent, sent again
    client         the reader that also sends
    permit         signed allowances of FIT
    plan           which contracts a deployment creates, and where
    code           whether the contracts that stand are ours
    known          the chain and the deployment that a home belongs to
    connect        the checks before anything is done
    prerequisites  what a chain must have
    verification   what a block explorer is given
    deploy         the contracts put on a chain, once
    devnet         a local chain whose time passes
    node_tools     programs that npm installed
"""

from fitchain.pod.ports.chain.base import Block, Deployment, Event, Pending, Receipt, Signer
from fitchain.pod.ports.chain.client import Chain
from fitchain.pod.ports.chain.connect import connect, connect_unlocked
from fitchain.pod.ports.chain.reads import Read, ReadBalance, ReadBlock, ReadCall, ReadEvents

__all__ = [
    "Block",
    "Chain",
    "Deployment",
    "Event",
    "Pending",
    "Read",
    "ReadBalance",
    "ReadBlock",
    "ReadCall",
    "ReadEvents",
    "Receipt",
    "Signer",
    "connect",
    "connect_unlocked",
]
