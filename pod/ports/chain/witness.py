"""A second node beside the first: what both do not say alike is not believed.

A checker's node can show an old or a false state, and nothing in the answer tells. Two nodes of
people who do not know one another have to be of one mind for that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fitchain.pod.ports.chain.base import Deployment
from fitchain.pod.ports.chain.client import Chain
from fitchain.pod.ports.chain.connect import connect
from fitchain.pod.ports.chain.rpc import Call, Node
from fitchain.pod.ports.settings import Settings
from fitchain.pod.values.errors import ChainUnusable, NodeRefused

_OF_A_LOG = ("address", "topics", "data", "blockNumber", "blockHash", "transactionHash", "logIndex")
"""What of a log has to be alike: some nodes tell the time of its block, or what it was removed by."""


class WitnessedNode(Node):
    """A node whose answers another one has to give as well.

    The newest block is the lower of the two heads, so that a node which lags behind by a block does
    not count as one that disagrees: whoever asks both names a block, and no tag.

    Args:
        node: whose answers are given.
        witness: who has to give the same.
    """

    def __init__(self, node: Node, witness: Node) -> None:
        super().__init__(node.url, node.retry_s)
        self.node = node
        self.witness = witness

    def request(self, method: str, *params: Any, repeat: bool = True) -> Any:
        """Ask both; raises as `Node.request`, and ChainUnusable where they do not say the same."""
        answer = self.answers([(method, list(params))])[0]
        if isinstance(answer, NodeRefused):
            raise answer
        return answer

    def answers(self, calls: Sequence[Call]) -> list[Any]:
        """Ask both; raises as `Node.answers`, and ChainUnusable where they do not say the same."""
        first, second = self.node.answers(calls), self.witness.answers(calls)
        return [self._agreed(call, *answers) for call, *answers in zip(calls, first, second, strict=True)]

    def _agreed(self, call: Call, first: Any, second: Any) -> Any:
        method, params = call
        if method == "eth_blockNumber":
            return min(first, second, key=lambda number: int(number, 16))
        # What one of them no longer keeps, nobody confirms.
        refusals = [answer for answer in (first, second) if isinstance(answer, NodeRefused)]
        if refusals and method != "eth_call":
            return refusals[0]
        if refusals and (len(refusals) == 1 or refusals[0].data == refusals[1].data):
            return refusals[0]
        if _essence(method, first) != _essence(method, second):
            raise ChainUnusable(
                f"the nodes at {self.node.shown} and {self.witness.shown} do not agree: they answer {method} of"
                f" {_excerpt(params)} with {_excerpt(first)} and {_excerpt(second)}",
                "one of them is behind, or lies: ask a third",
            )
        return first


def connect_witnessed(settings: Settings) -> Chain:
    """Connect to the node that the settings name and, where they name a second one, to both.

    Raises as `connect` does of either node, and ChainUnusable where the two are of different
    chains.
    """
    chain = connect(settings)
    if settings.also_rpc is None:
        return chain
    # Chain and contracts are checked on both, each by itself.
    witness = connect(settings.with_node(settings.also_rpc, chain.chain_id))
    node = WitnessedNode(chain.node, witness.node)
    deployment: Deployment = chain.deployment
    return Chain(node, chain.settings, deployment, constants=chain.constants)


def _essence(method: str, answer: Any) -> Any:
    """What of an answer has to be alike."""
    if method == "eth_getBlockByNumber" and isinstance(answer, Mapping):
        return {name: answer.get(name) for name in ("number", "hash", "parentHash", "timestamp", "stateRoot")}
    if method == "eth_getLogs" and isinstance(answer, list):
        return [{name: log.get(name) for name in _OF_A_LOG} for log in answer]
    return answer


def _excerpt(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 100 else f"{text[:97]}..."
