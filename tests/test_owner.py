"""Whole jobs, from request to payment: two pods on a real chain, real workers, silence, divergence,
refusals and missed deadlines."""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from fitchain.pod.compute.checkpoint import read_leaves
from fitchain.pod.jobs import history
from fitchain.pod.jobs.waiting import awaits_approval
from fitchain.pod.jobs.worker.task import Limits, read_task
from fitchain.pod.parties.owner import Owner, Replay, approve, read_registered, reject, replay_job
from fitchain.pod.parties.owner.disclosed import keep_disclosed
from fitchain.pod.parties.owner.pod import KEEP_S, UNTOLD
from fitchain.pod.parties.owner.run import TrainingSession, begin, order_nonce, set_aside
from fitchain.pod.parties.scientist import (
    Evaluation,
    accept_result,
    delivery,
    evaluate,
    fetch_model,
    follow,
    publish_model,
)
from fitchain.pod.ports.agreement import State, commit_key
from fitchain.pod.ports.chain import Chain, devnet
from fitchain.pod.ports.chain.abi import interface
from fitchain.pod.ports.chain.base import FINAL_BLOCKS
from fitchain.pod.proof.certificate import Verdict, verify
from fitchain.pod.proof.transcript import Transcript
from fitchain.pod.values.digest import sha256, tree_root
from fitchain.pod.values.errors import AccessRefused, DatasetChanged, Reverted, Unusable
from fitchain.pod.values.ids import AgreementId, AuditRef
from fitchain.pod.values.job_folder import JobFolder
from tests.chain_fixtures import Devnet
from tests.pods import (
    BOND,
    EXPLODING,
    HOUR_S,
    PRICE,
    RECIPE,
    Party,
    Workshop,
    module_file,
    offer_table,
    owner_runs,
    private_images,
    private_table,
    running,
    scientist_runs,
)
from tests.policies import open_policy

PassTime = Callable[[int], None]


@dataclass(frozen=True)
class Done:
    """A job that went through, and what was seen on the way."""

    id: AgreementId
    workshop: Workshop
    before: tuple[int, int]
    replayed: Replay
    evaluated: Evaluation
    verdict: Verdict

    @property
    def owner_folder(self) -> Path:
        return self.workshop.owner.home.job_folder(self.id).path

    @property
    def scientist_folder(self) -> Path:
        return self.workshop.scientist.home.job_folder(self.id).path


@pytest.fixture(scope="module")
def asked(workshop: Workshop, table_path: Path) -> Workshop:
    """A dataset whose owner is asked about every job, with mock data to rehearse on."""
    policy = open_policy(minimum_price=PRICE, minimum_batch=4, maximum_steps=100, most_memory_bytes=3 << 30)
    dataset = offer_table(workshop.owner, table_path, policy=policy, mock_records=16)
    return replace(workshop, dataset=dataset)


@pytest.fixture(scope="module")
def done(asked: Workshop, tmp_path_factory: pytest.TempPathFactory) -> Done:
    """The main job, both pods running."""
    owner, scientist = asked.owner, asked.scientist
    before = owner.fit(), scientist.fit()
    with owner_runs(owner), scientist_runs(scientist):
        id = asked.request(rehearsed=True)
        asked.until(owner.has(id, "approval_needed"))
        approve(owner.home, id)
        asked.until(owner.has(id, "let_go"))
        asked.until(scientist.has(id, "settled"))
    owner.home.agreements.withdraw()
    replayed = replay_job(owner.home, id, 4)
    test_table = private_table(tmp_path_factory.mktemp("test") / "mine.csv", rows=10, seed=5)
    evaluated = evaluate(scientist.home, id, test_table)
    found = delivery(scientist.home, id)
    verdict = verify(found.model, found.certificate.read_bytes(), scientist.home.chain)
    return Done(id, asked, before, replayed, evaluated, verdict)


# The main job


def test_owner_pod_takes_a_job_through_its_states_in_order(done: Done) -> None:
    kinds = [kind for kind in done.workshop.owner.kinds(done.id) if kind not in ("checkpoint", "anchored")]
    assert kinds == [
        *(
            "checking",
            "checked",
            "approval_needed",
            "approved",
            "accepted",
            "begun",
            "training",
            "delivered",
            "finished",
        ),
        *("removed", "settled", "removed", "wiped", "let_go", "replayed"),
    ]


