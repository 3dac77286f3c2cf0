"""What an owner sees before it says yes, and what a scientist reads without a pod of its own."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from fitchain.cli.app import run
from fitchain.cli.views.review import evaluation_of
from fitchain.pod.jobs import history
from fitchain.pod.parties.owner import Owner, approve, reject
from fitchain.pod.parties.owner.examine import TRAINING_S, fetch_offer
from fitchain.pod.parties.scientist.messages import unread
from fitchain.pod.ports.agreement import Agreement, State
from fitchain.pod.values.audit_mode import AuditMode
from fitchain.pod.values.digest import sha256
from fitchain.pod.values.ids import AgreementId
from tests.audit_actors import TERMS, StakedVerifiers
from tests.chain_fixtures import Account
from tests.cli_fixtures import Fitchain
from tests.dishonest_parties import Offer
from tests.pods import Party, Workshop, offer_table, owner_runs
from tests.policies import open_policy
from tests.training_jobs import PRIVACY
from tests.training_jobs import recipe as given

DATE = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d"
LINEAR = {"module": "layers.0", "last": None, "alike": 1, "operators": {"linear": 1}, "parameters": 40, "trainable": 40}


def account(party: Party) -> Account:
    return Account(party.home.keys, party.home.chain)


@pytest.fixture
def seen(fitchain: Fitchain, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """What a command shows to people on 80 columns, as a party without its passphrase runs it."""
    monkeypatch.setenv("COLUMNS", "80")

    def command(party: Party, *arguments: str) -> str:
        assert run([*arguments, "--home", str(party.home.settings.home)]) == 0
        return capsys.readouterr().out

    return command


def joined(text: str) -> str:
    return " ".join(text.split())


def examined(workshop: Workshop, id: AgreementId, *concerns: str) -> None:
    """Let the owner's pod have examined a request, but for the rehearsal."""
    home = workshop.owner.home
    fetch_offer(home, home.agreements.read(id), attempts=1)
    home.journal.keep_fact(id, TRAINING_S, "90.5")
    home.journal.record(id, history.Checked(concerns), once="")


# Before an owner says yes


def test_owner_sees_model_recipe_asker_and_what_leaves_before_it_says_yes(
    workshop: Workshop, fitchain: Fitchain
) -> None:
    id = workshop.request()
    code, told, _ = fitchain(account(workshop.owner), "job", "show", str(id))
    layers = told["model_graph"]["layers"]
    assert code == 0 and [layer["module"] for layer in layers] == ["layers.0", None, "layers.2"]
    assert LINEAR.items() <= layers[0].items() and [each["shape"] for each in layers[0]["tensors"]] == [[8, 4], [8]]
    assert (told["model_graph"]["parameters"], told["model_graph"]["bytes"]) == (58, 232)
    recipe = told["recipe_terms"]
    assert (recipe["steps"], recipe["batch_size"], recipe["epochs"], recipe["optimizer"]["name"]) == (
        12,
        8,
        2.4,
        "AdamW",
    )
    asked = told["review"]
    assert asked["scientist"]["address"] == workshop.scientist.address and asked["scientist"]["has_pod"]
    carried = {
        "parameters": 58,
        "statistics": 0,
        "averages": 0,
        "numbers": 58,
        "records": 40,
        "numbers_of_records": 200,
    }
    assert (asked["capacity"], asked["models_may_reveal_records"]) == (carried, True)
    assert (asked["price"], asked["bond"], asked["training_window"], asked["training_s"]) == ("12", "6", 3600, None)
    assert not asked["examined"] and not [*workshop.owner.home.settings.home.glob(".opened-*")]


@pytest.mark.parametrize(
    ("terms", "metrics_leave", "shown"),
    [
        ({}, True, []),
        ({"held_out": 0.2}, True, ["in the certificate what the model does on 8 records held out, in exact counts"]),
        (
            {"held_out": 0.2, "evaluate": "segment", "best": "loss"},
            True,
            [
                "in the certificate what the model does on 8 records held out after each of 6 segments, in exact"
                " counts",
                "which of them did best by loss: that checkpoint is delivered",
            ],
        ),
        (
            {"held_out": 0.2, "evaluate": "segment"},
            False,
            ["not what the model does on 8 records held out: hashes of that after each of 6 segments"],
        ),
        ({"held_out": 0.2}, False, ["not what the model does on 8 records held out: a hash of that"]),
        (
            {"held_out": 0.2, "privacy": PRIVACY, "metrics": []},
            True,
            ["in the certificate what the model does on 8 records held out, in counts with noise"],
        ),
    ],
)
def test_what_leaves_of_held_out_records_is_said(terms: dict[str, Any], metrics_leave: bool, shown: list[str]) -> None:
    assert evaluation_of(given(**terms), metrics_leave) == shown


