"""A second node beside the first: what both do not say alike is not believed.

A checker's node can show an old or a false state, and nothing in the answer tells. Two nodes of
people who do not know one another have to be of one mind for that.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from fitchain.pod.ports.chain.answers import Query
from fitchain.pod.ports.chain.base import Deployment
from fitchain.pod.ports.chain.client import Chain
from fitchain.pod.ports.chain.connect import connect
from fitchain.pod.ports.chain.rpc import Node
from fitchain.pod.ports.settings import Settings
from fitchain.pod.values.errors import ChainUnusable, NodeRefused

T = TypeVar("T")


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

    def ask(self, query: Query[T], repeat: bool = True) -> T:
        """Ask both; raises as `Node.ask`, and ChainUnusable where they do not say the same."""
        answer: T = self.batch([query])[0]
        return answer

    def answers(self, queries: Sequence[Query[Any]]) -> list[Any]:
        """Ask both; raises as `Node.answers`, and ChainUnusable where they do not say the same."""
        first, second = self.node.answers(queries), self.witness.answers(queries)
        return [self._agreed(query, *answers) for query, *answers in zip(queries, first, second, strict=True)]

    def _agreed(self, query: Query[Any], first: Any, second: Any) -> Any:
        """What both say: answers are compared as they are decoded, so that what nodes write beside
        (a block's size, the time in a log) makes no difference."""
        method, params = query.method, query.params
        if method == "eth_blockNumber" and isinstance(first, int) and isinstance(second, int):
            return min(first, second)
        # What one of them no longer keeps, nobody confirms.
        refusals = [answer for answer in (first, second) if isinstance(answer, NodeRefused)]
        if refusals and method != "eth_call":
            return refusals[0]
        if refusals and (len(refusals) == 1 or refusals[0].data == refusals[1].data):
            return refusals[0]
        if first != second:
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


def _excerpt(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 100 else f"{text[:97]}..."