def test_worker_may_take_what_the_policy_says(done: Done) -> None:
    limits = read_task(done.owner_folder).limits
    assert Limits.around(3 << 30).memory_bytes < limits.memory_bytes < Limits.around(4 << 30).memory_bytes
    started = done.workshop.owner.told(done.id, "training")["sandbox"]["enforced"]
    assert f"memory: {limits.memory_bytes >> 20} MiB" in started


def test_scientist_pod_reads_notes_receives_and_accepts(done: Done) -> None:
    kinds = [kind for kind in done.workshop.scientist.kinds(done.id) if kind not in ("accepted", "training", "trained")]
    assert [kind for kind in kinds if kind != "note"] == [
        "requested",
        "received",
        "result_accepted",
        "settled",
        "let_go",
    ]
    assert kinds.count("note") == 3


def test_money_ends_where_it_belongs(done: Done) -> None:
    owner, scientist = done.workshop.owner, done.workshop.scientist
    assert (owner.fit() - done.before[0], scientist.fit() - done.before[1]) == (PRICE, -PRICE)
    assert owner.home.agreements.owed(owner.address) == scientist.home.agreements.owed(scientist.address) == 0


def test_whole_job_takes_eight_transactions_and_little_gas(done: Done) -> None:
    home = done.workshop.owner.home
    transactions = {event.transaction for event in home.agreements.events(done.id)}
    receipts = [home.chain.receipt(transaction) for transaction in transactions]
    assert len(transactions) == 8
    assert sum(receipt.gas_used for receipt in receipts if receipt) < 800_000


def test_transcript_on_chain_is_that_of_the_leaves_on_disk(done: Done) -> None:
    run = done.workshop.owner.home.agreements.run_record(done.id)
    checkpoints = read_leaves(done.owner_folder)
    transcript = Transcript(run.ctx, run.seed, tuple(checkpoint.leaf for checkpoint in checkpoints))
    transcript.verify(steps=12, segment_steps=2)
    assert (run.count, run.transcript_root, run.model_root) == (7, transcript.root, checkpoints[-1].model)
    assert [anchor.root for anchor in run.anchors] == [group.root for group in transcript.groups(2)]


def test_notes_tell_rounded_metrics_and_no_more(done: Done) -> None:
    lines = done.workshop.scientist.home.journal.history(done.id)
    notes = [line.entry for line in lines if isinstance(line.entry, history.NoteRead)]
    assert [note.count for note in notes] == [2, 4, 6]
    for note in notes:
        assert set(note.metrics or {}) == {"loss", "accuracy"}
        assert all(value == float(f"{value:.3g}") for value in (note.metrics or {}).values())


def test_certificate_of_the_delivery_holds(done: Done) -> None:
    assert done.verdict.state == State.SETTLED
    assert done.verdict.complete
    assert done.verdict.statement.agreement == done.id


def test_delivered_model_runs_on_a_table_of_ones_own(done: Done) -> None:
    assert done.evaluated.records == 10
    assert 0 <= done.evaluated.metrics["accuracy"] <= 1
    assert done.evaluated.metrics["loss"] > 0


def test_replayed_segments_come_out_equal(done: Done) -> None:
    assert done.replayed.equal
    assert (len(done.replayed.verdicts), done.replayed.segments) == (4, 6)


def test_ended_job_leaves_no_records_and_no_identity_behind(done: Done) -> None:
    names = {path.name for path in done.owner_folder.iterdir()}
    assert {"run", "model.safetensors", "certificate.json"} <= names
    assert {"leaves.jsonl", "states"} <= {path.name for path in (done.owner_folder / "run").iterdir()}
    assert not names & {"records.npz", "identity.age"}
    assert not [name for name in names if name.endswith(".part") or name.startswith((".sealed", ".opened", ".rehears"))]


def test_sealed_objects_of_an_accepted_job_are_kept_no_longer(done: Done) -> None:
    """The owner's as soon as the scientist has said that it has them, the scientist's offer when
    the job has ended."""
    for party in (done.workshop.owner, done.workshop.scientist):
        assert not set(party.home.agreements.objects(done.id)) & set(party.home.store.list_pins())


def test_result_is_accepted_once(done: Done) -> None:
    with pytest.raises(Unusable, match="settled"):
        accept_result(done.workshop.scientist.home, done.id)


