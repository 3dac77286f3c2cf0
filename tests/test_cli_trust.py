"""Commands about trust: whom one relies on, what a certificate is then worth, what a verifier has
done, and money handed on."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fitchain.cli.app import run
from fitchain.pod.ports.agreement import Audits, Outcome, commit_nonce
from fitchain.pod.ports.registry import Registry
from fitchain.pod.ports.trust import TRUST_FILE
from fitchain.pod.ports.verifiers import Verifiers
from fitchain.pod.values.audit_mode import AuditMode
from fitchain.pod.values.ids import AuditRef, PanelId
from tests.agreements import KEY, NONCE, Parties
from tests.audit_actors import TERMS, StakedVerifiers
from tests.audit_scenario import AuditScenario
from tests.certified_jobs import Job, played
from tests.certified_jobs import registered as registered_card
from tests.chain_fixtures import ETHER, Account
from tests.cli_fixtures import Fitchain
from tests.node_proxy import counting, proxy

SOMEBODY = "0x" + "1" * 40


@pytest.fixture(scope="module")
def panel(open_account: Callable[..., Account], staked_verifiers: StakedVerifiers) -> PanelId:
    return staked_verifiers.panel(open_account().chain, "neighbours")


@pytest.fixture(scope="module")
def vouched(
    open_account: Callable[..., Account],
    staked_verifiers: StakedVerifiers,
    panel: PanelId,
    tmp_path_factory: pytest.TempPathFactory,
) -> Job:
    """A job of one account with itself, for which the panel's seats voted Match; its certificate
    lies beside the model."""
    both, place = open_account(), tmp_path_factory.mktemp("vouched")
    parties = registered_card(both, both, place / "table.npz")
    terms = replace(TERMS, mode=AuditMode.SAMPLED, panel=panel)
    job = played(parties, place / "model.safetensors", b"vouched", audit=terms)
    staked_verifiers.conclude(both.chain, job.id, Outcome.MATCH)
    Audits(both.chain).release(AuditRef(job.id), KEY)
    Audits(both.chain).accept_release(AuditRef(job.id))
    (place / "certificate.json").write_bytes(job.certificate)
    return job


@pytest.fixture
def checker(open_account: Callable[..., Account]) -> Account:
    return open_account()


def verifying(job: Job) -> tuple[str, ...]:
    return ("proof", "verify", str(job.model), str(job.model.parent / "certificate.json"))


def test_a_folder_is_verified_by_the_certificate_in_it(
    fitchain: Fitchain, checker: Account, vouched: Job, tmp_path: Path
) -> None:
    folder = vouched.model.parent
    verdicts = [fitchain(checker, *words)[1] for words in (verifying(vouched), ("proof", "verify", str(folder)))]
    verdicts.append(fitchain(checker, "proof", "verify", str(vouched.model))[1])
    assert all(verdict["holds"] and verdict.pop("seen_at_block") for verdict in verdicts)
    assert verdicts[0] == verdicts[1] == verdicts[2]
    shutil.copy(vouched.model, tmp_path)
    code, told, _ = fitchain(checker, "proof", "verify", str(tmp_path))
    assert code == 3 and "there is no certificate.json beside" in told["error"]["message"]
    code, told, _ = fitchain(checker, "proof", "verify", str(tmp_path / "none"))
    assert code == 3 and "there is no file" in told["error"]["message"]


# The list


def test_a_panel_is_shown_and_trusted_by_a_person(
    fitchain: Fitchain, checker: Account, panel: PanelId, staked_verifiers: StakedVerifiers
) -> None:
    code, told, said = fitchain(checker, "trust", "add", str(panel)[:10], typed="yes\n")
    assert (code, told["panel"], told["members"]) == (0, str(panel), staked_verifiers.addresses)
    assert "neighbours" in said and all(address in said for address in staked_verifiers.addresses)
    assert "made by" in said and "old, of" in said
    listed = fitchain(checker, "trust", "list")[1]["panels"]
    assert [(one["panel"], one["counts"], one["joined_later"]) for one in listed] == [(str(panel), True, [])]
    assert fitchain(checker, "trust", "remove", str(panel))[0] == 0
    assert fitchain(checker, "trust", "list")[1] == {"panels": [], "accounts": []}


@pytest.mark.parametrize(("typed", "kind"), [("", "AccessRefused"), ("y\n", "Unusable"), ("no\n", "Unusable")])
def test_nothing_but_a_persons_yes_trusts_a_panel(
    typed: str, kind: str, fitchain: Fitchain, checker: Account, panel: PanelId
) -> None:
    code, told, _ = fitchain(checker, "trust", "add", str(panel), typed=typed)
    assert (code, told["error"]["kind"]) == (3, kind) and told["error"]["hint"]
    assert not (checker.chain.settings.home / TRUST_FILE).exists()


def test_no_option_answers_for_a_person(fitchain: Fitchain, checker: Account, panel: PanelId) -> None:
    assert fitchain(checker, "trust", "add", str(panel), "--yes", typed="yes\n")[0] == 2


def test_who_joined_later_is_listed_as_not_trusted(
    fitchain: Fitchain, checker: Account, open_account: Callable[..., Account], staked_verifiers: StakedVerifiers
) -> None:
    creator, (early, late, *_) = open_account(), staked_verifiers.verifiers
    growing = Registry(creator.chain).create_panel("growing")
    Verifiers(creator.chain).invite(growing, [early.address, late.address])
    Verifiers(early.chain).join_panel(growing)
    fitchain(checker, "trust", "add", str(growing), typed="yes\n")
    Verifiers(late.chain).join_panel(growing)
    Verifiers(early.chain).leave_panel(growing)
    (listed,) = fitchain(checker, "trust", "list")[1]["panels"]
    assert (listed["members"], listed["joined_later"]) == ([early.address], [late.address])
    assert listed["left_later"] == [early.address]


def test_an_account_typed_in_full_is_trusted_and_removed(fitchain: Fitchain, checker: Account) -> None:
    assert fitchain(checker, "trust", "add", SOMEBODY)[1]["account"] == SOMEBODY
    assert [one["account"] for one in fitchain(checker, "trust", "list")[1]["accounts"]] == [SOMEBODY]
    assert fitchain(checker, "trust", "remove", SOMEBODY)[0] == 0
    code, told, _ = fitchain(checker, "trust", "remove", SOMEBODY)
    assert (code, told["error"]["kind"]) == (3, "NotFound")


# What a certificate is worth


def test_a_certificate_is_worth_what_the_checkers_list_makes_of_it(
    fitchain: Fitchain, checker: Account, vouched: Job, panel: PanelId
) -> None:
    code, stranger, _ = fitchain(checker, *verifying(vouched))
    assert (code, stranger["assurance"], stranger["owner_is_scientist"]) == (0, "vouched", True)
    code, refused, _ = fitchain(checker, *verifying(vouched), "--require", "sampled")
    assert (code, refused["error"]["kind"], refused["error"]["exit_code"]) == (3, "AssuranceTooLow", 3)
    assert f"fitchain trust add {panel}" in refused["error"]["hint"]
    assert f"fitchain proof reaudit {vouched.id.short} --panel PANEL" in refused["error"]["hint"]
    once = fitchain(checker, *verifying(vouched), "--require", "sampled", "--trust", str(panel)[:12])
    assert (once[0], once[1]["assurance"]) == (0, "sampled")
    fitchain(checker, "trust", "add", str(panel), typed="yes\n")
    always = fitchain(checker, *verifying(vouched), "--require", "sampled")
    assert (always[0], always[1]["assurance"]) == (0, "sampled")
    assert fitchain(checker, *verifying(vouched), "--require", "open")[0] == 3
    assert fitchain(checker, *verifying(vouched), "--require", "owner-replay")[0] == 3


def test_a_quorum_of_accounts_is_as_good_as_a_panel(
    fitchain: Fitchain, checker: Account, vouched: Job, staked_verifiers: StakedVerifiers
) -> None:
    seats = fitchain(checker, *verifying(vouched))[1]["audits"][0]["seats"]
    for number, seat in enumerate(seats):
        assert fitchain(checker, *verifying(vouched))[1]["assurance"] == ("vouched" if number < 2 else "sampled")
        fitchain(checker, "trust", "add", seat["verifier"])
    assert {seat["verifier"] for seat in seats} <= set(staked_verifiers.addresses)


def test_what_is_told_stands_in_its_order_and_in_the_chains_words(
    fitchain: Fitchain, checker: Account, vouched: Job, capsys: pytest.CaptureFixture[str]
) -> None:
    fitchain(checker, *verifying(vouched))
    assert run([*verifying(vouched), "--home", str(checker.chain.settings.home)]) == 0
    shown = capsys.readouterr().out
    places = [
        shown.index(label)
        for label in ("sha-256", "job", "took", "drawn from", "seat 0", "parties", "repeating", "not proven")
    ]
    assert places == sorted(places)
    unfolded = " ".join(shown.split())
    assert "3 of 3 voted Match" in unfolded and "owner and scientist are one account" in unfolded
    assert "voted Match; 20 FIT at stake in the seat, 1000 FIT staked now; not on your trust list" in unfolded
    assert "need about 3 such jobs" in unfolded
    assert not any(word in shown for word in ("replayed", "re-executed"))


def test_json_tells_panel_seats_and_durations_in_the_fields_words(
    fitchain: Fitchain, checker: Account, vouched: Job, panel: PanelId
) -> None:
    told = fitchain(checker, *verifying(vouched))[1]
    (audit,) = told["audits"]
    assert (audit["ordinal"], audit["kind"], audit["verdict"], audit["trusted"]) == (0, "First", "Match", False)
    assert (audit["fee_per_seat"], audit["seat_stake"], audit["quorum"]) == ("1", "20", 2)
    assert (audit["panel"]["panel"], audit["panel"]["name"], audit["panel"]["size"]) == (str(panel), "neighbours", 5)
    assert (audit["panel"]["size_when_requested"], audit["panel"]["creator_party"]) == (5, None)
    assert audit["panel"]["age_when_requested"] >= 0
    assert {(seat["vote"], seat["stake"], seat["trusted"], seat["party"]) for seat in audit["seats"]} == {
        ("Match", "1000", False, None)
    }
    assert (told["audits_asked"], told["audits_consented"]) == (0, 0)
    assert told["repeat"] == {"jobs": 3, "cost_per_job": "1.5", "gas_per_job": 686_000}
    assert (told["duration"]["in_one_block"], told["duration"]["too_short"]) == (False, False)
    assert (told["duration"]["least"], len(told["not_proven"])) == (pytest.approx(20 * 20e-6), 4)


def test_a_second_node_has_to_agree(fitchain: Fitchain, checker: Account, vouched: Job) -> None:
    rpc = checker.chain.settings.rpc
    assert fitchain(checker, *verifying(vouched), "--also-rpc", rpc)[1]["assurance"] == "vouched"

    def lie(call: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
        lied = call["method"] == "eth_getLogs" and answer.get("result")
        return answer | {"result": answer["result"][:-1]} if lied else answer

    with proxy(rpc, lambda call: None, change=lie) as url:
        code, told, _ = fitchain(checker, *verifying(vouched), "--also-rpc", url)
    assert (code, told["error"]["kind"]) == (3, "ChainUnusable") and "do not agree" in told["error"]["message"]
    nowhere = fitchain(checker, *verifying(vouched), "--also-rpc", "http://127.0.0.1:9")
    assert (nowhere[0], nowhere[1]["error"]["kind"]) == (3, "NodeUnreachable")


def test_what_an_audit_costs_says_which_bound_holds_against_whom(
    fitchain: Fitchain, checker: Account, capsys: pytest.CaptureFixture[str]
) -> None:
    code, told, _ = fitchain(checker, "proof", "cost", "--price", "10", "--verifiers", "3")
    assert (code, told["always_audited"], told["drawn_segments"], told["quorum"]) == (0, 2, 21, 2)
    assert told["bribe"]["enough"] is True and float(told["bribe"]["insured"]) >= float(told["bribe"]["worth"])
    assert told["repeat"]["quorum_held"] == pytest.approx(7 / 27) and told["repeat"]["jobs_needed"] == 3
    cheap = fitchain(checker, "proof", "cost", "--price", "10", "--fee-per-seat", "0.1", "--bond", "20")[1]
    assert cheap["bribe"] == {"insured": "4.2", "worth": "30", "enough": False}
    assert fitchain(checker, "proof", "cost", "--verifiers", "4")[1]["error"]["kind"] == "InputRefused"
    assert run(["proof", "cost", "--home", str(checker.chain.settings.home)]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "hold a quorum of 2 of 3 seats in 25.9 % of draws" in shown
    assert "verifiers that already trust one another risk nothing" in shown


# What both sides see of a panel before they sign


def test_a_job_shows_its_panel_to_both_sides(
    fitchain: Fitchain, parties: Parties, staked_verifiers: StakedVerifiers
) -> None:
    scientists = staked_verifiers.panel(parties.scientist.chain, "the scientist's")
    id = parties.request(audit=replace(TERMS, panel=scientists))
    told = fitchain(parties.owner, "job", "show", str(id))[1]["panel"]
    assert (told["panel"], told["name"], told["creator_party"]) == (str(scientists), "the scientist's", "scientist")
    assert told["members_that_are_parties"] == []
    assert told["unknown_members"] == told["members"] == staked_verifiers.addresses
    assert "the panel's creator is the scientist" in [concern.split(",")[0] for concern in told["concerns"]]
    assert any("unknown to this home's trust list" in concern for concern in told["concerns"])
    fitchain(parties.owner, "trust", "add", str(scientists), typed="yes\n")
    assert fitchain(parties.owner, "job", "show", str(id))[1]["panel"]["unknown_members"] == []
    assert fitchain(parties.scientist, "job", "show", str(id))[1]["panel"]["unknown_members"] == told["members"]
    fitchain(parties.owner, "trust", "remove", str(scientists))


# What commands ask of a node


MOST_REQUESTS = 12
"""HTTP requests of one command, whatever else the deployment holds."""


@pytest.mark.parametrize("whose", [(), ("--all",)], ids=["own", "all"])
def test_a_list_of_jobs_asks_at_most_twelve_times(
    whose: tuple[str, ...], fitchain: Fitchain, parties: Parties, open_account: Callable[..., Account]
) -> None:
    def asked() -> int:
        with counting(parties.owner.chain.settings.rpc) as (url, traffic):
            code, told, _ = fitchain(parties.owner, "job", "list", *whose, "--rpc", url)
        assert code == 0 and told["jobs"]
        return traffic.requests

    parties.request()
    before = asked()
    stranger = parties._replace(scientist=open_account())
    for _ in range(6):
        stranger.request()
    assert asked() == before <= MOST_REQUESTS


def test_verify_asks_at_most_twelve_times(fitchain: Fitchain, checker: Account, vouched: Job) -> None:
    with counting(checker.chain.settings.rpc) as (url, traffic):
        assert fitchain(checker, *verifying(vouched), "--rpc", url)[1]["assurance"] == "vouched"
    assert traffic.requests <= MOST_REQUESTS


# What a verifier has done


def test_a_verifiers_history_counts_audits_losses_and_distinct_owners(
    fitchain: Fitchain, checker: Account, scenario: AuditScenario, pass_time: Callable[[int], None]
) -> None:
    def shown(address: str) -> dict[str, Any]:
        return fitchain(checker, "verifier", "show", address)[1]

    panel = scenario.staff.panel(scenario.parties.owner.chain, "whose history")

    def ended() -> AuditRef:
        id = scenario.ended(replace(TERMS, panel=panel))
        scenario.joined(id)
        return AuditRef(id)

    fresh = shown(checker.address)
    assert (fresh["audits_done"], fresh["audits_absent"], fresh["staked_block"]) == (0, 0, None)
    match, other = (Outcome.MATCH, NONCE), (Outcome.MATCH, commit_nonce(NONCE))
    first = ended()
    liar, honest, _ = scenario.seated(first.agreement)
    scenario.vote(first.agreement, [other, match, match])
    scenario.reader.advance(first)
    before = shown(honest.account.address)
    assert (before["audits_done"], before["distinct_owners"], before["votes"]) == (1, 1, {"Match": 1})
    lied = shown(liar.account.address)
    assert (lied["audits_lost"], lied["audits_absent"], lied["penalties"]) == (1, 0, "20")
    second = ended()
    scenario.reader.submit(second, KEY)
    absent = scenario.seated(second.agreement)[0]
    was = shown(absent.account.address)
    pass_time(601)
    scenario.reader.advance(second)
    gone = shown(absent.account.address)
    assert gone["audits_absent"] == was["audits_absent"] + 1 and gone["audits_lost"] == was["audits_lost"]
    assert float(gone["penalties"]) == float(was["penalties"]) + 2
    assert gone["audits_done"] == was["audits_done"] and gone["audits_joined"] == was["audits_joined"]


# Money


def test_fit_is_handed_on(fitchain: Fitchain, checker: Account, open_account: Callable[..., Account]) -> None:
    other = open_account(units=0)
    code, sent, _ = fitchain(checker, "coin", "send", other.address.lower(), "12.5")
    assert (code, sent["sent"], sent["to"], sent["left"]) == (0, "12.5", other.address, "987.5")
    assert fitchain(other, "coin", "balance")[1]["fit"] == "12.5"
    assert fitchain(other, "coin", "balance", checker.address)[1] == {
        "address": checker.address,
        "fit": "987.5",
        "owed": "0",
        "staked": "0",
        "leaving": "0",
        "earned": "0",
        "eth": fitchain(checker, "coin", "balance")[1]["eth"],
    }


@pytest.mark.parametrize(
    ("to", "amount", "kind"),
    [
        (SOMEBODY, "0", "InputRefused"),
        (SOMEBODY, "x", "InputRefused"),
        ("nobody", "1", "InputRefused"),
        ("FitCoin", "1", "InputRefused"),
        ("own", "1", "InputRefused"),
        (SOMEBODY, "1001", "ChainUnusable"),
    ],
)
def test_fit_that_would_help_nobody_is_not_sent(
    to: str, amount: str, kind: str, fitchain: Fitchain, checker: Account
) -> None:
    named = checker.chain.deployment.addresses.get(to, checker.address if to == "own" else to)
    code, told, _ = fitchain(checker, "coin", "send", named, amount)
    assert (code, told["error"]["kind"]) == (3, kind) and told["error"]["hint"]
    assert checker.chain.fit_balance(checker.address) == 1000 * ETHER


def test_the_setting_of_a_pools_stake_is_read_in_fit(fitchain: Fitchain, checker: Account, vouched: Job) -> None:
    settings = checker.chain.settings.home / "settings.toml"
    settings.write_text("open_stake = 4000\n")
    assert (
        fitchain(checker, *verifying(vouched))[1]["assurance"] == "vouched"
    )  # what a panel drew is none of the pool's
    settings.write_text('open_stake = "much"\n')
    assert fitchain(checker, *verifying(vouched))[1]["error"]["kind"] == "InputRefused"
