"""Commands about audits: what they cost, panels, stakes, disputes, and what is told of an audit as
it goes."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fitchain.cli.app import run
from fitchain.cli.commands.job import read_audit_options
from fitchain.cli.views.amounts import parse_share
from fitchain.cli.views.cost import percent, views
from fitchain.cli.views.output import KeyValues
from fitchain.pod.compute.dataset import Card
from fitchain.pod.jobs import history
from fitchain.pod.parties.scientist import JobRequest, plan_audit, publish_model, request_job
from fitchain.pod.ports.agreement import Agreements, Audits, AuditTerms, Outcome, State
from fitchain.pod.ports.registry import Role
from fitchain.pod.ports.trust import distrust, look_at_panel, trust
from fitchain.pod.proof.audit.diagnosis import StateDigests
from fitchain.pod.proof.audit.plan import AuditPlan
from fitchain.pod.values.audit_mode import AuditMode
from fitchain.pod.values.digest import ZERO, Digest
from fitchain.pod.values.errors import InputRefused, NotFound
from fitchain.pod.values.ids import WHOLE_POOL, AgreementId, AuditRef
from tests.agreements import ASKER_NONCE, KEY, Parties, anchored, ending
from tests.audit_actors import DISPUTE, TERMS, StakedVerifiers
from tests.chain_fixtures import ETHER, PASSPHRASE, Account, Devnet, secret_file
from tests.cli_fixtures import Fitchain
from tests.limits import LIMIT_S
from tests.node_proxy import leaving_once_mined
from tests.pods import Workshop, module_file, offer_table, owner_runs
from tests.policies import open_policy

ROOT = Path(__file__).parent.parent
SOMEBODY, ANOTHER = "0x" + "1" * 40, "0x" + "2" * 40


def ended(parties: Parties, terms: AuditTerms) -> AgreementId:
    """A training that has ended: eight segments."""
    id = parties.begun(audit=terms)
    made = anchored(parties, id, 9)
    parties.by_owner.finish(id, ending(made, None if terms.verifiers else KEY))
    return id


# What an audit costs


def test_costs_are_told_before_anybody_signs(fitchain: Fitchain, parties: Parties) -> None:
    options = ("--steps", "100", "--segment-steps", "4", "--segments", "3", "--verifiers", "3", "--price", "9")
    sizes = ("--fee-per-seat", "1", "--bond", "4", "--batch-size", "8", "--records", "150", "--wanted", "99%")
    code, told, _ = fitchain(parties.owner, "proof", "cost", *options, *sizes)
    assert code == 0
    assert (told["segments"], told["drawn_segments"], told["audited"], told["verifiers"]) == (25, 3, 5, 3)
    assert (told["bond_needed"], told["bond_enough"], told["records_disclosed"]) == ("4", True, 150)
    assert (told["work_per_verifier"], told["work"]) == (0.2, 0.6)
    tenth = told["detection"][2]
    assert (tenth["faked_share"], tenth["faked"]) == (0.1, 3)
    assert tenth["found"] == pytest.approx(1 - (20 * 19 * 18) / (23 * 22 * 21))
    assert [row["draws_needed"] for row in told["detection"]] == [23, 21, 18, 6]


def test_costs_of_an_agreement_are_those_of_its_terms(
    fitchain: Fitchain, parties: Parties, staked_verifiers: StakedVerifiers, shown: Callable[..., str]
) -> None:
    id = parties.request(audit=DISPUTE)
    told = fitchain(parties.owner, "proof", "cost", str(id))[1]
    assert (told["agreement"], told["verifiers"], told["only_if_disputed"]) == (str(id), 3, True)
    assert (told["segments"], told["fees"], told["bond"], told["records_disclosed"]) == (8, "3", "4", None)
    assert "only if the scientist disputes" in shown("proof", "cost", str(id))
    assert "nobody but the owner" in shown("proof", "cost", str(parties.request()))


def test_even_numbers_of_verifiers_are_refused(fitchain: Fitchain, parties: Parties) -> None:
    code, error, _ = fitchain(parties.owner, "proof", "cost", "--verifiers", "2")
    assert code == 3 and "an odd number of verifiers, not 2" in error["error"]["message"]


def test_what_a_request_would_be_audited_for_is_shown_before_it_is_approved(
    parties: Parties, staked_verifiers: StakedVerifiers, shown: Callable[..., str]
) -> None:
    lines = dict(
        re.split(r"  +", line, maxsplit=1)
        for line in shown("job", "show", str(parties.request(audit=TERMS))).splitlines()
    )
    assert lines["audit"].startswith("3 verifiers replay 4 of 8 segments: the first, the last")
    assert lines["audit"].endswith("and 2 drawn")
    assert lines["bond"] == "faking pays nobody from 4.1112 FIT on; the agreed bond is only 4 FIT"


@pytest.mark.parametrize(
    ("options", "told"), [((), "the default bond is 14.9112 FIT"), (("--bond", "5"), "the given bond is only 5 FIT")]
)
def test_cost_says_whose_bond_it_is_in_few_digits(
    options: tuple[str, ...], told: str, shown: Callable[..., str]
) -> None:
    text = " ".join(shown("proof", "cost", *options).split())
    assert f"faking pays nobody from 14.9112 FIT on; {told}" in text
    assert not re.search(r"\.\d{5}", text)


def test_no_draw_is_told_to_be_no_safeguard() -> None:
    pairs = views(AuditPlan(100, 4, 0, 3, False, ETHER, 0, 0, ETHER))[0]
    assert isinstance(pairs, KeyValues)
    assert "no bond is enough" in str(dict(pairs.pairs)["bond"])


@pytest.mark.parametrize(
    ("share", "told"), [(1, "100 %"), (0.99996, "> 99.9 %"), (0.0004, "< 0.1 %"), (0, "0 %"), (0.125, "12.5 %")]
)
def test_a_chance_is_never_rounded_to_certainty(share: float, told: str) -> None:
    assert percent(share) == told


@pytest.mark.parametrize("text", ["", "x", "-1", "1.5", "101%", "1e-3"])
def test_what_is_no_chance_is_refused(text: str) -> None:
    with pytest.raises(InputRefused, match="chance"):
        parse_share("chance", text)


# Asking for an audit


@pytest.fixture(scope="module")
def audited(workshop: Workshop, table_path: Path) -> Workshop:
    """A workshop whose dataset may be shown to verifiers."""
    policy = open_policy(manual_approval=False, disclosure_mode=AuditMode.OPEN, disclosure_cap=None)
    dataset = offer_table(workshop.owner, table_path, policy=policy)
    scientist = workshop.scientist.home
    model = publish_model(scientist, module_file(scientist.settings.home), dataset.id, name="Tiny")
    workshop.owner.home.register_or_update(Role.OWNER)
    return replace(workshop, dataset=dataset, model=model)


def ask(workshop: Workshop, said: Callable[[str], None] = lambda text: None, **options: Any) -> tuple[JobRequest, Any]:
    home, recipe = workshop.scientist.home, {"steps": 100, "segment_steps": 4, "batch_size": 8}
    request = JobRequest(workshop.dataset.id, workshop.model.id, recipe, 9 * ETHER)
    return plan_audit(home, request, read_audit_options(home, **options), said)


def test_what_is_left_open_follows_from_the_training(audited: Workshop) -> None:
    request, plan = ask(audited, verifiers=3)
    assert request.recipe_overrides["audit"] == {"verifiers": 3, "drawn_segments": 14}
    fee = 9 * ETHER * 16 // 25  # what a seat trains again
    assert request.audit == AuditTerms(14, 3, window=3600, wait=86_400, fee_per_seat=fee, seat_stake=20 * fee)
    assert plan.disclosed == 40  # of every record, since the segments go over them more than once
    assert request.bond == plan.bond_needed == 3 * fee + ETHER


def test_fee_of_a_cheap_replay_makes_a_quorum_answer_for_price_and_bond(audited: Workshop) -> None:
    """Who buys two seats of three answers for more than the price and the bond that a fake is
    worth."""
    home, recipe = audited.scientist.home, {"steps": 10_000, "segment_steps": 4, "batch_size": 8}
    request = JobRequest(audited.dataset.id, audited.model.id, recipe, 1000 * ETHER)
    planned, _ = plan_audit(home, request, read_audit_options(home, verifiers=3, segments=1))
    assert planned.audit is not None and planned.bond is not None
    assert 2 * planned.audit.seat_stake >= 1000 * ETHER + planned.bond
    assert 2 * (planned.audit.seat_stake - 20) < 1000 * ETHER + planned.bond  # and for no more


def test_dispute_is_asked_for_with_a_counter_bond(audited: Workshop) -> None:
    options: dict[str, Any] = {"segments": 3, "fee_per_seat": "1", "window": "10m", "wait": "1h"}
    request = ask(audited, dispute_verifiers=1, **options)[0]
    assert request.audit == AuditTerms(3, 0, 1, AuditMode.OPEN, WHOLE_POOL, 600, 3600, ETHER, 20 * ETHER, ETHER)
    assert request.bond == 9 * ETHER  # the price, which is more than the fee of one seat


def test_without_a_panel_that_both_trust_nobody_is_named_and_that_is_said(audited: Workshop) -> None:
    said: list[str] = []
    assert ask(audited, said.append) == ask(audited, verifiers=0) == ask(audited, dispute_verifiers=0)
    assert ask(audited)[0].audit is None
    assert "nobody could be asked in a dispute" in said[0] and "--panel PANEL --dispute-verifiers 3" in said[0]


def test_panel_that_both_trust_is_named_for_a_dispute(
    audited: Workshop, table_path: Path, staked_verifiers: StakedVerifiers
) -> None:
    home, said = audited.scientist.home, list[str]()
    panel = staked_verifiers.panel(home.chain, "neighbours")
    policy = open_policy(
        manual_approval=False, disclosure_mode=AuditMode.OPEN, disclosure_cap=None, panels=(str(panel),)
    )
    here = replace(audited, dataset=offer_table(audited.owner, table_path, policy=policy))
    assert ask(here)[0].audit is None  # the owner accepts it, and the scientist does not trust it yet
    trust(home.settings.home, look_at_panel(home.chain, panel))
    assert ask(audited)[0].audit is None  # the other way round
    request, plan = ask(here, said.append)
    audit = request.audit
    assert audit is not None and (audit.verifiers, audit.dispute_verifiers, audit.panel) == (0, 3, panel)
    assert audit.mode is AuditMode.SAMPLED and plan.disputed and "which you and the owner trust" in said[0]
    terms = home.agreements.terms(request_job(home, request))
    assert terms.audit == audit and terms.bond >= audit.fees
    assert ask(here, dispute_verifiers=0)[0].audit is None
    low = replace(request, audit=None, bond=ETHER, recipe_overrides={"steps": 100})
    assert plan_audit(home, low, read_audit_options(home), said.append) == (low, None)
    assert "the bond that you ask for is less than the fees" in said[-1]
    distrust(home.chain, panel)


@pytest.mark.long
def test_phase_lasts_longer_than_the_replay_on_a_slower_host(audited: Workshop, table_path: Path) -> None:
    dataset = offer_table(
        audited.owner, table_path, policy=open_policy(disclosure_mode=AuditMode.OPEN), mock_records=16
    )
    home, recipe = audited.scientist.home, {"steps": 20_000_000, "segment_steps": 2_000}
    request = JobRequest(dataset.id, audited.model.id, recipe, 9 * ETHER)
    planned, _ = plan_audit(home, request, read_audit_options(home, verifiers=1, segments=4096))
    assert planned.audit is not None and planned.audit.window > 3600
    assert planned.audit.wait == min(7 * 86_400, max(86_400, 8 * planned.audit.window))
    assert not planned.rehearsed  # it was, and is not once more


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"segments": 3}, "--segments says how an audit goes, and nobody is to audit"),
        ({"fee_per_seat": "3", "verifiers": 0}, "--fee-per-seat says how"),
        ({"verifiers": 2}, "--verifiers 2 is no odd number"),
        ({"dispute_verifiers": 4}, "--dispute-verifiers 4 is no odd number"),
        ({"verifiers": 1, "mode": "sampled"}, "none is named"),
        ({"verifiers": 1, "mode": "secret"}, "there is no mode 'secret'"),
        ({"verifiers": 1, "panel": "0x" + "9" * 64}, "no panel"),
    ],
)
def test_options_that_contradict_each_other_are_refused(audited: Workshop, options: dict[str, Any], told: str) -> None:
    with pytest.raises(Exception, match=told) as refusal:
        ask(audited, **options)
    assert refusal.value.hint  # type: ignore[attr-defined]


def test_bond_that_does_not_cover_the_fees_is_refused(audited: Workshop) -> None:
    home = audited.scientist.home
    request = JobRequest(audited.dataset.id, audited.model.id, {"steps": 100}, 9 * ETHER, bond=ETHER)
    with pytest.raises(InputRefused, match="less than the fees of 3 seats"):
        plan_audit(home, request, read_audit_options(home, verifiers=3))


def test_request_tells_its_audit_before_and_after(
    audited: Workshop, staked_verifiers: StakedVerifiers, fitchain: Fitchain, tmp_path: Path
) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text("steps = 100\nsegment_steps = 4\nbatch_size = 8\n")
    what = ("--dataset", str(audited.dataset.id), "--model", str(audited.model.id), "--recipe", str(recipe))
    how = ("--verifiers", "3", "--segments", "5", "--fee-per-seat", "1", "--no-rehearsal", "--price", "12")
    home = audited.scientist.home
    code, told, said = fitchain(Account(home.keys, home.chain), "job", "request", *what, *how)
    assert code == 0, said
    assert "3 verifiers replay 7 of 25 segments" in said and "at most 40 of 40 records" in said
    assert "phases: 1h each; too few verifiers are waited for up to 1d" in said
    assert (told["bond"], told["audit"]["bond_needed"], told["audit"]["bond_enough"]) == (
        "12",
        "4.333333333333333334",
        True,
    )
    terms = home.agreements.terms(AgreementId(Digest.parse(told["agreement"])))
    assert terms.audit == AuditTerms(5, 3, window=3600, wait=86_400, fee_per_seat=ETHER, seat_stake=20 * ETHER)
    assert told["panel"] is None and "drawn from: the whole pool of verifiers" in said


def test_who_asked_is_told_so_whatever_the_node_answers_afterwards(
    audited: Workshop, fitchain: Fitchain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else it asks again, and pays twice."""
    recipe = tmp_path / "recipe.toml"
    recipe.write_text("steps = 100\nsegment_steps = 4\nbatch_size = 8\n")
    what = ("--dataset", str(audited.dataset.id), "--model", str(audited.model.id), "--recipe", str(recipe))
    home, before = audited.scientist.home, audited.scientist.home.agreements.list()

    def lagging(*_: Any) -> Any:
        raise NotFound("the node does not know the job yet")

    with monkeypatch.context() as patch:
        patch.setattr(Agreements, "read", lagging)
        code, told, said = fitchain(
            Account(home.keys, home.chain), "job", "request", *what, "--no-rehearsal", "--price", "13"
        )
    assert code == 0, said
    (id,) = set(home.agreements.list()) - set(before)
    assert (told["agreement"], told["price"], told["bond"]) == (str(id), "13", "13")
    assert told["owner"] == audited.owner.address