def test_answered_request_cannot_be_answered_again(done: Done) -> None:
    with pytest.raises(Unusable, match="no longer a request"):
        approve(done.workshop.owner.home, done.id)


# Two jobs at once, and silence


@pytest.fixture(scope="module")
def pair(
    workshop: Workshop, tmp_path_factory: pytest.TempPathFactory, pass_time: PassTime
) -> tuple[AgreementId, AgreementId]:
    """Two jobs on two datasets asked for at once; the scientist never says a word."""
    owner, scientist = workshop.owner, workshop.scientist
    images = private_images(tmp_path_factory.mktemp("images") / "images.npz")
    policy = open_policy(manual_approval=False, metrics_leave=False)
    pixels = offer_table(owner, images, name="images", target="kind", drop=(), policy=policy)
    convolution = publish_model(scientist.home, module_file(scientist.home.settings.home), pixels.id, name="Pixels")
    first = workshop.request()
    second = workshop.request(dataset=pixels.id, model=convolution.id, recipe_overrides=RECIPE | {"optimizer": "SGD"})
    with owner_runs(owner, keep_states=False, keep_every=3):
        workshop.until_state(first, State.TRAINED)
        workshop.until_state(second, State.TRAINED)
        pass_time(HOUR_S + 1)
        workshop.until(owner.has(first, "wiped"))
        workshop.until(owner.has(second, "wiped"))
        sealed = {cid for id in (first, second) for cid in owner.home.agreements.objects(id)}
        assert len(sealed & set(owner.home.store.list_pins())) == 2 * 5  # three notes, weights, key
        pass_time(KEEP_S)
        workshop.until(owner.has(first, "let_go"))
        workshop.until(owner.has(second, "let_go"))
        assert not sealed & set(owner.home.store.list_pins())
    return first, second


def test_silence_pays_the_owner(workshop: Workshop, pair: tuple[AgreementId, AgreementId]) -> None:
    owner = workshop.owner
    assert [workshop.scientist.state(id) for id in pair] == [State.SETTLED] * 2
    owed, before = owner.home.agreements.owed(owner.address), owner.fit()
    assert owed >= 2 * (PRICE + BOND)
    owner.home.agreements.withdraw()
    assert owner.fit() == before + owed


def test_each_of_two_jobs_has_its_own_model(workshop: Workshop, pair: tuple[AgreementId, AgreementId]) -> None:
    runs = [workshop.owner.home.agreements.run_record(id) for id in pair]
    assert len({run.ctx for run in runs}) == len({run.model_root for run in runs}) == 2


def test_result_is_received_after_silence_settled_it(workshop: Workshop, pair: tuple[AgreementId, AgreementId]) -> None:
    with scientist_runs(workshop.scientist):
        for id in pair:
            workshop.until(workshop.scientist.has(id, "settled"))
    for id in pair:
        assert delivery(workshop.scientist.home, id).model.exists()


def test_metrics_stay_where_the_policy_keeps_them(workshop: Workshop, pair: tuple[AgreementId, AgreementId]) -> None:
    with scientist_runs(workshop.scientist):
        workshop.until(workshop.scientist.has(pair[1], "note"))
    assert workshop.scientist.told(pair[1], "note")["metrics"] is None


def test_states_are_wiped_where_they_are_not_kept(workshop: Workshop, pair: tuple[AgreementId, AgreementId]) -> None:
    assert not workshop.owner.home.job_folder(pair[0]).states.exists()
    assert workshop.owner.told(pair[0], "wiped") == {"states": True}
    assert "states" in workshop.owner.told(pair[0], "removed")["what"]


# Divergence, with a scientist who changes its recipient


@pytest.fixture(scope="module")
def diverged(asked: Workshop, workshop: Workshop) -> AgreementId:
    """A job whose rate explodes, and whose scientist makes its registered recipient unusable. An
    anchor covers one leaf, so that its last leaf is the last of a group."""
    owner, scientist = asked.owner, asked.scientist
    dataset = workshop.dataset
    line = publish_model(scientist.home, module_file(scientist.home.settings.home), dataset.id, name="Line")
    with owner_runs(owner), scientist_runs(scientist, auto_accept=False):
        recipe = EXPLODING | {"group_leaves": 1}
        id = asked.request(dataset=dataset.id, model=line.id, recipe_overrides=recipe, bond=2 * PRICE)
        approve(owner.home, id, shown=())  # a yes to a request of which nothing was known yet
        asked.until(owner.has(id, "approval_needed"))
        assert awaits_approval(owner.home, owner.home.agreements.read(id))
        scientist.home.registry.update_pod("age1nobody")
        approve(owner.home, id)
        asked.until(scientist.has(id, "received"))
    scientist.home.registry.update_pod(scientist.home.keys.recipient)
    return id


