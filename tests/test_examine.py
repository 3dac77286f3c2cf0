"""What an owner's pod makes of a request before it fetches anything, and of the time that it would
take."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from fitchain.pod.compute.dataset import Policy
from fitchain.pod.jobs import history
from fitchain.pod.jobs.panel_status import panel_of
from fitchain.pod.parties.owner.disclosed import keep_disclosed
from fitchain.pod.parties.owner.examine import (
    TRAINING_S,
    check_chain,
    check_offer,
    queued_s,
    require_memory,
    time_concerns,
)
from fitchain.pod.ports.agreement import Agreement, State, commit_key
from fitchain.pod.ports.store.base import DAG_PB, Cid
from fitchain.pod.ports.trust import distrust, look_at_panel, trust
from fitchain.pod.ports.verifiers import Verifiers
from fitchain.pod.values.audit_mode import AuditMode
from fitchain.pod.values.digest import Digest, sha256
from fitchain.pod.values.errors import HostUnusable, InputRefused, NotFound
from fitchain.pod.values.ids import AuditRef, PanelId
from tests.audit_actors import DISPUTE, TERMS, StakedVerifiers
from tests.chain_fixtures import Account
from tests.dishonest_parties import Offer
from tests.pods import HOUR_S, PRICE, Workshop, offer_table
from tests.policies import open_policy

OPEN = open_policy(disclosure_mode=AuditMode.OPEN)
NOWHERE = Cid.of(DAG_PB, bytes(sha256(b"an offer that is nowhere")))


def asked(workshop: Workshop, **changes: Any) -> Agreement:
    """A request that nobody has answered."""
    return workshop.owner.home.agreements.read(workshop.request(**changes))


@pytest.fixture(scope="module")
def shown(workshop: Workshop, table_path: Any) -> Workshop:
    """A dataset whose records may be shown to verifiers."""
    policy = open_policy(manual_approval=False, disclosure_mode=AuditMode.OPEN, disclosure_cap=None)
    return replace(workshop, dataset=offer_table(workshop.owner, table_path, policy=policy))


@pytest.fixture(scope="module")
def panel(workshop: Workshop, staked_verifiers: StakedVerifiers) -> PanelId:
    """A panel of the scientist's making."""
    return staked_verifiers.panel(workshop.scientist.home.chain, "neighbours")


# Who would judge


def test_panel_that_the_policy_does_not_name_is_a_concern_that_shows_it(
    shown: Workshop, panel: PanelId, staked_verifiers: StakedVerifiers
) -> None:
    request = asked(shown, audit=replace(TERMS, panel=panel))
    (concern,) = check_chain(shown.owner.home, request, OPEN)
    assert concern.startswith("an audit draws from whom the policy does not name: the panel 'neighbours'")
    assert (
        f"made by {shown.scientist.address} (the scientist)" in concern
        and " before it was asked for, 5 members: " in concern
    )
    assert staked_verifiers.addresses[0] in concern


def test_panel_that_the_policy_names_is_none(shown: Workshop, panel: PanelId, table_path: Any) -> None:
    named = naming(shown, table_path, panel)
    request = asked(named, audit=replace(DISPUTE, panel=panel))
    assert check_chain(shown.owner.home, request, policy_of(named)) == []
    assert check_chain(shown.owner.home, request, replace(OPEN, panels=None)) == []
    (concern,) = check_chain(shown.owner.home, request, replace(OPEN, panels=(str(sha256(b"another")),)))
    assert concern.startswith("a dispute draws from")


def naming(shown: Workshop, table: Any, panel: PanelId) -> Workshop:
    """A dataset whose policy names a panel, as it stands now."""
    policy = replace(OPEN, manual_approval=False, disclosure_cap=None, panels=(str(panel),))
    return replace(shown, dataset=offer_table(shown.owner, table, policy=policy))


def policy_of(named: Workshop) -> Policy:
    return named.dataset.card.policy


def joined(panel: PanelId, creator: Account, late: Account) -> None:
    """Let an account join a panel."""
    Verifiers(creator.chain).invite(panel, [late.address])
    Verifiers(late.chain).stake(10**18, bytes(range(26)))
    Verifiers(late.chain).join_panel(panel)