@pytest.mark.parametrize("how", [(), ("--verifiers", "3")])
def test_what_is_wrong_with_a_recipe_names_its_file(
    audited: Workshop, fitchain: Fitchain, tmp_path: Path, how: tuple[str, ...]
) -> None:
    recipe, home = tmp_path / "mine.toml", audited.scientist.home
    recipe.write_text("epoch = 3\n")
    what = ("--dataset", str(audited.dataset.id), "--model", str(audited.model.id), "--recipe", str(recipe))
    code, told, _ = fitchain(Account(home.keys, home.chain), "job", "request", *what, *how)
    assert code == 3 and told["error"]["message"].startswith(f"{recipe}: the recipe has an unknown field 'epoch'")


def test_request_warns_of_a_panel_before_anything_is_signed(
    audited: Workshop, staked_verifiers: StakedVerifiers, fitchain: Fitchain, tmp_path: Path
) -> None:
    home, recipe = audited.scientist.home, tmp_path / "recipe.toml"
    recipe.write_text("steps = 100\nsegment_steps = 4\nbatch_size = 8\n")
    panel = staked_verifiers.panel(audited.owner.home.chain, "the owner's")
    what = ("--dataset", str(audited.dataset.id), "--model", str(audited.model.id), "--recipe", str(recipe))
    how = ("--verifiers", "1", "--panel", str(panel), "--mode", "sampled", "--no-rehearsal")
    code, told, said = fitchain(Account(home.keys, home.chain), "job", "request", *what, *how)
    assert code == 0, said
    assert f"made by {audited.owner.address} (the owner)" in said
    assert "mind: the panel's creator is the owner" in said and "mind: 5 of 5 members are unknown" in said
    assert (told["panel"]["creator_party"], told["panel"]["members_that_are_parties"]) == ("owner", [])