@pytest.mark.long
def test_bond_beyond_the_price_asks_a_person_even_where_the_policy_does_not(
    asked: Workshop, diverged: AgreementId
) -> None:
    assert asked.owner.told(diverged, "approval_needed")["why"] == ["the bond is higher than the price"]


def test_divergence_ends_at_the_last_finite_leaf(asked: Workshop, diverged: AgreementId) -> None:
    agreement = asked.owner.home.agreements.read(diverged)
    assert agreement.state == State.DIVERGED
    assert agreement.steps_done < 12
    assert agreement.steps_done == 2 * (asked.owner.home.agreements.run_record(diverged).count - 1)
    reason = asked.owner.told(diverged, "diverged")["reason"]
    told = asked.scientist.told(diverged, "ended_early")  # by the certificate
    assert reason and told["reason"] == reason and agreement.steps_done <= told["step"] <= agreement.steps_done + 2


def test_divergence_after_a_whole_group_ends_in_an_anchored_unsalted_leaf(
    asked: Workshop, diverged: AgreementId
) -> None:
    run = asked.owner.home.agreements.run_record(diverged)
    *before, last = read_leaves(asked.owner.home.job_folder(diverged).path)
    assert len(run.anchors) == run.count == len(before) + 1
    assert last.opened.model == run.model_root
    assert run.anchors[-1].root == tree_root([last.leaf.digest(run.ctx, run.seed)])
    assert all(checkpoint.state_salt for checkpoint in before[1:])


def test_scientist_opens_a_diverged_delivery_whose_certificate_holds(asked: Workshop, diverged: AgreementId) -> None:
    found = fetch_model(asked.scientist.home, diverged)
    verdict = verify(found.model, found.certificate.read_bytes(), asked.scientist.home.chain)
    assert not verdict.complete
    assert verdict.statement.steps == asked.owner.home.agreements.read(diverged).steps_done


def test_divergence_is_paid_pro_rata(asked: Workshop, diverged: AgreementId) -> None:
    owner, scientist = asked.owner, asked.scientist
    due = PRICE * owner.home.agreements.read(diverged).steps_done // 12
    reduced = owner.home.agreements.events(diverged)
    assert [event.args["toScientist"] for event in reduced if event.name == "PriceReduced"] == [PRICE - due]
    before = owner.home.agreements.owed(owner.address)
    accept_result(scientist.home, diverged)
    assert owner.home.agreements.owed(owner.address) - before == due + 2 * PRICE
    assert scientist.state(diverged) == State.SETTLED


# Refusals and missed deadlines


def test_person_rejects_and_the_money_goes_back(asked: Workshop) -> None:
    owner, scientist = asked.owner, asked.scientist
    owed = scientist.home.agreements.owed(scientist.address)
    with owner_runs(owner):
        id = asked.request()
        asked.until(owner.has(id, "approval_needed"))
        reject(owner.home, id, "not this week")
        asked.until(owner.has(id, "cancelled"))
    assert scientist.state(id) == State.CANCELLED
    assert scientist.home.agreements.owed(scientist.address) == owed + PRICE
    assert owner.told(id, "rejected")["reason"] == "not this week"
    assert not [line for line in owner.said if line.startswith(id.short) and "revert" in line]


def test_scientist_cannot_answer_for_the_owner(asked: Workshop, pass_time: PassTime) -> None:
    id = asked.request()
    with pytest.raises(AccessRefused, match="another home"):
        approve(asked.scientist.home, id)
    with pytest.raises(Reverted, match="CallerIsNotOwner"):
        asked.scientist.home.agreements.reject(id)
    pass_time(HOUR_S + 1)


