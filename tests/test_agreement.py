"""An agreement's life through the bindings, on a real node: money, deadlines, permits, proofs, and
what a checker reads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from fitchain.pod.ports.agreement import (
    Agreements,
    AuditTerms,
    Related,
    State,
    agreement_id,
    commit_key,
    context,
    order_seed,
    read_history,
)
from fitchain.pod.ports.chain import Chain
from fitchain.pod.ports.chain.permit import Permit
from fitchain.pod.values.digest import ZERO, Root, sha256
from fitchain.pod.values.errors import AccessRefused, ChainUnusable, NotFound, Reverted
from fitchain.pod.values.ids import AgreementId
from tests.agreements import (
    BOND,
    GROUP,
    KEY,
    NONCE,
    NOTE,
    OFFER,
    PRICE,
    SEGMENT,
    STEPS,
    WEIGHTS,
    WINDOW,
    Parties,
    anchored,
    ending,
    finished,
    roots_of,
    transcript,
)
from tests.chain_fixtures import ETHER, MONEY, Account, Devnet

# Hashes equal to the contracts'


def test_id_context_and_seed_are_what_the_contracts_compute(parties: Parties, running_devnet: Devnet) -> None:
    salt = sha256(b"a salt")
    id = parties.by_scientist.request(salt, parties.terms, OFFER)
    addresses, chain = running_devnet.deployment.addresses, parties.owner.chain
    assert id == agreement_id(31337, addresses["Agreements"], parties.scientist.address, salt)
    parties.by_owner.accept(id, commit_key(NONCE))
    parties.by_owner.begin(id, NONCE)
    agreement, run = parties.by_owner.read(id), parties.by_owner.run_record(id)
    roots = parties.terms.dataset_root, parties.terms.model_root
    contracts = addresses["Agreements"], addresses["ProofOfTrain"]
    who = parties.owner.address, parties.scientist.address
    terms = STEPS, SEGMENT, GROUP
    assert run.ctx == context(31337, *contracts, id, *who, parties.terms.recipe, *roots, *terms)
    assert run.ctx == parties.by_owner.context(agreement)
    assert run.seed == order_seed(run.ctx, chain.block(agreement.seed_block).hash, NONCE)


# The life of an agreement


def test_request_is_read_back_with_all_its_terms(parties: Parties, reader: Chain) -> None:
    id = parties.request()
    calls = Agreements(reader)
    found = calls.read(id)
    assert (found.id, found.terms, found.state) == (id, parties.terms, State.REQUESTED)
    requested = reader.block(calls.events(id)[0].block).timestamp
    assert (found.acceptance_deadline, found.training_deadline, found.dispute_deadline) == (requested + WINDOW, 0, 0)
    assert calls.offer(id) == OFFER


def test_request_and_acceptance_lock_the_money_in_one_transaction_each(parties: Parties, reader: Chain) -> None:
    before = [reader.fit_balance(one.address) for one in (parties.scientist, parties.owner)]
    parties.accepted()
    after = [reader.fit_balance(one.address) for one in (parties.scientist, parties.owner)]
    assert [have - has for have, has in zip(before, after, strict=True)] == [PRICE, BOND]


def test_whole_life_from_request_to_withdrawal(parties: Parties, reader: Chain) -> None:
    id, made = finished(parties)
    trained = parties.by_scientist.read(id)
    assert (trained.state, trained.steps_done) == (State.TRAINED, STEPS)
    assert trained.training_deadline == reader.time_of(trained.seed_block) + WINDOW
    run = parties.by_scientist.run_record(id)
    assert (run.transcript_root, run.model_root) == (made.root, roots_of(8).model)
    assert (run.count, run.step, run.delivery, run.identity) == (9, STEPS, WEIGHTS, KEY)
    assert [(anchor.count, anchor.root, anchor.note) for anchor in run.anchors] == [
        (group.count, group.root, NOTE if group.index else None) for group in made.groups(GROUP)
    ]
    assert trained.dispute_deadline == reader.time_of(run.end_block or 0) + WINDOW
    owed = parties.by_owner.owed(parties.owner.address)
    parties.by_scientist.accept_result(id)
    assert parties.by_owner.read(id).state is State.SETTLED
    assert parties.by_owner.owed(parties.owner.address) - owed == PRICE + BOND
    before = reader.fit_balance(parties.owner.address)
    parties.by_owner.withdraw()
    assert reader.fit_balance(parties.owner.address) == before + owed + PRICE + BOND


def test_divergence_pays_pro_rata(parties: Parties) -> None:
    id = parties.begun()
    made = anchored(parties, id, 6)
    owed = parties.by_owner.owed(parties.owner.address)
    parties.by_owner.diverge(id, ending(made))
    run = parties.by_owner.run_record(id)
    assert (run.count, run.step, run.transcript_root) == (6, 20, made.root)
    assert parties.by_owner.read(id).state is State.DIVERGED
    parties.by_scientist.accept_result(id)
    settled = parties.by_owner.read(id)
    assert (settled.state, settled.diverged) == (State.SETTLED, True)
    assert parties.by_owner.owed(parties.owner.address) - owed == BOND + PRICE * 20 // STEPS


def test_divergence_with_no_group_anchored_forfeits_where_nobody_could_dispute_it(parties: Parties) -> None:
    """An owner that trained nothing would have its bond back otherwise."""
    id = parties.begun()
    made = anchored(parties, id, 3)
    owed = parties.by_scientist.owed(parties.scientist.address)
    parties.by_owner.diverge(id, ending(made))
    assert parties.by_owner.read(id).state is State.FORFEITED
    assert parties.by_owner.read(id).diverged
    assert parties.by_scientist.owed(parties.scientist.address) - owed == PRICE + BOND // 2


def test_divergence_right_after_the_first_anchor_is_a_result(parties: Parties) -> None:
    id = parties.begun()
    made = anchored(parties, id, 4)
    parties.by_owner.diverge(id, ending(made))
    assert parties.by_owner.read(id).state is State.DIVERGED
    parties.by_scientist.accept_result(id)
    assert parties.by_owner.read(id).diverged


def test_delivered_leaf_before_the_last_is_recorded_with_its_model(parties: Parties) -> None:
    id = parties.begun()
    made = anchored(parties, id, 9)
    parties.by_owner.finish(id, ending(made, delivered=5))
    run = parties.by_owner.run_record(id)
    assert (run.delivered, run.model_root, run.last_model_root) == (5, roots_of(5).model, roots_of(8).model)


def test_complaint_is_made_once_and_only_about_a_result(parties: Parties) -> None:
    id = parties.begun()
    with pytest.raises(Reverted, match="StateForbids"):
        parties.by_scientist.complain(id)
    parties.by_owner.finish(id, ending(anchored(parties, id, 9)))
    with pytest.raises(Reverted, match="CallerIsNotScientist"):
        parties.by_owner.complain(id)
    parties.by_scientist.complain(id)
    assert parties.by_owner.read(id).complained
    with pytest.raises(Reverted, match="ComplainedAlready"):
        parties.by_scientist.complain(id)
    parties.by_scientist.accept_result(id)  # it may have found the delivery after all


def test_rejection_and_cancellation_give_the_price_back(parties: Parties, pass_time: Callable[[int], None]) -> None:
    owed = parties.by_scientist.owed(parties.scientist.address)
    rejected, taken_back = parties.request(), parties.request()
    parties.by_owner.reject(rejected)
    with pytest.raises(Reverted, match="DeadlineNotPassed"):
        parties.by_scientist.cancel(taken_back)
    pass_time(WINDOW + 1)
    parties.by_scientist.cancel(taken_back)
    assert [parties.by_owner.read(id).state for id in (rejected, taken_back)] == [State.CANCELLED] * 2
    assert parties.by_scientist.owed(parties.scientist.address) - owed == 2 * PRICE


def test_missed_deadline_forfeits_the_bond(
    parties: Parties, pass_time: Callable[[int], None], open_account: Callable[..., Account]
) -> None:
    id = parties.begun()
    owed = parties.by_scientist.owed(parties.scientist.address)
    pass_time(WINDOW + 1)
    with pytest.raises(Reverted, match="DeadlinePassed"):
        parties.by_owner.finish(id, ending(transcript(ZERO, ZERO, 9)))
    Agreements(open_account().chain).expire(id)
    assert parties.by_owner.read(id).state is State.FORFEITED
    assert parties.by_scientist.owed(parties.scientist.address) - owed == PRICE + BOND // 2


def test_silence_settles(
    parties: Parties, pass_time: Callable[[int], None], open_account: Callable[..., Account]
) -> None:
    id, _ = finished(parties)
    pass_time(WINDOW + 1)
    Agreements(open_account().chain).settle(id)
    assert parties.by_owner.read(id).state is State.SETTLED


def test_fixed_seed_serves_a_later_beginning(parties: Parties, open_account: Callable[..., Account]) -> None:
    id = parties.accepted()
    Agreements(open_account().chain).fix(id)
    parties.by_owner.begin(id, NONCE)
    seed_block = parties.owner.chain.block(parties.by_owner.read(id).seed_block)
    run = parties.by_owner.run_record(id)
    assert run.seed == order_seed(run.ctx, seed_block.hash, NONCE)


# Refusals


def test_permit_used_up_by_somebody_else_still_serves(parties: Parties, open_account: Callable[..., Account]) -> None:
    permit = parties.by_scientist.permit(PRICE)
    spender = parties.owner.chain.deployment.addresses["Agreements"]
    words = (permit.value, permit.deadline, permit.v, permit.r, permit.s)
    open_account().chain.send("FitCoin", "permit", parties.scientist.address, spender, *words)
    id = parties.by_scientist.request(sha256(b"front-run"), parties.terms, OFFER, permit)
    assert parties.by_scientist.read(id).state is State.REQUESTED


def test_worthless_permit_is_told_by_the_missing_allowance(parties: Parties) -> None:
    with pytest.raises(Reverted, match="ERC20InsufficientAllowance") as error:
        parties.by_scientist.request(sha256(b"no permit"), parties.terms, OFFER, Permit())
    assert error.value.values["needed"] == PRICE


def test_permit_needs_a_key(reader: Chain) -> None:
    with pytest.raises(AccessRefused, match="permit"):
        Agreements(reader).permit(1)


def test_permit_of_nothing_is_none(reader: Chain) -> None:
    assert Agreements(reader).permit(0) == Permit()


def test_too_little_fit_is_told_before_anything_is_sent(parties: Parties) -> None:
    with pytest.raises(ChainUnusable, match=r"FIT and the request needs 2000 FIT") as error:
        parties.request(price=2 * MONEY)
    assert error.value.hint == f"fitchain devnet fund {parties.scientist.address}"


def test_audited_job_is_not_asked_for_while_nobody_could_audit_it(parties: Parties) -> None:
    audit = AuditTerms(3, 3, window=WINDOW, wait=WINDOW, fee_per_seat=ETHER, seat_stake=20 * ETHER)
    with pytest.raises(Reverted, match=r"TooFewEligible\(eligible=0, needed=5\)"):
        parties.request(audit=audit)


def test_terms_that_the_registry_does_not_know_are_refused(parties: Parties) -> None:
    other = Root(sha256(b"other records"))
    with pytest.raises(Reverted, match="DatasetRootDiffers"):
        parties.request(dataset_root=other)
    with pytest.raises(Reverted, match="ModelRootDiffers"):
        parties.request(model_root=other)
    with pytest.raises(Reverted, match="ChargeRefused"):
        parties.request(charge=1)


def test_stranger_cannot_accept(parties: Parties, open_account: Callable[..., Account]) -> None:
    id = parties.request()
    with pytest.raises(Reverted, match="CallerIsNotOwner") as error:
        Agreements(open_account().chain).accept(id, commit_key(NONCE))
    assert error.value.values["owner"] == parties.owner.address


def test_another_nonce_is_refused(parties: Parties) -> None:
    id = parties.accepted()
    with pytest.raises(Reverted, match="TermsDiffer"):
        parties.by_owner.begin(id, sha256(b"another"))


def test_ending_that_does_not_open_the_last_leaf_is_refused(parties: Parties) -> None:
    id = parties.begun()
    made = anchored(parties, id, 9)
    honest = ending(made)
    forged = replace(honest, last=replace(honest.last, model=Root(sha256(b"another model"))))
    with pytest.raises(Reverted, match="LastLeafDiffers"):
        parties.by_owner.finish(id, forged)


def test_unknown_agreement_is_not_found(reader: Chain) -> None:
    for read in (
        Agreements(reader).read,
        Agreements(reader).run_record,
        Agreements(reader).offer,
        Agreements(reader).terms,
    ):
        with pytest.raises(NotFound, match="has no job"):
            read(AgreementId(sha256(b"none")))


# What is read


def test_list_is_by_party_and_in_order(parties: Parties, reader: Chain) -> None:
    ids = [parties.request(), parties.request()]
    calls = Agreements(reader)
    assert calls.list(owner=parties.owner.address)[-2:] == ids
    assert calls.list(scientist=parties.scientist.address)[-2:] == ids
    assert calls.list(scientist=parties.owner.address) == []


def test_events_tell_a_life_in_order(parties: Parties, reader: Chain) -> None:
    id, _ = finished(parties)
    parties.by_scientist.accept_result(id)
    names = [event.name for event in Agreements(reader).events(id)]
    assert names == ["Requested", "Accepted", "Begun", "Anchored", "Anchored", "Finished", "Settled"]
    every = Agreements(reader).events()
    assert [(event.block, event.log_index) for event in every] == sorted((e.block, e.log_index) for e in every)


def test_history_has_what_a_checker_needs(parties: Parties, reader: Chain) -> None:
    id, made = finished(parties)
    forsaken = parties.request()
    parties.by_owner.reject(forsaken)
    parties.by_scientist.accept_result(id)
    history = read_history(reader, id)
    assert (history.dataset.root, history.dataset.count) == (parties.terms.dataset_root, 455)
    assert history.model.root == parties.terms.model_root
    assert (history.paid_to_owner, history.paid_to_scientist, history.burned) == (PRICE + BOND, 0, 0)
    assert history.run.transcript_root == made.root
    for anchor in history.run.anchors:
        assert history.blocks[anchor.block] == reader.block(anchor.block)
    assert Related(forsaken, State.CANCELLED, True, True, True) in history.related
    assert id not in [other.id for other in history.related]