def test_request_of_too_small_a_panel_is_refused_before_anything_is_signed(
    audited: Workshop, fitchain: Fitchain, tmp_path: Path
) -> None:
    home, recipe = audited.scientist.home, tmp_path / "recipe.toml"
    recipe.write_text("steps = 100\nsegment_steps = 4\nbatch_size = 8\n")
    panel = home.registry.create_panel("nobody's")
    what = ("--dataset", str(audited.dataset.id), "--model", str(audited.model.id), "--recipe", str(recipe))
    how = ("--verifiers", "3", "--panel", str(panel), "--mode", "sampled", "--no-rehearsal")
    code, told, _ = fitchain(Account(home.keys, home.chain), "job", "request", *what, *how)
    assert (code, told["error"]["kind"]) == (3, "Unusable")
    assert told["error"]["message"] == "0 of those who stand there could be drawn, and 3 seats need 5"
    assert told["error"]["hint"] == "name a larger panel, or fewer verifiers"


def test_result_is_accepted_by_its_scientist_alone(audited: Workshop, fitchain: Fitchain) -> None:
    owner = audited.owner
    code, told, _ = fitchain(Account(owner.home.keys, owner.home.chain), "job", "accept", str(audited.request()))
    assert (code, told["error"]["kind"]) == (3, "AccessRefused")
    assert f"this home's account is {owner.address}" in told["error"]["message"]


