"""A verifier's hash chain on one deployment: what it commits to, and the link that it reveals by
joining.

Links have the numbers of the deployment's openings, so that each belongs to one audit. One secret
ends a chain of `CHAIN_LINKS` links: chain c serves the openings up to (c+1) * CHAIN_LINKS, and
those before its own range that it was committed to early for. Secrets are derived, and bound to the
deployment: a link that is public on one says nothing on another.
"""

from __future__ import annotations

from fitchain.pod.ports.chain import Chain
from fitchain.pod.ports.keys import Keys
from fitchain.pod.ports.verifiers import Verifier
from fitchain.pod.values.hash_chain import CHAIN_LINKS, link_at, links_before

PURPOSE = "fitchain/chain/v2"
LINKS_AT_ONCE = 4096
"""Openings between two links that the contract follows from one to the other."""
RENEW_BEHIND = 2048
"""So many openings after the last link that is public a chain is renewed: half of what the contract
follows."""
RENEW_BEFORE_END = 1024
"""So many openings before its end a chain is renewed."""


class LinkChain:
    """The hash chains of one verifier on one deployment.

    Args:
        keys: the verifier's.
        chain: the connection, for its id and the contract's address.
    """

    def __init__(self, keys: Keys, chain: Chain) -> None:
        self._keys = keys
        self._deployment = chain.chain_id, int(chain.deployment.addresses["Audits"], 16)

    def commitment(self, opened: int) -> bytes:
        """The link to commit to when so many audits were opened.

        Args:
            opened: as the contract says.

        Returns:
            26 bytes.
        """
        return self._link((opened + RENEW_BEFORE_END) // CHAIN_LINKS, opened)

    def is_known(self, verifier: Verifier) -> bool:
        """Whether what the chain has of this verifier is a link of its own: a commitment that was
        mined after another opening than it was made for is not."""
        return self._current(verifier) is not None

    def link(self, verifier: Verifier, opening: int) -> bytes | None:
        """The link that joins an audit.

        Args:
            verifier: this one's account, as it stands.
            opening: the audit's number.

        Returns:
            26 bytes; None where the contract would not take any: the chain was committed to when
            the audit could be seen, ends before it, or is too far from it.
        """
        current = self._current(verifier)
        if current is None or opening <= verifier.chain_from or opening > (current + 1) * CHAIN_LINKS:
            return None
        return self._link(current, opening) if abs(opening - verifier.position) <= LINKS_AT_ONCE else None

    def needs_renewal(self, verifier: Verifier, opened: int) -> bool:
        """Whether a new commitment is due: the chain is not this verifier's, or serves few more
        openings."""
        current = self._current(verifier)
        if current is None:
            return True
        ends_soon = (current + 1) * CHAIN_LINKS - opened < RENEW_BEFORE_END
        return ends_soon or opened - verifier.position > RENEW_BEHIND

    def _current(self, verifier: Verifier) -> int | None:
        """The number of the chain that a verifier has committed to: that of its position, or, where
        it renewed early, the next."""
        first = max(verifier.position - 1, 0) // CHAIN_LINKS
        return next((c for c in (first, first + 1) if self._link(c, verifier.position) == verifier.link), None)

    def _link(self, number: int, opening: int) -> bytes:
        """The link of chain `number` to an opening up to its end."""
        secret = self._keys.derive(PURPOSE, *self._deployment, number)
        offset = opening - number * CHAIN_LINKS
        return link_at(secret, offset) if offset >= 0 else links_before(link_at(secret, 0), -offset)
