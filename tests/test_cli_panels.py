"""Commands about panels, the pool and a verifier's stake, as a person runs them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from fitchain.cli.app import run
from fitchain.pod.jobs import staking
from fitchain.pod.jobs.home import Home
from fitchain.pod.jobs.links import LinkChain
from fitchain.pod.ports.registry import Registry
from fitchain.pod.ports.verifiers import Verifiers
from tests.chain_fixtures import ETHER, MONEY, Account, Devnet
from tests.cli_fixtures import Fitchain
from tests.node_proxy import leaving_once_mined, proxy

SOMEBODY = "0x" + "1" * 40
STAKE = 1000


@pytest.fixture(scope="module")
def creator(open_account: Callable[..., Account]) -> Account:
    return open_account()


@pytest.fixture(scope="module")
def verifier(open_account: Callable[..., Account]) -> Account:
    """An account with FIT for two places in the pool."""
    return open_account(units=2 * STAKE * ETHER)


def refused(fitchain: Fitchain, account: Account, *arguments: str) -> tuple[str, str]:
    """The kind of an error, and its message with the hint."""
    code, answer, _ = fitchain(account, *arguments)
    assert code == 3 and answer["error"]["hint"], arguments
    return answer["error"]["kind"], f"{answer['error']['message']}; {answer['error']['hint']}"


# Panels


def test_panel_is_made_invited_into_joined_and_left(
    fitchain: Fitchain, creator: Account, open_account: Callable[..., Account]
) -> None:
    member, other = open_account(), open_account()
    code, made, _ = fitchain(creator, "panel", "create", "clinic", member.address.lower())
    assert code == 0 and made["invited"] == [member.address]
    short = made["panel"][:10]
    assert refused(fitchain, member, "panel", "join", short) == (
        "Unusable",
        f"{member.address} is no verifier: it never staked; stake first: fitchain verifier stake",
    )
    assert fitchain(member, "verifier", "stake", "300")[1]["obstacle"] == "STANDS_NOWHERE"
    assert fitchain(member, "panel", "join", short)[1]["joined"] is True
    assert fitchain(member, "panel", "join", short)[1]["joined"] is False
    again = fitchain(creator, "panel", "invite", short, other.address, member.address)[1]
    assert (again["invited"], again["invited_before"]) == ([other.address], [member.address])

    shown = fitchain(other, "panel", "show", short)[1]
    assert (shown["creator"], shown["size"], shown["invited_not_joined"]) == (creator.address, 1, [other.address])
    (row,) = shown["members"]
    assert (row["address"], row["stake"], row["free"], row["away"]) == (member.address, "300", "300", False)
    assert row["can_be_drawn"] and row["joined_block"] > shown["created_block"] and row["joined"] >= shown["created"]
    status = fitchain(member, "verifier", "status")[1]
    assert (status["panels"], status["in_pool"], status["can_be_drawn"]) == ([made["panel"]], False, True)

    assert fitchain(member, "panel", "leave", short)[0] == 0
    assert "does not stand" in refused(fitchain, member, "panel", "leave", short)[1]
    assert fitchain(member, "panel", "join", short)[1]["joined"] is True  # the invitation still stands


def test_expelled_account_is_out_and_cannot_join_again(
    fitchain: Fitchain, creator: Account, open_account: Callable[..., Account]
) -> None:
    member = open_account()
    panel = fitchain(creator, "panel", "create", "strict", member.address)[1]["panel"]
    fitchain(member, "verifier", "stake", "0")
    fitchain(member, "panel", "join", panel)
    assert fitchain(creator, "panel", "expel", panel, member.address)[0] == 0
    assert fitchain(member, "panel", "show", panel)[1]["members"] == []
    kind, message = refused(fitchain, member, "panel", "join", panel)
    assert kind == "AccessRefused" and f"fitchain panel invite {panel[:10]} {member.address}" in message
    assert "not invited" in refused(fitchain, creator, "panel", "expel", panel, member.address)[1]


def test_panel_is_its_creators_alone(fitchain: Fitchain, creator: Account, verifier: Account) -> None:
    panel = fitchain(creator, "panel", "create", "mine")[1]["panel"]
    for command in ("invite", "expel"):
        assert refused(fitchain, verifier, "panel", command, panel, SOMEBODY)[0] == "AccessRefused"


@pytest.mark.parametrize(
    ("arguments", "kind"),
    [
        (("create", "x", "nobody"), "InputRefused"),
        (("create", ""), "InputRefused"),
        (("create", "é" * 33), "InputRefused"),
        (("create", "x", SOMEBODY, SOMEBODY), "InputRefused"),
        (("show", "0x" + "9" * 64), "NotFound"),
        (("join", "0x" + "9" * 64), "NotFound"),
        (("join", "the-pool"), "InputRefused"),
    ],
)
def test_what_names_no_panel_is_refused(
    fitchain: Fitchain, creator: Account, arguments: tuple[str, ...], kind: str
) -> None:
    assert refused(fitchain, creator, "panel", *arguments)[0] == kind


def test_name_is_taken_once_and_the_way_on_is_told(fitchain: Fitchain, creator: Account) -> None:
    id = fitchain(creator, "panel", "create", "twice")[1]["panel"]
    kind, message = refused(fitchain, creator, "panel", "create", "twice")
    assert kind == "InputRefused" and id in message and "fitchain panel invite" in message


def test_newest_panels_are_listed_and_older_ones_counted(
    fitchain: Fitchain, open_account: Callable[..., Account]
) -> None:
    one = open_account()
    for name in ("a", "b", "c"):
        Registry(one.chain).create_panel(name)
    listed = fitchain(one, "panel", "list", "--creator", one.address, "--newest", "2")[1]
    assert ([panel["name"] for panel in listed["panels"]], listed["older"]) == (["b", "c"], 1)
    assert fitchain(one, "panel", "list")[1]["panels"][-1]["name"] == "c"


def test_people_see_who_joined_and_who_can_be_drawn(
    fitchain: Fitchain, creator: Account, verifier: Account, capsys: pytest.CaptureFixture[str]
) -> None:
    panel = fitchain(creator, "panel", "create", "seen", verifier.address, SOMEBODY)[1]["panel"]
    fitchain(verifier, "verifier", "stake")
    fitchain(verifier, "panel", "join", panel)
    capsys.readouterr()
    for command in (["panel", "show", panel], ["panel", "list"], ["panel", "show", "pool"], ["verifier", "status"]):
        assert run([*command, "--home", str(verifier.chain.settings.home)]) == 0
    shown = capsys.readouterr().out
    assert f"{creator.address}, who alone invites" in shown and f"{SOMEBODY}; not joined" in shown
    assert "  1000  1000  yes" in shown and "yes; its pod must run: fitchain pod verifier" in shown


# The pool and the stake


def test_verifier_stakes_joins_the_pool_leaves_and_takes_its_stake_back(
    fitchain: Fitchain, open_account: Callable[..., Account], pass_time: Callable[[int], None]
) -> None:
    one = open_account(units=STAKE * ETHER)

    def call(*arguments: str) -> dict[str, Any]:
        code, answer, _ = fitchain(one, *arguments)
        assert code == 0, answer
        return answer

    assert call("verifier", "status")["obstacle"] == "NEVER_STAKED"
    assert "fitchain verifier stake" in refused(fitchain, one, "verifier", "unstake", "all")[1]
    assert call("verifier", "stake", "1")["added"] == "1"
    assert "needs 1000 FIT; stake what is missing" in refused(fitchain, one, "panel", "join", "pool")[1]
    assert (call("verifier", "stake")["added"], call("verifier", "stake")["added"]) == ("999", "0")
    assert call("panel", "join", "pool") == {"panel": None, "pool": True, "address": one.address, "joined": True}
    assert call("verifier", "status")["in_pool"] and call("verifier", "status")["can_be_drawn"]
    assert one.address in [member["address"] for member in call("panel", "show", "pool")["members"]]
    assert "fitchain panel leave pool" in refused(fitchain, one, "verifier", "unstake", "all")[1]
    call("panel", "leave", "pool")
    assert "1000 FIT of" in refused(fitchain, one, "verifier", "unstake", "1000.5")[1]
    assert refused(fitchain, one, "verifier", "unstake", "0")[0] == "InputRefused"
    assert call("verifier", "unstake", "400")["unbonding"] == "400"
    left = call("verifier", "unstake", "all")
    assert (left["leaving"], left["stake"], left["obstacle"]) == ("600", "0", "STANDS_NOWHERE")
    assert call("verifier", "withdraw")["withdrawn"] == "0"
    pass_time(Verifiers(one.chain).unbonding_time() + 1)
    assert call("verifier", "withdraw")["withdrawn"] == "1000"
    assert call("coin", "balance")["fit"] == "1000"


UNTOLD = ["verifier stake 5", "verifier unstake 5", f"coin send {SOMEBODY} 5"]
"""Commands that move as much once more each time."""


@pytest.fixture
def mover(fitchain: Fitchain, open_account: Callable[..., Account]) -> Account:
    """A verifier with FIT, and with a stake that may leave."""
    one = open_account()
    assert fitchain(one, "verifier", "stake", "20")[0] == 0
    return one


def moved(account: Account) -> int:
    """FIT that has gone from the account itself, or that is leaving its stake."""
    verifier = Verifiers(account.chain).verifier(account.address)
    return (MONEY - account.chain.fit_balance(account.address) + verifier.unbonding) // ETHER - 20


@pytest.mark.parametrize("command", UNTOLD)
def test_what_ended_before_it_could_be_told_is_not_sent_again(
    fitchain: Fitchain, mover: Account, running_devnet: Devnet, command: str
) -> None:
    """The node takes it and says nothing more; whoever looks after the queue meanwhile, as a pod of
    this home does, is not who asked."""

    def without_receipts(call: dict[str, Any]) -> tuple[int, None] | None:
        return (403, None) if call["method"] == "eth_getTransactionReceipt" else None

    *words, amount = command.split()
    with proxy(running_devnet.record.rpc, without_receipts) as url:
        _, said = refused(fitchain, mover, *words, amount, "--rpc", url)
    assert "was sent: look whether it was mined before you do it again" in said
    mover.chain.catch_up()
    assert moved(mover) == 5
    code, told, shown = fitchain(mover, *words, amount)
    assert (code, told["sent_before"], moved(mover)) == (0, True, 5), shown
    code, told, _ = fitchain(mover, *words, amount)
    assert (code, told["sent_before"], moved(mover)) == (0, False, 10)


def test_other_amount_than_what_could_not_be_told_is_told_first(fitchain: Fitchain, mover: Account) -> None:
    mover.chain.submit("Verifiers", "unstake", 5 * ETHER)  # and its command was killed
    kind, said = refused(fitchain, mover, "verifier", "unstake", "7")
    assert kind == "Unusable" and "an earlier command took back 5 FIT, and could not tell so" in said
    assert fitchain(mover, "verifier", "unstake", "7")[1]["unbonding"] == "12"


@pytest.mark.parametrize("command", UNTOLD)
def test_what_was_sent_is_told_whatever_the_node_answers_afterwards(
    fitchain: Fitchain, mover: Account, running_devnet: Devnet, command: str
) -> None:
    with leaving_once_mined(running_devnet.record.rpc) as url:
        code, told, said = fitchain(mover, *command.split(), "--rpc", url)
    assert (code, moved(mover)) == (0, 5), said
    assert "5" in (told.get("added"), told.get("leaving"), told.get("sent")) and "now cannot be read" in said
    code, told, _ = fitchain(mover, *command.split())
    assert (code, told["sent_before"], moved(mover)) == (0, False, 10)


def test_who_was_not_away_and_has_a_good_chain_changes_nothing(
    fitchain: Fitchain, verifier: Account, open_account: Callable[..., Account]
) -> None:
    fitchain(verifier, "verifier", "stake", "0")
    assert fitchain(verifier, "verifier", "present")[1]["was_away"] is False
    assert fitchain(verifier, "verifier", "renew")[1]["renewed"] is False
    stranger = open_account()
    for command in ("present", "renew"):
        assert "never staked" in refused(fitchain, stranger, "verifier", command)[1]


def test_history_of_a_verifier_that_did_nothing_is_empty(fitchain: Fitchain, verifier: Account) -> None:
    shown = fitchain(verifier, "verifier", "show", SOMEBODY)[1]
    assert (shown["audits_joined"], shown["joining_windows_passed"], shown["staked_block"]) == (0, 0, None)


# The hash chain


def test_stake_commits_to_the_chain_of_the_homes_key(fitchain: Fitchain, open_account: Callable[..., Account]) -> None:
    one = open_account()
    fitchain(one, "verifier", "stake", "5")
    account, links = Verifiers(one.chain).verifier(one.address), LinkChain(one.keys, one.chain)
    assert links.is_known(account) and not links.needs_renewal(account, account.position)
    assert links.link(account, account.position + 1) is not None


def test_chain_of_another_program_is_replaced(fitchain: Fitchain, open_account: Callable[..., Account]) -> None:
    one = open_account()
    links = LinkChain(one.keys, one.chain)
    Verifiers(one.chain).stake(5 * ETHER, b"\1" * 26)
    assert not links.is_known(Verifiers(one.chain).verifier(one.address))
    assert fitchain(one, "verifier", "renew")[1]["renewed"] is True
    assert links.is_known(Verifiers(one.chain).verifier(one.address))


def test_home_opened_for_reading_shows_a_status(open_account: Callable[..., Account]) -> None:
    with Home.open(open_account().chain.settings) as home:
        assert staking.read_status(home, SOMEBODY).obstacle is staking.Obstacle.NEVER_STAKED
