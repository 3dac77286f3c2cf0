"""Heads: the newest blocks of the chain, each of which names the one before it by its hash.

A node may be many behind one address, of which some lag or stand on another branch: two answers
need not be about the same chain. Blocks that link up are of one, however they were come by, and
what is read by the hash of one of them belongs to it (EIP-1898). What is deleted for good is
deleted by what such a block says.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from fitchain.pod.ports.chain import answers
from fitchain.pod.ports.chain.answers import Header
from fitchain.pod.ports.chain.base import FINAL_BLOCKS
from fitchain.pod.ports.chain.rpc import Node
from fitchain.pod.values.errors import NodeRefused, NodeUnreachable


@dataclass(frozen=True)
class Heads:
    """The newest blocks of a chain, as far as they link up.

    Args:
        depth: how many blocks must lie on one that is final.
        blocks: by number, rising, without gaps; none before the first look.
        highest: number of the newest block that any look has found.
        reorganised: the look before knew blocks that are not of the chain any more.
    """

    depth: int = FINAL_BLOCKS
    blocks: Mapping[int, Header] = field(default_factory=dict)
    highest: int = 0
    reorganised: bool = False

    @property
    def newest(self) -> Header | None:
        """The newest block."""
        return self.blocks[max(self.blocks)] if self.blocks else None

    @property
    def final(self) -> Header | None:
        """The newest block that no reorganisation undoes; None while it is not known, or where the
        node stands behind what was seen before."""
        newest = self.newest
        if newest is None or newest.number < self.highest:
            return None
        return self.blocks.get(newest.number - self.depth)

    def look(self, node: Node) -> Heads:
        """The heads as they are now.

        Args:
            node: whom to ask.

        Returns:
            what it says; what was known, where that is newer, or what it says links up with
            nothing.

        Raises:
            NodeUnreachable: it does not answer, or has no newest block.
        """
        newest = node.ask(answers.block("latest"))
        if newest is None:
            raise NodeUnreachable(f"the node at {node.shown} has no newest block", "wait until it has caught up")
        if newest == self.blocks.get(newest.number):
            return self._with(self.blocks, False)
        top = self.newest
        grown = self._linked(node, newest, self.blocks)
        if top is not None and top.number < newest.number and grown.get(top.number) == top:
            return self._with(grown, False)
        fresh = self._linked(node, newest, {})
        if len(fresh) == 1 and newest.number:
            return self._with(self.blocks, False)
        return self._with(fresh, top is not None and _at(node, top.number, fresh) != top)

    def _linked(self, node: Node, newest: Header, earlier: Mapping[int, Header]) -> dict[int, Header]:
        """The newest block and those before it down to where they do not link up."""
        numbers = range(max(newest.number - max(self.depth, FINAL_BLOCKS), 0), newest.number)
        unread = [number for number in numbers if number not in earlier]
        read = dict(zip(unread, node.answers([answers.block(number) for number in unread]), strict=True))
        linked = [newest]
        for number in reversed(numbers):
            block = earlier[number] if number in earlier else read[number]
            if not isinstance(block, Header) or block.hash != linked[-1].parent:
                break
            linked.append(block)
        return {block.number: block for block in reversed(linked)}

    def _with(self, blocks: Mapping[int, Header], reorganised: bool) -> Heads:
        return Heads(self.depth, blocks, max([self.highest, *blocks]), reorganised)


def _at(node: Node, number: int, earlier: Mapping[int, Header]) -> Header | None:
    """A block of the chain by its number."""
    try:
        return earlier[number] if number in earlier else node.ask(answers.block(number))
    except NodeRefused:
        return None