def test_approval_shows_who_would_judge_and_asks(
    audited: Workshop, staked_verifiers: StakedVerifiers, fitchain: Fitchain
) -> None:
    owner, scientist = audited.owner, audited.scientist
    panel = staked_verifiers.panel(scientist.home.chain, "the scientist's")
    terms = replace(TERMS, drawn_segments=1)
    account, id = Account(owner.home.keys, owner.home.chain), audited.request(audit=replace(terms, panel=panel))
    for typed, kind in (("", "AccessRefused"), ("y\n", "Unusable")):
        code, told, folded = fitchain(account, "job", "approve", str(id), typed=typed)
        said = " ".join(folded.split())
        assert (code, told["error"]["kind"]) == (3, kind) and owner.home.journal.decision(id) is None
        assert f"made by {scientist.address} (the scientist)" in said and staked_verifiers.addresses[0] in said
        assert "the panel's creator is the scientist" in said and "may be shown" in said
        assert "the pod has not examined it yet" in said
        terms_said = owner.home.agreements.terms(id)
        card = Card.parse(owner.home.journal.dataset(terms_said.dataset).card)
        assert f"{terms_said.dataset.short}, {card.name}" in said and f"model {terms_said.model.short}" in said
        assert "58 parameters; linear ×2, relu" in said and "at most on a slow core" in said
    told = fitchain(account, "job", "approve", str(id), typed="yes\n")[1]
    assert (told["decision"], told["panel"]["creator_party"]) == ("approved", "scientist")
    assert told["panel"]["members"] == staked_verifiers.addresses and told["concerns"]
    assert owner.home.journal.decision(id) is not None
    assert fitchain(account, "job", "approve", str(audited.request()), "--yes")[1]["panel"] is None
    said = fitchain(account, "job", "approve", str(audited.request(audit=terms)), "--yes")[2]
    assert "the whole pool of verifiers" in said