def test_request_that_nobody_accepts_is_taken_back_after_its_window(workshop: Workshop, pass_time: PassTime) -> None:
    owner, scientist = workshop.owner, workshop.scientist
    id, owed = workshop.request(), scientist.home.agreements.owed(scientist.address)
    with pytest.raises(Reverted, match="DeadlineNotPassed"):
        scientist.home.agreements.cancel(id)
    pass_time(HOUR_S + 1)
    with owner_runs(owner):
        workshop.until(owner.has(id, "late"))
        scientist.home.agreements.cancel(id)
        workshop.until(owner.has(id, "cancelled"))
    assert "checking" not in owner.kinds(id)
    assert scientist.home.agreements.owed(scientist.address) == owed + PRICE


def test_owner_that_misses_the_training_deadline_loses_half_to_the_scientist_and_half_to_the_fire(
    workshop: Workshop, pass_time: PassTime, reader: Chain
) -> None:
    owner, scientist = workshop.owner, workshop.scientist
    id = workshop.request()
    keep_disclosed(owner.home, AuditRef(id), 0)
    owner.home.agreements.accept(id, sha256(b"a nonce that is never revealed"))
    owed, supply = scientist.home.agreements.owed(scientist.address), reader.call("FitCoin", "totalSupply")
    pass_time(HOUR_S + 1)
    with owner_runs(owner):
        workshop.until(owner.has(id, "late"))
        scientist.home.agreements.expire(id)
        workshop.until(owner.has(id, "forfeited"))
    assert "training" not in owner.kinds(id)
    assert scientist.home.agreements.owed(scientist.address) == owed + PRICE + BOND // 2
    assert reader.call("FitCoin", "totalSupply") == supply - BOND // 2
    with pytest.raises(Reverted, match="StateForbids"):
        scientist.home.agreements.expire(id)


# What a reorganisation of the chain undoes, and what waits for nobody


def accept_unqueued(chain: Chain, scientist: str, id: AgreementId) -> None:
    """Accept a result as its scientist, past the queue of its home: what a reorganisation drops the
    queue would take for mined."""
    data = "0x" + interface("Agreements").function("acceptResult").encode((id,)).hex()
    chain.node.request("anvil_impersonateAccount", scientist)
    call = {"from": scientist, "to": chain.addresses["Agreements"], "data": data, "gas": hex(500_000)}
    chain.node.request("eth_sendTransaction", call)


@pytest.mark.long
def test_nothing_is_deleted_before_the_end_is_final_and_an_undone_end_is_reached_again(
    workshop: Workshop, reader: Chain
) -> None:
    owner, scientist = workshop.owner, workshop.scientist
    with owner_runs(owner, final_blocks=FINAL_BLOCKS):
        id = workshop.request()
        workshop.until_state(id, State.TRAINED)
        identity = owner.home.job_folder(id).path / "identity.age"
        trained = reader.node.request("evm_snapshot")
        accept_unqueued(reader, scientist.address, id)
        workshop.until(owner.has(id, "settled"))
        assert reader.node.request("evm_revert", trained)
        assert scientist.state(id) is State.TRAINED
        assert identity.exists() and not owner.home.journal.happened(id, history.Wiped)
        accept_unqueued(reader, scientist.address, id)
        workshop.until_state(id, State.SETTLED)
        reader.node.request("anvil_mine", hex(FINAL_BLOCKS))
        workshop.until(owner.has(id, "wiped"))
    assert not identity.exists()


def test_what_was_trained_under_another_seed_is_set_aside(done: Done, tmp_path: Path) -> None:
    run = done.workshop.owner.home.agreements.run_record(done.id)
    shutil.copytree(done.owner_folder, tmp_path, dirs_exist_ok=True)
    assert not set_aside(JobFolder(tmp_path), run)
    other = replace(run, seed=sha256(b"the seed of another block"))
    assert set_aside(JobFolder(tmp_path), other)
    assert not set_aside(JobFolder(tmp_path), other)
    aside = tmp_path / f"aside-{str(run.seed)[2:10]}"
    assert read_leaves(aside) == read_leaves(done.owner_folder) and not read_leaves(tmp_path)
    assert {path.name for path in aside.iterdir()} == {"run", "model.safetensors", "certificate.json"}
    assert (tmp_path / "recipe.json").exists()


