"""The transcript: all leaves of a training under one root, and what the chain is told of them.

It knows leaves and trees, nothing of torch, files or transactions. A transcript's tree is RFC
6962's over the leaves' digests; because an anchor group holds a power of two of leaves, its root is
a node of that tree, and the contract grows the tree's peaks group by group.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from fitchain.pod.ports.agreement.terms import Anchor, DeliveredLeaf, Ending
from fitchain.pod.ports.store.base import Cid
from fitchain.pod.values.digest import Digest, Root, inclusion_path, node_hash, peaks, published_root, tree_root
from fitchain.pod.values.errors import ClaimMismatch, InputRefused
from fitchain.pod.values.leaf import Checkpoint, Leaf, OpenedLeaf, StateRoots, verify_chain

__all__ = ["Checkpoint", "Group", "Leaf", "OpenedLeaf", "StateRoots", "Transcript", "check_anchors"]


@dataclass(frozen=True, slots=True)
class Group:
    """A full group of leaves as it is anchored."""

    index: int
    first: int
    peaks: tuple[Digest, ...]
    """The tree's peaks before this group, largest first; the caller of `anchor` passes them."""
    root: Digest
    count: int
    """Leaves anchored once this group is."""


@dataclass(frozen=True)
class Transcript:
    """The leaves of a training so far, within its job."""

    ctx: Digest
    seed: Digest
    leaves: tuple[Leaf, ...]

    @property
    def count(self) -> int:
        """How many leaves there are."""
        return len(self.leaves)

    @cached_property
    def digests(self) -> tuple[Digest, ...]:
        """The leaves' digests, in order."""
        return tuple(leaf.digest(self.ctx, self.seed) for leaf in self.leaves)

    @cached_property
    def root(self) -> Root:
        """The published root: count and tree under the transcript's tag."""
        return published_root("fitchain/transcript/v2", self.digests)

    @property
    def peaks(self) -> tuple[Digest, ...]:
        """The perfect subtrees that make up the tree, largest first."""
        return _roots(peaks(self.digests))

    def verify(self, steps: int | None = None, segment_steps: int | None = None) -> None:
        """Check that the leaves form one chain, and that they stand where the terms say.

        Args:
            steps: the agreed number of steps T; None to leave it open.
            segment_steps: the agreed k; None to leave it open.

        Raises:
            ClaimMismatch: a link, a number or a step is wrong; the message names the first such
                leaf.
        """
        verify_chain(self.leaves, self.ctx, self.seed)
        if steps is None or segment_steps is None:
            return
        if self.count > (agreed := -(-steps // segment_steps) + 1):
            raise ClaimMismatch(
                f"the transcript has {self.count} leaves, and {steps} steps by {segment_steps} give {agreed}"
            )
        for leaf in self.leaves:
            if leaf.step != (agreed := min(leaf.index * segment_steps, steps)):
                raise ClaimMismatch(f"leaf {leaf.index} stands after step {leaf.step}, and the terms say {agreed}")

    def groups(self, group_leaves: int) -> tuple[Group, ...]:
        """The full groups so far, each with the peaks before it.

        Args:
            group_leaves: leaves an anchor covers (A), a power of two.

        Raises:
            InputRefused: A is not a power of two.
        """
        size = _power_of_two(group_leaves)
        groups: list[Group] = []
        standing_peaks: list[Digest] = []
        for index in range(self.count // size):
            first = index * size
            root = tree_root(self.digests[first : first + size])
            groups.append(Group(index, first, tuple(standing_peaks), root, first + size))
            standing_peaks = grow(standing_peaks, root, index)
        return tuple(groups)

    def open(self, index: int, roots: StateRoots) -> OpenedLeaf:
        """Open a leaf whose state is not salted.

        Args:
            index: of the leaf.
            roots: of its state.

        Raises:
            InputRefused: there is no leaf of that index.
            DigestMismatch: the leaf names another state, or is salted.
        """
        if not 0 <= index < self.count:
            raise InputRefused(f"the transcript has {self.count} leaves and none of index {index}")
        return OpenedLeaf.of(self.leaves[index], roots)

    # Many parameters: the two states that are opened, and where the two CIDs of what is handed over
    # lead.
    def ending(
        self,
        group_leaves: int,
        last: StateRoots,
        delivery: Cid,
        identity: Cid | None = None,
        delivered: tuple[int, StateRoots] | None = None,
    ) -> Ending:
        """What `finish` or `diverge` passes for these leaves.

        Args:
            group_leaves: leaves an anchor covers (A), a power of two.
            last: roots of the last leaf's state.
            delivery: CID of weights and certificate, sealed to the job's identity.
            identity: CID of that identity, sealed to the scientist; None while it is withheld.
            delivered: index of the leaf whose model is delivered, and its state's roots; None for
                the last leaf, as always after `diverge`.

        Raises:
            InputRefused: there is no leaf, A is not a power of two, or the delivered leaf is none
                between the first and the last.
            DigestMismatch: a leaf that is opened names another state, or is salted.
        """
        if not self.leaves:
            raise InputRefused("a transcript without a leaf has no ending")
        anchored = self.count - self.count % _power_of_two(group_leaves)
        before, tail = peaks(self.digests[:anchored]), peaks(self.digests[anchored:])
        smallest = (before + tail)[-1][1]
        path = inclusion_path(self.digests[self.count - smallest :], smallest - 1)
        return Ending(
            peaks=_roots(before),
            tail=_roots(tail),
            last=self.open(self.count - 1, last),
            path=tuple(path),
            delivery=delivery,
            identity=identity,
            delivered=None if delivered is None else self._delivered(*delivered),
        )

    def _delivered(self, index: int, roots: StateRoots) -> DeliveredLeaf:
        if not 0 < index < self.count - 1:
            raise InputRefused(
                f"leaf {index} cannot be delivered beside the last: it is none between leaf 0 and leaf {self.count - 1}"
            )
        return DeliveredLeaf(self.open(index, roots), tuple(inclusion_path(self.digests, index)))


def check_anchors(transcript: Transcript, anchors: Sequence[Anchor], group_leaves: int) -> None:
    """Compare the leaves with what was anchored while the training ran.

    Args:
        transcript: the leaves that somebody shows.
        anchors: the chain's anchors, in order, from the first on.
        group_leaves: leaves an anchor covers (A), a power of two.

    Raises:
        ClaimMismatch: an anchor covers other leaves than these; the message names the first such
            group.
    """
    groups = transcript.groups(group_leaves)
    if len(anchors) > len(groups):
        raise ClaimMismatch(
            f"the chain has {len(anchors)} anchors of {group_leaves} leaves,"
            f" and the transcript's {transcript.count} leaves make {len(groups)}"
        )
    for own, anchor in zip(groups, anchors, strict=False):
        if anchor.count != own.count:
            raise ClaimMismatch(
                f"anchor {own.index} ends with leaf {anchor.count - 1}, and group {own.index} with leaf {own.count - 1}"
            )
        if anchor.root != own.root:
            raise ClaimMismatch(
                f"leaves {own.first} to {own.count - 1} have the root {own.root}, and the chain anchored {anchor.root}",
                "the leaves are not those of this training: ask the owner for the transcript of this agreement",
            )


def _roots(sized_peaks: Sequence[tuple[Digest, int]]) -> tuple[Digest, ...]:
    return tuple(root for root, _ in sized_peaks)


def grow(peaks: Sequence[Digest], root: Digest, index: int) -> list[Digest]:
    """Peaks after one more group: it merges with as many as the count before it has trailing ones,
    as a counter carries.

    Args:
        peaks: the peaks before the group, largest first.
        root: the group's root.
        index: how many groups stand before it.
    """
    grown = list(peaks)
    while index & 1:
        root, index = node_hash(grown.pop(), root), index >> 1
    return [*grown, root]


def _power_of_two(leaves: int) -> int:
    if leaves < 1 or leaves & (leaves - 1):
        raise InputRefused(f"an anchor covers a power of two of leaves, not {leaves}")
    return leaves