def test_who_joined_a_panel_after_the_policy_named_it_is_a_concern(
    shown: Workshop, staked_verifiers: StakedVerifiers, open_account: Callable[..., Account], table_path: Any
) -> None:
    home, creator, late = shown.owner.home, shown.scientist.home, open_account()
    panel = staked_verifiers.panel(creator.chain, "stuffed")
    named = naming(shown, table_path, panel)
    assert check_chain(home, asked(named, audit=replace(TERMS, panel=panel)), policy_of(named)) == []
    joined(panel, Account(creator.keys, creator.chain), late)
    request = asked(named, audit=replace(TERMS, panel=panel))
    (concern,) = check_chain(home, request, policy_of(named))
    assert concern.startswith("1 of 6 members joined the panel 'stuffed' after this home looked at it")
    shown_panel = panel_of(home, request)
    assert shown_panel is not None and shown_panel.joined_later == (late.address,)
    assert concern in shown_panel.concerns()
    assert check_chain(home, request, replace(OPEN, panels=None)) == []
    trust(home.settings.home, look_at_panel(home.chain, panel))
    assert check_chain(home, request, policy_of(named)) == []
    distrust(home.chain, panel)


def test_panel_that_was_never_looked_at_is_a_concern(shown: Workshop, panel: PanelId) -> None:
    request = asked(shown, audit=replace(TERMS, panel=panel))  # the policy of its dataset named nobody
    (concern,) = check_chain(shown.owner.home, request, replace(OPEN, panels=(str(panel),)))
    assert concern.startswith("5 of 5 members of the panel 'neighbours' were never looked at")


def test_policy_that_names_a_panel_which_is_none_is_not_registered(shown: Workshop, table_path: Any) -> None:
    with pytest.raises(NotFound, match="was created in this deployment"):
        naming(shown, table_path, PanelId(sha256(b"no panel")))


def test_whole_pool_is_a_concern_too(shown: Workshop, staked_verifiers: StakedVerifiers) -> None:
    (concern,) = check_chain(shown.owner.home, asked(shown, audit=TERMS), OPEN)
    assert concern.endswith("the whole pool of verifiers")


def test_who_joins_after_the_request_is_not_shown_as_its_jury(
    shown: Workshop, staked_verifiers: StakedVerifiers, open_account: Callable[..., Account]
) -> None:
    home, late = shown.scientist.home, open_account()
    panel = staked_verifiers.panel(home.chain, "growing")
    request = asked(shown, audit=replace(TERMS, panel=panel))
    joined(panel, Account(home.keys, home.chain), late)
    assert "5 members" in check_chain(shown.owner.home, request, OPEN)[0]


# What the chain says is checked first


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        (open_policy(minimum_price=PRICE + 1), "below the policy's minimum"),
        (open_policy(maximum_steps=11), "has 12 steps and the policy admits 11"),
        (open_policy(most_memory_bytes=1000), "a step takes 1 MiB of memory, and the policy admits 1,000 bytes"),
        (open_policy(scientists=("0x" + "1" * 40,)), "may not ask for this dataset"),
    ],
)
def test_what_the_terms_say_is_refused_before_anything_is_fetched(
    workshop: Workshop, table_path: Any, policy: Policy, words: str
) -> None:
    dataset = offer_table(workshop.owner, table_path, policy=policy)
    calls, drafted = workshop.scientist.home.agreements, Offer.honest(workshop).terms  # the other would refuse it
    terms = replace(drafted, dataset=dataset.id, dataset_root=dataset.card.root)
    id = calls.request(Digest(os.urandom(32)), terms, NOWHERE)
    with pytest.raises(InputRefused, match=words):
        check_offer(workshop.owner.home, calls.read(id))


def test_step_that_this_host_has_no_memory_for_is_left_to_a_larger_one() -> None:
    require_memory(8 << 30, 8 << 30)
    with pytest.raises(HostUnusable, match="a step takes 9 GiB of memory, and this host has 8 GiB"):
        require_memory(9 << 30, 8 << 30)


