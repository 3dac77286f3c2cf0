"""What a chain must have before the contracts can be put on it: the CREATE2 factory, and the hashes
of old blocks (EIP-2935)."""

from __future__ import annotations

import time

from fitchain.pod.ports.chain import answers
from fitchain.pod.ports.chain.client import WAIT_S, Chain
from fitchain.pod.ports.chain.create2 import (
    FACTORY,
    FACTORY_CODE,
    FACTORY_COST_WEI,
    FACTORY_SENDER,
    FACTORY_TRANSACTION,
)
from fitchain.pod.values.amounts import amount_text
from fitchain.pod.values.errors import ChainUnusable, NodeRefused

HISTORY = "0x0000F90827F1C53a10cb7A02335B175320002935"
"""The history contract of EIP-2935: called with a block number it returns the hash of one of the
last 8191 blocks."""


def require_factory(chain: Chain) -> None:
    """Check that the CREATE2 factory stands.

    Raises:
        ChainUnusable: it does not, or something else stands there.
    """
    code = chain.code(FACTORY)
    if code == FACTORY_CODE:
        return
    if code:
        raise ChainUnusable(
            f"what stands at {FACTORY} on chain {chain.chain_id} is not the CREATE2 factory",
            "Fitchain cannot be deployed on this chain",
        )
    raise ChainUnusable(
        f"the CREATE2 factory {FACTORY} is absent on chain {chain.chain_id}, "
        "and the contracts' addresses follow from it",
        f"`fitchain deploy --with-factory` puts it there: it gives {FACTORY_SENDER} what it lacks of "
        f"{amount_text(FACTORY_COST_WEI)} ETH and sends that account's one transaction, which was signed for every "
        "chain; anybody else may do the same",
    )


def send_factory(chain: Chain) -> None:
    """Put the CREATE2 factory where it is absent; nothing where something stands.

    Raises:
        ChainUnusable: the account cannot pay, the node refuses a transaction that names no chain
            (EIP-155), or the factory does not come up.
    """
    if chain.code(FACTORY):
        return
    if chain.node.ask(answers.transaction_count(FACTORY_SENDER, "latest")):
        raise ChainUnusable(
            f"the CREATE2 factory can never stand on chain {chain.chain_id}: "
            f"{FACTORY_SENDER} has used up its one transaction there",
            "choose another chain",
        )
    if (missing := FACTORY_COST_WEI - chain.balance(FACTORY_SENDER)) > 0:
        chain.wait(chain.submit_raw(FACTORY_SENDER, b"", "paying for the CREATE2 factory", value=missing))
    try:
        chain.node.ask(answers.send_raw(FACTORY_TRANSACTION))
    except NodeRefused as refusal:
        if "already known" not in refusal.message.lower():
            raise ChainUnusable(
                f"the node does not take the CREATE2 factory's transaction, which is signed for every chain and "
                f"offers 100 gwei: {refusal.message}",
                f"{FACTORY_SENDER} has been paid; send the transaction through a node that takes it, then run "
                "`fitchain deploy` again",
            ) from None
    deadline = time.monotonic() + WAIT_S
    while not chain.code(FACTORY):
        if time.monotonic() > deadline:
            raise ChainUnusable(
                f"the CREATE2 factory's transaction is not mined after {WAIT_S:.0f} s",
                "it offers 100 gwei; run `fitchain deploy` again once gas is cheaper than that",
            )
        time.sleep(chain.settings.poll_s)


def require_history(chain: Chain) -> None:
    """Check that the chain serves the hashes of old blocks, as the constructors of ProofOfTrain and
    Audits will: HistoryNotServed would reach nobody through the factory. A chain of one block has
    nothing to ask for yet.

    Raises:
        ChainUnusable: it does not.
    """
    newest = chain.block("latest").number
    if newest == 0 and chain.code(HISTORY):
        return
    parent = chain.block(max(newest - 1, 0))
    data = "0x" + parent.number.to_bytes(32, "big").hex()
    try:
        answer = chain.node.ask(answers.call({"to": HISTORY, "data": data}, newest, bytes))
    except NodeRefused:
        answer = b""
    if answer != bytes(parent.hash):
        raise ChainUnusable(
            f"chain {chain.chain_id} does not serve the hashes of old blocks (EIP-2935; HistoryNotServed): "
            f"{HISTORY} answers 0x{answer.hex()} for block {parent.number}, whose hash is {parent.hash}",
            "Fitchain cannot be deployed on this chain: seeds of runs and audits are hashes of blocks that are up to "
            "8,191 old",
        )
