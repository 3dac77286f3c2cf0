"""A verifier's hash chain: what it commits to leads from every link that it reveals, and it knows
when a chain serves no more."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fitchain.pod.jobs.links import LINKS_AT_ONCE, RENEW_BEFORE_END, RENEW_BEHIND, LinkChain
from fitchain.pod.ports.keys import Keys
from fitchain.pod.ports.verifiers import Verifier
from fitchain.pod.values.hash_chain import CHAIN_LINKS, links_before

KEYS = Keys("verifier", bytes(31) + b"\x01", bytes(range(32)))
ACCOUNT = Verifier("0x", 0, 0, 0, 0, 0, bytes(26), 0, 0, away=False, ever_staked=True)
OPENED = st.one_of(st.integers(0, 3 * CHAIN_LINKS), st.integers(CHAIN_LINKS - 1200, CHAIN_LINKS + 3))


def chain_at(chain_id: int, audits: str) -> LinkChain:
    deployment = SimpleNamespace(addresses={"Audits": audits})
    return LinkChain(KEYS, cast(Any, SimpleNamespace(chain_id=chain_id, deployment=deployment)))


LINKS = chain_at(31337, "0x" + "12" * 20)


def committed(opened: int, counted: int | None = None) -> Verifier:
    """An account that committed to the chain for so many openings, and whose commitment the
    contract counted from as many, or from later ones."""
    at = opened if counted is None else counted
    return Verifier(**{**vars(ACCOUNT), "link": LINKS.commitment(opened), "position": at, "chain_from": at})


@given(OPENED, st.integers(1, LINKS_AT_ONCE))
def test_every_link_leads_to_the_commitment_as_the_contract_follows_it(opened: int, later: int) -> None:
    account = committed(opened)
    link = LINKS.link(account, opened + later)
    if link is None:
        assert opened + later > CHAIN_LINKS * ((opened + RENEW_BEFORE_END) // CHAIN_LINKS + 1)
        assert later > CHAIN_LINKS - RENEW_BEFORE_END or later > RENEW_BEFORE_END
    else:
        assert links_before(link, later) == account.link


@given(OPENED, st.integers(1, 300), st.integers(1, 300))
def test_an_audit_that_was_opened_earlier_is_joined_after_a_later_one(opened: int, earlier: int, later: int) -> None:
    account = committed(opened)
    revealed = Verifier(
        **{**vars(account), "link": LINKS.link(account, opened + earlier + later), "position": opened + earlier + later}
    )
    link = LINKS.link(revealed, opened + earlier)
    assert link is not None and link == links_before(revealed.link, later)


@pytest.mark.parametrize("opening", [0, 7, 7 + LINKS_AT_ONCE + 1])
def test_no_link_is_shown_that_the_contract_would_not_take(opening: int) -> None:
    assert LINKS.link(committed(7), opening) is None


def test_a_commitment_that_was_counted_later_than_it_was_made_is_renewed() -> None:
    late = committed(7, counted=9)
    assert not LINKS.is_known(late)
    assert LINKS.link(late, 10) is None
    assert LINKS.needs_renewal(late, 9)


def test_a_chain_is_renewed_half_way_and_before_its_end() -> None:
    assert not LINKS.needs_renewal(committed(7), 7 + RENEW_BEHIND)
    assert LINKS.needs_renewal(committed(7), 8 + RENEW_BEHIND)
    last = CHAIN_LINKS - RENEW_BEFORE_END
    assert not LINKS.needs_renewal(committed(last - 1), last)
    assert LINKS.needs_renewal(committed(last - 1), last + 1)
    assert not LINKS.needs_renewal(committed(last + 1), last + 1)


def test_links_of_one_deployment_say_nothing_on_another() -> None:
    others = {chain.commitment(7) for chain in (chain_at(1, "0x" + "12" * 20), chain_at(31337, "0x" + "34" * 20))}
    assert len(others | {LINKS.commitment(7)}) == 3