def test_request_that_waits_for_a_person_is_listed(
    audited: Workshop, fitchain: Fitchain, capsys: pytest.CaptureFixture[str]
) -> None:
    owner, id = audited.owner, audited.request()
    account = Account(owner.home.keys, owner.home.chain)
    owner.home.journal.record(id, history.Checked(("a reason of the pod's",)), once="")
    owner.home.journal.record(id, history.ApprovalNeeded(()), once="")
    listed = {job["agreement"]: job["awaits_approval"] for job in fitchain(account, "job", "list")[1]["jobs"]}
    assert listed[str(id)] and fitchain(account, "job", "show", str(id))[1]["awaits_approval"]
    assert run(["job", "show", str(id), "--home", str(owner.home.settings.home)]) == 0
    assert f"fitchain job approve {id.short}" in capsys.readouterr().out
    assert "a reason of the pod's" in fitchain(account, "job", "approve", str(id), "--yes")[2]
    assert not fitchain(account, "job", "show", str(id))[1]["awaits_approval"]
    more = history.ApprovalNeeded(("a reason of the pod's", "another that came later"))
    owner.home.journal.record(id, more, once="more")
    assert fitchain(account, "job", "show", str(id))[1]["awaits_approval"]


# An audit as it goes


def test_audit_is_told_from_its_opening_to_its_verdict(
    fitchain: Fitchain,
    parties: Parties,
    staked_verifiers: StakedVerifiers,
    pass_time: Callable[[int], None],
    shown: Callable[..., str],
) -> None:
    id, owner = ended(parties, TERMS), parties.owner

    def phase() -> dict[str, Any]:
        return dict(fitchain(owner, "job", "show", str(id))[1]["audit"])

    opened = phase()
    assert (opened["phase"], opened["verdict"], opened["seed"]) == ("Awaiting", None, None)
    code, error, _ = fitchain(owner, "job", "settle", str(id))
    assert code == 3 and "only the scientist's pod draws" in error["error"]["message"]
    owner.chain.node.request("anvil_mine", hex(owner.chain.constants.turn_blocks + 1))
    with leaving_once_mined(owner.chain.node.url) as url:
        code, told, said = fitchain(owner, "job", "settle", str(id), "--rpc", url)
    assert (code, told["result"], told["phase"]) == (0, "advanced", None) and "now cannot be read" in said
    assert phase()["phase"] == "Joining"
    code, error, _ = fitchain(owner, "job", "settle", str(id))
    assert code == 3 and "the drawn verifiers may join for" in error["error"]["message"]
    seat = staked_verifiers.seats(owner.chain, id)[0].account
    sits = fitchain(seat, "verifier", "status")[1]["audits"]
    assert [(one["agreement"], one["seat"], one["phase"]) for one in sits] == [(str(id), 0, "Joining")]
    staked_verifiers.join(owner.chain, id)
    assert "the owner must show its evidence within" in shown("job", "show", str(id))
    staked_verifiers.vote(owner.chain, id, Outcome.MATCH)
    assert [one["outcome"] for one in phase()["seats"]] == ["Match"] * 3
    assert "Auditing (revealing)" in shown("job", "show", str(id))
    assert fitchain(owner, "job", "settle", str(id))[1]["verdict"] == "Match"
    code, watched, _ = fitchain(owner, "job", "watch", str(id))
    assert (code, watched["state"], watched["audit"]["phase"]) == (0, "Auditing", "Matched")
    Audits(owner.chain).release(AuditRef(id), KEY)
    assert "Settled (released)" in shown("job", "show", str(id))
    proof = fitchain(owner, "proof", "show", str(id))[1]["audits"][0]
    assert (proof["verdict"], proof["phase"]) == ("Match", "Released")
    assert len(proof["segments"]) == 4 and {0, 7} <= set(proof["segments"])
    assert "Match: a quorum voted that what was audited is equal to the bit" in shown("proof", "show", str(id))
    code, error, _ = fitchain(owner, "job", "settle", str(id))
    assert code == 3 and "after that the verifiers are paid" in error["error"]["message"]
    pass_time(TERMS.window + 1)
    assert fitchain(owner, "job", "settle", str(id))[1]["phase"] == "Concluded"
    assert fitchain(seat, "verifier", "withdraw")[1]["withdrawn"] == "1"
    history = fitchain(owner, "verifier", "show", seat.address)[1]
    assert (history["audits_done"], history["votes"], history["distinct_owners"]) == (1, {"Match": 1}, 1)
    assert (history["audits_lost"], history["audits_absent"], history["penalties"]) == (0, 0, "0")