def test_what_is_shown_fits_80_columns_and_stays_after_the_examination(
    workshop: Workshop, fitchain: Fitchain, seen: Callable[..., str]
) -> None:
    id = workshop.request()
    sealed = joined(seen(workshop.owner, "job", "show", str(id)))
    assert "offer sealed, and not shown: no passphrase was given" in sealed and "layers.0" not in sealed
    assert "could carry not counted before the offer is opened" in sealed
    examined(workshop, id, "a concern of the pod's")
    text = seen(workshop.owner, "job", "show", str(id))
    assert max(map(len, text.splitlines())) <= 80
    assert re.search(r"^layers.0 +linear +8×4, 8 +40$", text, re.MULTILINE)
    for part in (
        f"asked by {workshop.scientist.address}, ",
        "58 numbers, 232 bytes, sealed to the scientist",
        "3 notes to the scientist with loss and accuracy; salted hashes of 7 checkpoints",
        "to verifiers nothing",
        "could carry 58 numbers of the model are moved by the records; 40 records of 5 numbers hold 200",
        "carry some 29 % of them home: no privacy budget limits that; you said that models may reveal records",
        "about 1m 30s by its rehearsal; its window is 1h",
        "mind a concern of the pod's",
        "steps 12 of 8 records, 2.4 passes over 40 records",
        "optimizer AdamW, betas 0.9 and 0.999",
        "learning rate 0.01 ",
        "loss cross_entropy, mean over a batch, of the column finding",
        "reads alpha, beta, gamma, delta; all scaled",
        "environment cpu-x86-64-v3, 1 thread, torch ",
        "checkpoints 7, one every 2 steps",
    ):
        assert part in joined(text), part


def test_policy_that_keeps_metrics_in_and_jobs_before_are_told(
    workshop: Workshop, table_path: Any, fitchain: Fitchain, seen: Callable[..., str]
) -> None:
    quiet = replace(workshop, dataset=offer_table(workshop.owner, table_path, policy=open_policy(metrics_leave=False)))
    first = quiet.request()
    reject(workshop.owner.home, first)
    id = quiet.request()
    examined(quiet, id)
    text = joined(seen(workshop.owner, "job", "show", str(id)))
    assert "3 notes to the scientist without metrics" in text
    before = fitchain(account(workshop.owner), "job", "show", str(id))[1]["review"]["scientist"]["jobs_before"]
    assert before["Cancelled"] >= 1 and f"{sum(before.values())} job" in text


def test_owner_sees_who_could_be_drawn_and_whom_it_trusts(
    workshop: Workshop, table_path: Any, staked_verifiers: StakedVerifiers, fitchain: Fitchain
) -> None:
    policy = open_policy(disclosure_mode=AuditMode.OPEN, disclosure_cap=None)
    shown = replace(workshop, dataset=offer_table(workshop.owner, table_path, policy=policy))
    owner = account(workshop.owner)
    assert fitchain(owner, "trust", "add", staked_verifiers.addresses[0], typed="yes\n")[0] == 0
    panel = staked_verifiers.panel(workshop.scientist.home.chain, "neighbours of the scientist")
    by_panel = shown.request(audit=replace(TERMS, panel=panel))
    said = joined(fitchain(owner, "job", "approve", str(by_panel), typed="no\n")[2])
    assert f"you trust 1 of 5: {staked_verifiers.addresses[0]}" in said and "drawn from the panel" in said
    assert "and at most 40 records (mode open)" in said and "FIT of fees for verifiers" in said
    by_pool = shown.request(audit=TERMS)
    said = joined(fitchain(owner, "job", "approve", str(by_pool), typed="no\n")[2])
    assert f"you trust 1 of them: {staked_verifiers.addresses[0]}" in said
    fitchain(owner, "trust", "remove", staked_verifiers.addresses[0])


