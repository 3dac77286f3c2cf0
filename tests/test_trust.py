"""Trust lists: what an entry covers, who joined later, what counts where, how the file is kept."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from fitchain.pod.ports.chain import Chain
from fitchain.pod.ports.chain.rpc import Node
from fitchain.pod.ports.registry import PanelEntry, Registry
from fitchain.pod.ports.trust import (
    MOST_MEMBERS,
    TRUST_FILE,
    PanelChange,
    TrustedAccount,
    TrustedAt,
    TrustedPanel,
    TrustList,
    changed_since,
    distrust,
    look_at_panel,
    looked_at,
    trust,
    trusted_by,
)
from fitchain.pod.ports.verifiers import Verifiers
from fitchain.pod.values.digest import sha256
from fitchain.pod.values.errors import InputRefused, NotFound
from fitchain.pod.values.ids import WHOLE_POOL, PanelId
from tests.audit_actors import FULL_STAKE, stake
from tests.chain_fixtures import Account
from tests.node_proxy import counting

ONE, TWO = ("0x" + digit * 40 for digit in "12")


@pytest.fixture
def checker(reader: Chain, tmp_path: Path) -> Chain:
    """A connection whose home is empty."""
    return Chain(reader.node, replace(reader.settings, home=tmp_path), reader.deployment)


@pytest.fixture(scope="module")
def creator(open_account: Callable[..., Account]) -> Account:
    return open_account()


@pytest.fixture(scope="module")
def members(open_account: Callable[..., Account]) -> list[Account]:
    """Three verifiers, who stand in panels and not in the pool."""
    return [stake(open_account(units=FULL_STAKE), pool=False) for _ in range(3)]


def panel_of(creator: Account, name: str, *joining: Account, invited: Sequence[Account] = ()) -> PanelId:
    """A panel that some accounts join at once; others are only invited."""
    panel = Registry(creator.chain).create_panel(name)
    if joining or invited:
        Verifiers(creator.chain).invite(panel, [one.address for one in (*joining, *invited)])
    for one in joining:
        Verifiers(one.chain).join_panel(panel)
    return panel


def entry(chain: Chain, account: str = ONE) -> TrustedAccount:
    return TrustedAccount(TrustedAt.now(chain), account)


# What an entry covers


def test_nobody_is_trusted_by_an_empty_home(checker: Chain, creator: Account) -> None:
    panel = panel_of(creator, "empty home")
    assert not trusted_by(checker).names(panel, ONE) and not trusted_by(checker).names(WHOLE_POOL, ONE)


def test_members_count_in_draws_from_their_panel_and_accounts_everywhere(
    checker: Chain, creator: Account, members: list[Account]
) -> None:
    one, two, three = (each.address for each in members)
    panel, other = panel_of(creator, "theirs", *members[:2]), panel_of(creator, "another's", members[0], members[2])
    trust(checker.settings.home, look_at_panel(checker, panel))
    trust(checker.settings.home, entry(checker, three))
    trusted = trusted_by(checker)
    assert trusted.names(panel, one) and trusted.names(panel, two)
    assert not trusted.names(other, one) and not trusted.names(WHOLE_POOL, one)
    assert trusted.names(other, three) and trusted.names(WHOLE_POOL, three)


def test_who_is_only_invited_does_not_stand_there(checker: Chain, creator: Account, members: list[Account]) -> None:
    panel = panel_of(creator, "invited", members[0], invited=members[1:])
    assert look_at_panel(checker, panel).members == (members[0].address,)


def test_who_joins_later_counts_when_the_panel_is_trusted_again(
    checker: Chain, creator: Account, members: list[Account]
) -> None:
    one, two, _ = members
    panel = panel_of(creator, "growing", one, invited=[two])
    trust(checker.settings.home, first := look_at_panel(checker, panel))
    Verifiers(two.chain).join_panel(panel)
    assert not trusted_by(checker).names(panel, two.address)
    assert changed_since(checker, [first]) == {panel: PanelChange(joined=(two.address,))}
    trust(checker.settings.home, look_at_panel(checker, panel))
    assert trusted_by(checker).names(panel, two.address)
    assert len(TrustList.read(checker.settings.home).panels) == 1


def test_who_leaves_is_told_and_counts_still_also_when_back(
    checker: Chain, creator: Account, members: list[Account]
) -> None:
    one, two, _ = members
    panel = panel_of(creator, "shrinking", one, two)
    trust(checker.settings.home, first := look_at_panel(checker, panel))
    Verifiers(one.chain).leave_panel(panel)
    assert changed_since(checker, [first]) == {panel: PanelChange(left=(one.address,))}
    assert trusted_by(checker).names(panel, one.address)
    Verifiers(one.chain).join_panel(panel)
    assert changed_since(checker, [first]) == {panel: PanelChange()}
    assert trusted_by(checker).names(panel, one.address)


def test_a_panel_may_count_for_one_call_besides_what_is_listed(
    checker: Chain, creator: Account, members: list[Account]
) -> None:
    one, two, _ = members
    panel = panel_of(creator, "once", one, invited=[two])
    assert trusted_by(checker, [panel]).names(panel, one.address)
    assert not trusted_by(checker).names(panel, one.address)
    trust(checker.settings.home, look_at_panel(checker, panel))
    Verifiers(one.chain).leave_panel(panel)
    Verifiers(two.chain).join_panel(panel)
    both = trusted_by(checker, [panel])
    assert both.names(panel, one.address) and both.names(panel, two.address)
    with pytest.raises(NotFound, match="no panel"):
        trusted_by(checker, [PanelId(sha256(b"no panel"))])


def test_what_is_removed_counts_no_longer(checker: Chain, creator: Account) -> None:
    panel = panel_of(creator, "removed")
    trust(checker.settings.home, look_at_panel(checker, panel))
    trust(checker.settings.home, entry(checker, TWO))
    distrust(checker, panel)
    distrust(checker, TWO)
    assert TrustList.read(checker.settings.home) == TrustList()
    with pytest.raises(NotFound, match="no entry"):
        distrust(checker, panel)


def test_a_panel_that_nobody_can_have_looked_at_is_not_trusted_as_one(checker: Chain) -> None:
    at = TrustedAt.now(checker)
    crowd = tuple(f"0x{number + 1:040x}" for number in range(MOST_MEMBERS + 1))
    panel = PanelEntry(PanelId(sha256(b"a crowd")), 1, ONE, "a crowd", crowd)
    with pytest.raises(InputRefused, match="1001 members"):
        looked_at(at, panel.id, panel)


# Where an entry counts


@pytest.mark.parametrize(
    "change",
    [
        {"chain_id": 5},
        {"registry": ONE},
        {"block_hash": sha256(b"a block of another chain of that number")},
        {"block": 10**9},
    ],
    ids=lambda change: next(iter(change)),
)
def test_an_entry_of_another_deployment_or_chain_stays_and_does_not_count(
    change: dict[str, object], checker: Chain, creator: Account
) -> None:
    panel = replace(look_at_panel(checker, panel_of(creator, f"elsewhere {change}"[:60])), members=(ONE,))
    trust(checker.settings.home, replace(panel, at=replace(panel.at, **change)))  # type: ignore[arg-type]
    assert len(TrustList.read(checker.settings.home).panels) == 1
    assert not trusted_by(checker).names(panel.id, ONE)
    # With the rule taken out, that an entry is bound to where it was made, the same entry counts.
    trust(checker.settings.home, panel)
    assert trusted_by(checker).names(panel.id, ONE)


def test_an_entry_elsewhere_is_not_replaced_by_one_here(checker: Chain) -> None:
    here = entry(checker)
    trust(checker.settings.home, replace(here, at=replace(here.at, chain_id=5)))
    trust(checker.settings.home, here)
    assert len(TrustList.read(checker.settings.home).accounts) == 2
    distrust(checker, ONE)
    assert [one.at.chain_id for one in TrustList.read(checker.settings.home).accounts] == [5]


# The file


def test_the_list_reads_back_what_it_wrote_and_is_for_its_owner_alone(checker: Chain, creator: Account) -> None:
    home = checker.settings.home
    trust(home, panel := replace(look_at_panel(checker, panel_of(creator, "wîth a name")), members=(ONE, TWO)))
    trust(home, account := entry(checker))
    assert TrustList.read(home) == TrustList((panel,), (account,))
    assert (home / TRUST_FILE).stat().st_mode & 0o777 == 0o600
    assert TrustList.read(home).encode() == (home / TRUST_FILE).read_bytes()


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{", '{"version":"fitchain/trust/v2"}', '{"accounts":[],"accounts":[],"panels":[],"version":"x"}'],
)
def test_what_is_no_trust_list_is_refused_and_left_alone(text: str, checker: Chain) -> None:
    path = checker.settings.home / TRUST_FILE
    path.write_text(text)
    for attempt in (lambda: trusted_by(checker), lambda: trust(checker.settings.home, entry(checker))):
        with pytest.raises(InputRefused, match="is not a trust list") as refusal:
            attempt()
        assert refusal.value.hint
    assert path.read_text() == text


def test_entries_that_are_made_at_once_are_all_kept(checker: Chain) -> None:
    entries = [entry(checker, f"0x{number:040x}") for number in range(1, 9)]
    threads = [threading.Thread(target=trust, args=(checker.settings.home, one)) for one in entries]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {one.account for one in TrustList.read(checker.settings.home).accounts} == {one.account for one in entries}


def test_what_strangers_do_does_not_make_a_checker_ask_more(reader: Chain, creator: Account, tmp_path: Path) -> None:
    panel: TrustedPanel = look_at_panel(reader, panel_of(creator, "asked for"))

    def count() -> int:
        with counting(reader.settings.rpc) as (url, traffic):
            settings = replace(reader.settings, home=tmp_path, rpc=url)
            trust(tmp_path, panel)
            chain = Chain(Node(url), settings, reader.deployment)
            trusted_by(chain)
            changed_since(chain, [panel])
            return traffic.requests

    before = count()
    for number in range(5):
        panel_of(creator, f"a stranger's {number}")
    assert count() == before