@pytest.mark.long
def test_accepted_job_begins_while_another_request_is_fetched(asked: Workshop) -> None:
    """The other request's offer comes out of a pipe, at which its examination waits as long as
    nobody writes."""
    owner = asked.owner
    with owner_runs(owner):
        id = asked.request()
        asked.until(owner.has(id, "approval_needed"))
    slow = asked.request()
    name = str(owner.home.agreements.offer(slow))
    block = owner.store_folder / "blocks" / name[-2:] / name
    kept = block.rename(block.with_suffix(".kept"))
    os.mkfifo(block)
    with owner_runs(owner):
        try:
            asked.until(owner.has(slow, "checking"))
            keep_disclosed(owner.home, AuditRef(id), 0)
            owner.home.agreements.accept(id, commit_key(order_nonce(owner.home, id)))
            asked.until(owner.has(id, "begun"))
            assert not owner.home.journal.happened(slow, history.Checked)
        finally:
            with open(os.open(block, os.O_RDWR), "wb", buffering=0) as writer:
                content = kept.read_bytes()
                kept.replace(block)
                writer.write(content)
        asked.until(owner.has(slow, "approval_needed"))


@pytest.mark.long
def test_job_that_waited_for_its_turn_too_long_is_not_trained(asked: Workshop, pass_time: PassTime) -> None:
    owner = asked.owner
    with owner_runs(owner):
        id = asked.request()
        asked.until(owner.has(id, "approval_needed"))
    owner.home.agreements.accept(id, commit_key(order_nonce(owner.home, id)))
    begin(owner.home, id)
    pass_time(HOUR_S + 1)
    assert TrainingSession(owner.home, id, threading.Event())() == "too late"
    assert "training" not in owner.kinds(id)


# What stands in the way


def test_owner_without_the_bond_says_so_and_accepts_once_it_has_it(
    open_party: Callable[..., Party], workshop: Workshop, table_path: Path, running_devnet: Devnet
) -> None:
    poor = open_party("poor", units=BOND - 1)
    dataset = offer_table(poor, table_path)
    id = workshop.request(dataset=dataset.id)
    with running(Owner(poor.home, poor.say, look_s=0.05, retry_s=0.1)):
        workshop.until(poor.has(id, "error"))
        assert "the bond needs 6 FIT" in poor.told(id, "error")["message"]
        assert workshop.scientist.state(id) == State.REQUESTED
        devnet.fund(running_devnet.settings(poor.home.settings.home), poor.address, 0, 1)
        workshop.until(poor.has(id, "begun"))


def test_dataset_changed_before_acceptance_is_declined(asked: Workshop, tmp_path: Path) -> None:
    owner = asked.owner
    source = private_table(tmp_path / "findings.csv", rows=20)
    dataset = offer_table(owner, source, policy=open_policy())
    id = asked.request(dataset=dataset.id)
    with owner_runs(owner):
        asked.until(owner.has(id, "approval_needed"))
        lines = source.read_text().splitlines()
        lines[8] = lines[8].replace(",ill", ",well") if ",ill" in lines[8] else lines[8].replace(",well", ",ill")
        source.write_text("\n".join(lines) + "\n")
        approve(owner.home, id)
        asked.until(owner.has(id, "rejected"))
    assert "record 7 is the first that differs" in owner.told(id, "refused")["reason"]
    follow(asked.scientist.home, id, False, asked.scientist.say)
    assert asked.scientist.told(id, "refused")["reason"] == UNTOLD  # which records differ is nobody else's business


def test_source_that_no_longer_parses_counts_as_changed(workshop: Workshop, tmp_path: Path) -> None:
    source = private_table(tmp_path / "findings.csv", rows=20)
    dataset = offer_table(workshop.owner, source)
    source.write_text(source.read_text().replace(",ill", ",ill,1", 1))
    with pytest.raises(DatasetChanged, match="not the registered one"):
        read_registered(workshop.owner.home, workshop.owner.home.journal.dataset(dataset.id))


def test_registered_card_is_on_chain_and_holds_no_cell(asked: Workshop, table_path: Path) -> None:
    card = asked.owner.home.store.cat(asked.dataset.card_cid).decode()
    cells = {cell for line in table_path.read_text().splitlines()[1:] for cell in line.split(",")[:5]}
    assert json.loads(card)["root"] == str(asked.owner.home.registry.dataset(asked.dataset.id).root)
    assert not [cell for cell in cells if cell in card]


def test_second_pod_of_one_home_is_refused(workshop: Workshop) -> None:
    with workshop.owner.home.exclusive_lock(), pytest.raises(Unusable, match="another pod runs"):
        Owner(workshop.owner.home, workshop.owner.say).run(threading.Event())
