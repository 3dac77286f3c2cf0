"""The chain: a client, the contracts' artifacts, deployment, the nonce queue, the devnet.

Stands after `dataset` and before `keys` in the flow. It knows contracts by name, calls and events; what an agreement means is
said in `registry` and `agreement`. Nothing here imports torch, and reading needs no key.
"""

from pod.chain.base import Block, Deployment, Event, Pending, Receipt, Signer

__all__ = ["Block", "Deployment", "Event", "Pending", "Receipt", "Signer"]