# The yes, and the no


def test_approval_shows_the_essence_and_stands_in_the_history(workshop: Workshop, fitchain: Fitchain) -> None:
    owner, id = workshop.owner, workshop.request()
    code, _, said = fitchain(account(owner), "job", "approve", str(id), typed="no\n")
    assert code == 3 and owner.home.journal.decision(id) is None and "approved" not in owner.kinds(id)
    for part in (
        "58 parameters; linear ×2, relu; takes x (4)",
        "12 steps of 8 records, 2.4 passes over 40 records; AdamW at 0.01; cross_entropy of finding",
        "12 FIT for you, 6 FIT of bond that you lock",
        "the trained weights: 58 numbers, 232 bytes, sealed to the scientist",
        "could carry 58 numbers of the model are moved by the records; 40 records of 5 numbers hold 200",
        "its window is 1h",
        "judged by nobody",
    ):
        assert part in joined(said), part
    assert fitchain(account(owner), "job", "approve", str(id), "--reason", "a known group", typed="yes\n")[0] == 0
    assert owner.told(id, "approved") == {"reason": "a known group", "concerns": []}


def test_answers_of_a_person_are_shown_with_their_dates(
    workshop: Workshop, fitchain: Fitchain, seen: Callable[..., str]
) -> None:
    id = workshop.request()
    examined(workshop, id, "it is large")
    assert fitchain(account(workshop.owner), "job", "approve", str(id), "--yes")[0] == 0
    assert fitchain(account(workshop.owner), "job", "reject", str(id), "--reason", "after all not")[0] == 0
    text = seen(workshop.owner, "job", "show", str(id))
    assert re.search(rf"^{DATE}  approved by a person, shown: it is large$", text, re.MULTILINE)
    assert re.search(rf"^{DATE}  rejected by a person: after all not$", text, re.MULTILINE)


def test_nobody_says_yes_to_what_it_cannot_see(
    workshop: Workshop, seen: Callable[..., str], fitchain: Fitchain, capsys: pytest.CaptureFixture[str]
) -> None:
    id = workshop.request()
    assert run(["job", "approve", str(id), "--yes", "--home", str(workshop.owner.home.settings.home)]) == 3
    assert "nothing was approved: what" in capsys.readouterr().err
    assert workshop.owner.home.journal.decision(id) is None
    examined(workshop, id)  # from then on nothing of it is sealed
    assert run(["job", "approve", str(id), "--yes", "--home", str(workshop.owner.home.settings.home)]) == 0


def test_offer_that_is_none_is_told_and_cannot_be_approved(workshop: Workshop, fitchain: Fitchain) -> None:
    owner = account(workshop.owner)
    others = Offer.honest(workshop)
    others.recipients = [workshop.scientist.home.keys.recipient]
    another = Offer.honest(workshop)
    another.files["recipe.json"] = replace(another.recipe, batch_size=4).encode()
    garbage = Offer.honest(workshop)
    garbage.files["graph.json"] = b"{}"
    garbage.with_recipe(graph=sha256(b"{}"))
    for offer, why in ((others, "sealed to other recipients"), (another, "the offered recipe is"), (garbage, "graph")):
        id = offer.send()
        code, told, _ = fitchain(owner, "job", "show", str(id))
        assert (code, told["model_graph"], told["recipe_terms"]) == (0, None, None)
        code, error, _ = fitchain(owner, "job", "approve", str(id), "--yes")
        assert code == 3 and why in error["error"]["message"] and "nothing was approved" in error["error"]["message"]


def test_nobody_is_asked_who_has_answered_during_the_examination(workshop: Workshop, table_path: Any) -> None:
    class Slow(Owner):
        def _examine(self, agreement: Agreement, unasked: bool) -> None:
            approve(self.home, agreement.id)
            self.home.journal.record(agreement.id, history.Checked(()), once="")

    manual = replace(workshop, dataset=offer_table(workshop.owner, table_path, policy=open_policy()))
    home, id = workshop.owner.home, manual.request()
    Slow(home, workshop.owner.say)._answer(home.agreements.read(id))
    assert workshop.owner.kinds(id) == ["approved", "checked"]
    reject(home, id)