def test_offer_that_is_nowhere_is_looked_for_again(workshop: Workshop) -> None:
    calls, terms = workshop.scientist.home.agreements, Offer.honest(workshop).terms
    id = calls.request(Digest(os.urandom(32)), terms, NOWHERE)
    with pytest.raises(NotFound):
        check_offer(workshop.owner.home, calls.read(id))


def test_mode_that_shows_more_than_the_policy_is_refused(shown: Workshop, staked_verifiers: StakedVerifiers) -> None:
    with pytest.raises(InputRefused, match="shows more than the policy's on-site"):
        check_chain(shown.owner.home, asked(shown, audit=TERMS), open_policy())


def test_bond_beyond_price_and_fees_is_a_concern(shown: Workshop, staked_verifiers: StakedVerifiers) -> None:
    policy = replace(OPEN, panels=None)
    within = asked(shown, audit=TERMS, bond=PRICE + TERMS.fees)
    assert check_chain(shown.owner.home, within, policy) == []
    beyond = asked(shown, audit=TERMS, bond=PRICE + TERMS.fees + 1)
    assert check_chain(shown.owner.home, beyond, policy) == [
        "the bond is higher than the price and the fees that it covers"
    ]


# How long it would take


def test_training_that_may_outlast_its_window_is_a_concern(workshop: Workshop) -> None:
    request = asked(workshop)  # twelve steps within an hour
    assert time_concerns(request, step_s=100, before_s=0) == []
    (concern,) = time_concerns(request, step_s=200, before_s=0)
    assert concern == f"by its rehearsal it trains for 2400 s, and 30 s around that, and its window is {HOUR_S} s"
    (concern,) = time_concerns(request, step_s=100, before_s=700)
    assert "trains for 1200 s after 700 s for those before it" in concern


def test_training_of_next_to_nothing_in_a_window_of_seconds_is_a_concern(workshop: Workshop) -> None:
    request = asked(workshop, windows=(HOUR_S, 59, HOUR_S))
    (concern,) = time_concerns(request, step_s=1e-4, before_s=0)
    assert concern == "by its rehearsal it trains for 0 s, and 30 s around that, and its window is 59 s"


def test_replay_that_may_outlast_a_phase_is_a_concern(shown: Workshop, staked_verifiers: StakedVerifiers) -> None:
    request = asked(shown, audit=replace(TERMS, window=600), windows=(HOUR_S, 30 * HOUR_S, HOUR_S))
    assert time_concerns(request, step_s=30, before_s=0) == []  # four of six segments of two steps
    assert time_concerns(request, step_s=50, before_s=0) == ["verifiers train 400 s of it again, and have 600 s for it"]


def test_reference_training_that_may_outlast_a_phase_is_a_concern(
    shown: Workshop, staked_verifiers: StakedVerifiers
) -> None:
    """Its owner trains it again from the first step on, and verifiers one segment of it."""
    request = asked(shown, audit=replace(TERMS, window=600), windows=(HOUR_S, 30 * HOUR_S, HOUR_S))
    assert time_concerns(request, step_s=25, before_s=0, opens=True) == []
    (evidence,) = time_concerns(request, step_s=30, before_s=0, opens=True)
    assert evidence == (
        "evidence of it takes 360 s, in which a reference training of its risk report is made again, and its window "
        "is 600 s"
    )
    verifiers, _ = time_concerns(request, step_s=31, before_s=0, opens=True)
    assert verifiers == "verifiers train 310 s of it again, and have 600 s for it"


def test_trainings_that_were_accepted_before_are_counted(workshop: Workshop) -> None:
    home = workshop.owner.home
    first, second = asked(workshop), asked(workshop)
    home.journal.keep_fact(first.id, TRAINING_S, "321.5")
    assert queued_s(home, second) == 0
    keep_disclosed(home, AuditRef(first.id), 0)
    home.agreements.accept(first.id, commit_key(sha256(b"nonce")))
    home.journal.record(first.id, history.Accepted(), once="")
    assert home.agreements.read(first.id).state is State.ACCEPTED
    assert (queued_s(home, second), queued_s(home, first)) == (321.5, 0)