def test_audit_in_which_nobody_acts_goes_on_without_them(
    fitchain: Fitchain,
    parties: Parties,
    staked_verifiers: StakedVerifiers,
    pass_time: Callable[[int], None],
    shown: Callable[..., str],
) -> None:
    id = ended(parties, TERMS)
    staked_verifiers.gather(parties.owner.chain, id)
    pass_time(TERMS.window + 1)
    assert "the time for it passed" in shown("job", "show", str(id))
    code, told, _ = fitchain(parties.scientist, "job", "settle", str(id))
    assert (code, told["verdict"], told["phase"]) == (0, None, "Evidence")  # the owner has another window
    assert "evidence withheld once" in shown("job", "show", str(id))
    pass_time(TERMS.window + 1)
    code, told, _ = fitchain(parties.scientist, "job", "settle", str(id))
    assert (code, told["verdict"]) == (0, "Withheld")
    assert fitchain(parties.owner, "job", "show", str(id))[1]["state"] == "Forfeited"
    code, error, _ = fitchain(parties.owner, "job", "settle", str(id))
    assert code == 3 and "nothing to settle" in error["error"]["message"]


def test_verifier_that_let_a_window_pass_says_that_it_is_there_again(
    fitchain: Fitchain,
    parties: Parties,
    staked_verifiers: StakedVerifiers,
    pass_time: Callable[[int], None],
) -> None:
    id = ended(parties, TERMS)
    Audits(parties.owner.chain).draw(AuditRef(id), ASKER_NONCE)
    silent = staked_verifiers.seats(parties.owner.chain, id)[0].account
    pass_time(TERMS.window + 1)
    assert fitchain(parties.owner, "job", "settle", str(id))[0] == 0
    away = fitchain(silent, "verifier", "status")[1]
    assert (away["away"], away["obstacle"], away["stake"], away["can_be_drawn"]) == (True, "AWAY", "1000", False)
    assert fitchain(parties.owner, "verifier", "show", silent.address)[1]["joining_windows_passed"] == 1
    back = fitchain(silent, "verifier", "present")[1]
    assert (back["was_away"], back["away"], back["can_be_drawn"]) == (True, False, True)