# A scientist without a pod


def test_scientist_reads_why_it_was_declined_without_a_pod(
    workshop: Workshop, fitchain: Fitchain, seen: Callable[..., str]
) -> None:
    scientist, id = workshop.scientist, workshop.request()
    reject(workshop.owner.home, id, "we train on weekends only")
    sealed = joined(seen(scientist, "job", "show", str(id)))
    assert "unread why the owner declined, sealed to you: no passphrase was given" in sealed
    assert "--passphrase-file" in sealed and "weekends" not in sealed
    code, told, _ = fitchain(account(scientist), "job", "show", str(id))
    assert (code, told["declined"], told["unread"]) == (0, "we train on weekends only", None)
    assert (told["model_graph"]["parameters"], told["recipe_terms"]["epochs"]) == (58, 2.4)  # its own offer
    fitchain(account(scientist), "job", "show", str(id))
    assert scientist.kinds(id).count("refused") == 1
    assert "declined we train on weekends only" in joined(seen(scientist, "job", "show", str(id)))
    home = scientist.home
    (said,) = [event.block for event in home.agreements.events(id) if event.name == "Rejected"]
    (line,) = [line for line in home.journal.history(id) if isinstance(line.entry, history.Refused)]
    assert line.time == home.chain.block(said).timestamp  # when it was said, not when it was read


def test_watching_tells_why_it_was_declined(workshop: Workshop, fitchain: Fitchain) -> None:
    id = workshop.request()
    reject(workshop.owner.home, id, "not this week")
    code, told, said = fitchain(account(workshop.scientist), "job", "watch", str(id))
    assert (code, told["declined"]) == (3, "not this week")
    assert re.search(rf"^{DATE}  refused: not this week$", said, re.MULTILINE)


def test_a_stranger_and_a_wrong_passphrase_read_nothing(
    workshop: Workshop, fitchain: Fitchain, open_party: Callable[..., Party], tmp_path: Any, seen: Callable[..., str]
) -> None:
    id = workshop.request()
    reject(workshop.owner.home, id, "a private reason")
    told = fitchain(account(open_party("stranger")), "job", "show", str(id))[1]
    assert (told["declined"], told["unread"], told["model_graph"]) == (None, None, None) and "review" not in told
    wrong = tmp_path / "wrong"
    wrong.touch(mode=0o600)
    wrong.write_text("battery staple\n")
    text = joined(seen(workshop.scientist, "job", "show", str(id), "--passphrase-file", str(wrong)))
    assert "why the owner declined, sealed to you: " in text and "private" not in text


@pytest.mark.long
def test_scientist_reads_losses_without_a_pod_and_is_told_what_cannot_be_read(
    workshop: Workshop, fitchain: Fitchain, seen: Callable[..., str]
) -> None:
    scientist, home = workshop.scientist, workshop.scientist.home
    with owner_runs(workshop.owner):
        id = workshop.request()
        workshop.until_state(id, State.TRAINED)
    run_record, job = home.agreements.run_record(id), home.agreements.read(id)
    assert unread(home, job).notes == 3
    assert "3 notes of the owner's with losses, sealed to you" in joined(seen(scientist, "job", "show", str(id)))
    (lost,) = (scientist.store_folder / "blocks").rglob(str(run_record.anchors[1].note))
    kept = lost.read_bytes()
    lost.unlink()
    code, told, _ = fitchain(account(scientist), "job", "show", str(id))
    assert code == 0 and len(told["losses"]) == 2 and "1 note of the owner's with losses, not read: " in told["unread"]
    code, told, said = fitchain(account(scientist), "job", "watch", str(id))
    assert code == 0 and re.search(rf"^{DATE}  error: ", said, re.MULTILINE)
    lost.write_bytes(kept)
    code, told, said = fitchain(account(scientist), "job", "watch", str(id))
    assert code == 0 and [step for step, _ in told["losses"]] == [2, 6, 10] and told["loss"] is not None
    assert len(re.findall(rf"^{DATE}  \d checkpoints anchored in block \d+: .*loss", said, re.MULTILINE)) == 3
    assert not unread(home, job) and scientist.kinds(id).count("note") == 3
