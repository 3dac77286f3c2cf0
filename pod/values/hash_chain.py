"""Hash chains: what a verifier commits to before any audit is opened, and reveals link by link.

    link(i) = keccak256(link(i+1))[:26]

The last link is secret, each reveals all before it and none after it. Links have the numbers of the
deployment's openings: a verifier that commits when g audits were opened gives link g, and reveals
link h when it joins the audit that is opened as number h. The links of the seats decide which
segments are audited, so nobody who draws or joins can choose them.
"""

from __future__ import annotations

from functools import lru_cache

from fitchain.pod.values.errors import InputRefused

LINK_BYTES = 26
CHAIN_LINKS = 1 << 13
"""Audits that the deployment may open before a chain must be renewed. A longer one would save no
transaction: half of what the contract follows at once renews it anyway (`pod/jobs/links.py`)."""
MARK_EVERY = 256


def link_at(secret: bytes, offset: int) -> bytes:
    """A link of a chain.

    Whole chains are computed once a process and secret, in a tenth of a second; of each 256 links
    one is remembered, from which the others follow.

    Args:
        secret: what the pod derives for this chain; its first 26 bytes are the last link.
        offset: 0 for the link that is committed to, up to `CHAIN_LINKS` for the last.

    Returns:
        26 bytes.

    Raises:
        InputRefused: the secret is shorter than a link, or the chain has no such link.
    """
    if len(secret) < LINK_BYTES:
        raise InputRefused(f"a chain ends in {LINK_BYTES} bytes, and its secret has {len(secret)}")
    if not 0 <= offset <= CHAIN_LINKS:
        raise InputRefused(
            f"the hash chain has the links 0 to {CHAIN_LINKS} and none of number {offset}",
            "commit to a new chain; it counts for audits that are opened afterwards",
        )
    mark = -(-offset // MARK_EVERY)
    return links_before(_marks(secret[:LINK_BYTES])[mark], mark * MARK_EVERY - offset)


def links_before(link: bytes, count: int) -> bytes:
    """The link so many before one.

    Args:
        link: 26 bytes.
        count: how many.
    """
    from eth_utils.crypto import keccak

    for _ in range(count):
        link = keccak(link)[:LINK_BYTES]
    return link


@lru_cache(maxsize=32)
def _marks(end: bytes) -> tuple[bytes, ...]:
    """Every 256th link, from link 0 to the last."""
    marks = [end]
    for _ in range(CHAIN_LINKS // MARK_EVERY):
        marks.append(links_before(marks[-1], MARK_EVERY))
    return tuple(reversed(marks))