def test_dispute_is_the_scientists_and_only_where_it_was_agreed(
    fitchain: Fitchain, parties: Parties, staked_verifiers: StakedVerifiers, shown: Callable[..., str]
) -> None:
    plain, disputed = ended(parties, AuditTerms()), ended(parties, DISPUTE)
    code, error, _ = fitchain(parties.owner, "job", "dispute", str(disputed))
    assert (code, error["error"]["kind"]) == (3, "AccessRefused")
    code, error, _ = fitchain(parties.scientist, "job", "dispute", str(plain))
    assert code == 3 and "--dispute-verifiers" in error["error"]["hint"]
    code, told, _ = fitchain(parties.scientist, "job", "dispute", str(disputed))
    assert (code, told["fees"], told["counter_bond"]) == (0, "3", "1")
    code, error, _ = fitchain(parties.scientist, "job", "dispute", str(disputed))
    assert code == 3 and error["error"]["hint"].startswith("see `fitchain job show")
    assert "Auditing (dispute, awaiting)" in shown("job", "show", str(disputed))


# Explaining a disagreement


@pytest.mark.long
def test_two_sides_compare_their_states_and_name_where_they_part(
    audited: Workshop, fitchain: Fitchain, tmp_path: Path
) -> None:
    with owner_runs(audited.owner):
        id = audited.request()
        audited.until_state(id, State.TRAINED)
    owner = Account(audited.owner.home.keys, audited.owner.home.chain)
    file = tmp_path / "states.jsonl"
    explain = ("proof", "explain", str(id), "--segment", "1")
    code, told, said = fitchain(owner, *explain, "--to", str(file))
    assert (code, told["agree"], told["states"], told["segments"]) == (0, True, 3, [1]), said
    lines = file.read_bytes().splitlines(keepends=True)
    moment = StateDigests.from_line(lines[1])
    other = replace(moment, tensors={**moment.tensors, "model/layers.0.bias": ZERO})
    file.write_bytes(lines[0] + other.to_line())
    code, told, _ = fitchain(owner, *explain, "--with", str(file))
    found = told["disagreement"]
    assert (code, found["segment"], found["step"], found["agreed"]) == (1, 1, moment.step, moment.step - 1)
    assert found["tensor"] == "model/layers.0.bias"
    code, error, _ = fitchain(owner, "proof", "explain", str(id))
    assert code == 3 and "--segment" in error["error"]["hint"]
    scientist = Account(audited.scientist.home.keys, audited.scientist.home.chain)
    code, error, _ = fitchain(scientist, *explain)
    assert code == 3 and "neither the training" in error["error"]["message"]


# The pod


def test_verifiers_pod_says_what_it_lacks_and_stops_cleanly(
    open_account: Callable[..., Account], running_devnet: Devnet
) -> None:
    home = open_account().chain.settings.home
    secret_file(home / "passphrase", PASSPHRASE + "\n")
    variables = {
        "FITCHAIN_DEVNET": str(running_devnet.folder),
        "FITCHAIN_HOME": str(home),
        "FITCHAIN_PASSPHRASE_FILE": str(home / "passphrase"),
        "HOME": str(home),
    }
    command = [sys.executable, "-m", "fitchain.cli", "pod", "verifier"]
    with subprocess.Popen(command, cwd=ROOT, env=variables, stderr=subprocess.PIPE, text=True) as pod:
        assert pod.stderr is not None
        assert "it never staked: fitchain verifier stake" in pod.stderr.readline()
        assert "Ctrl-C stops" in pod.stderr.readline()
        pod.send_signal(signal.SIGTERM)
        assert pod.wait(LIMIT_S) == 0, pod.stderr.read()
