"""What a stranger's requests can cost an owner: no transaction, no bond, and no honest request."""

from __future__ import annotations

import errno
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fitchain.pod.jobs import exchange, history
from fitchain.pod.jobs.home import Home
from fitchain.pod.jobs.journal import APPROVE, Decision
from fitchain.pod.parties.owner import Owner, reject
from fitchain.pod.parties.owner import examine as examine_module
from fitchain.pod.parties.owner import pod as owner_pod
from fitchain.pod.parties.owner.examine import check_chain
from fitchain.pod.parties.owner.pod import MOST_REFUSALS_A_DAY, MOST_WAITING
from fitchain.pod.ports.agreement import Agreement, State
from fitchain.pod.ports.store import Store
from fitchain.pod.ports.store.base import DAG_PB, Cid
from fitchain.pod.values.digest import Digest, sha256
from fitchain.pod.values.errors import InputRefused, StoreUnusable, TooSlow, Unusable
from fitchain.pod.values.ids import AgreementId
from fitchain.pod.values.limits import FolderLimits
from tests.dishonest_parties import Offer
from tests.pods import PRICE, Party, Workshop, offer_table, owner_runs
from tests.policies import open_policy


@pytest.fixture(scope="module")
def free(workshop: Workshop, table_path: Any) -> Workshop:
    """A dataset on which anybody may ask for nothing."""
    policy = open_policy(manual_approval=False, minimum_price=0)
    return replace(workshop, dataset=offer_table(workshop.owner, table_path, policy=policy))


def sent(party: Party) -> int:
    """Transactions of an account."""
    return int(party.home.chain.node.request("eth_getTransactionCount", party.address, "latest"), 16)


def junk(offer: Offer, count: int) -> list[AgreementId]:
    """Requests that offer nothing, for what is nowhere."""
    terms = replace(offer.terms, price=0, bond=0)
    nowhere = [Cid.of(DAG_PB, bytes(sha256(f"nowhere {number}".encode()))) for number in range(count)]
    return [offer.home.agreements.request(Digest(os.urandom(32)), terms, cid) for cid in nowhere]


@pytest.mark.parametrize("count", [40, pytest.param(1_000, marks=pytest.mark.nightly)])
def test_honest_request_behind_free_ones_is_looked_at_first_and_junk_costs_nothing(
    free: Workshop, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    offer = Offer.honest(free)
    bad = []
    for name, data in (("recipe.json", b"{}"), ("graph.json", b"[]"), ("initial.safetensors", b"")):
        false = replace(offer, files=offer.files | {name: data}, terms=replace(offer.terms, price=0, bond=0))
        bad.append(false.send())
    ignored = [*bad, *junk(offer, count)]
    honest = free.request()
    fetched = list[AgreementId]()
    fetch = examine_module.fetch_offer

    def fetch_noted(home: Home, agreement: Agreement, attempts: int) -> Any:
        fetched.append(agreement.id)
        return fetch(home, agreement, attempts)

    monkeypatch.setattr(examine_module, "fetch_offer", fetch_noted)
    before = sent(free.owner)
    with owner_runs(free.owner):
        free.until_state(honest, State.TRAINED)
        free.until(lambda: all(free.owner.home.journal.happened(id, history.Ignored) for id in bad))
    assert honest in fetched[:2]  # beside the first of the others, in a lane of its own
    own = [line.entry for line in free.owner.home.journal.history(honest)]
    assert sent(free.owner) - before == sum(isinstance(entry, history.Sent) for entry in own)
    assert {free.scientist.state(id) for id in ignored} == {State.REQUESTED}


@pytest.mark.long
def test_offer_that_drips_is_put_off_behind_others_and_given_more_time(
    free: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow, given = free.request(price=2 * PRICE), list[float | None]()
    prompt = free.request()
    fetch = exchange.fetch_folder

    def drip(store: Store, cid: Cid, folder: Path, names: Any, identity: str, limits: FolderLimits) -> None:
        if slow.value.hex() in str(folder):
            given.append(limits.seconds)
            raise TooSlow("the object came too slowly")
        fetch(store, cid, folder, names, identity, limits)

    monkeypatch.setattr(examine_module, "fetch_folder", drip)
    with owner_runs(free.owner, retry_s=0.1):
        free.until(free.owner.has(prompt, "accepted"))
        free.until_state(slow, State.CANCELLED)
    assert given == [30, 60, 120, 240, 480, 600]
    history_of_slow = [line.entry for line in free.owner.home.journal.history(slow)]
    refused = next(entry for entry in history_of_slow if isinstance(entry, history.Refused))
    assert "came too slowly" in refused.reason


def test_requests_are_answered_by_what_a_person_said_then_by_who_asks_for_least_and_offers_most(
    free: Workshop,
) -> None:
    owner = Owner(free.owner.home, free.owner.say)
    template = free.owner.home.agreements.read(free.request())

    def request(number: int, account: str, price: int) -> Agreement:
        terms = replace(template.terms, price=price)
        return replace(template, id=AgreementId(sha256(bytes([number]))), scientist=account, terms=terms)

    flood = [request(number, "0xflood", PRICE) for number in range(10)]
    cheap, dear, nothing = request(20, "0xcheap", 1), request(21, "0xdear", 2), request(22, "0xnothing", 0)
    works = list(owner._requests([*flood, nothing, cheap, dear], now=0))
    lanes = {lane: sorted((w for name, w in works if name == lane), key=lambda w: w.order) for lane, _ in works}
    assert [work.subject for work in lanes["answer"]][:2] == [dear.id, cheap.id]
    assert len(lanes["answer"]) == 2 + MOST_WAITING
    assert [work.subject for work in lanes["answer free"]] == [nothing.id]

    def slow() -> None:
        raise TooSlow("the object came too slowly")

    owner._retry.attempt(dear.id, slow)
    again = sorted((work for _, work in owner._requests([dear, cheap], now=0)), key=lambda work: work.order)
    assert [work.subject for work in again] == [cheap.id, dear.id]  # what was tried in vain is put behind others
    free.owner.home.journal.decide(flood[-1].id, Decision(APPROVE, concerns=()))
    for each in flood[:5]:
        free.owner.home.journal.record(each.id, history.Checked(()), once="")
    planned = [work for _, work in owner._requests(flood, now=0)]
    assert {work.subject for work in planned} == {each.id for each in (*flood[:5], *flood[5:9], flood[-1])}
    assert min(planned, key=lambda work: work.order).subject == flood[-1].id  # a person said yes to it


def test_rehearsal_that_would_not_end_is_refused_before_anything_is_fetched(free: Workshop) -> None:
    request = free.owner.home.agreements.read(free.request())
    endless = replace(request.terms, steps=2**32 - 1, segment_steps=2**31)
    with pytest.raises(InputRefused, match="a rehearsal of 4294967295 steps of that work may take"):
        check_chain(free.owner.home, replace(request, terms=endless), free.dataset.card.policy)


@pytest.mark.parametrize(
    "fault",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        pytest.param(Unusable("the worker cannot go on: No space left on device"), marks=pytest.mark.long),
        pytest.param(StoreUnusable("the store's disk is full"), marks=pytest.mark.nightly),
        pytest.param(MemoryError(), marks=pytest.mark.nightly),
    ],
)
def test_what_the_owners_host_lacks_declines_nothing(
    free: Workshop, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    id, failing, check_offer = free.request(), [fault], examine_module.check_offer

    def fail_once(home: Home, agreement: Agreement, *arguments: Any) -> Any:
        if agreement.id == id and failing:
            raise failing.pop()
        return check_offer(home, agreement, *arguments)

    monkeypatch.setattr(owner_pod, "check_offer", fail_once)
    with owner_runs(free.owner, retry_s=0.1):
        free.until(free.owner.has(id, "accepted"))
    assert "refused" not in free.owner.kinds(id) and free.owner.kinds(id).count("error") == 1


def test_rejecting_a_request_ends_what_runs_for_it(free: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    offer = Offer.honest(free)
    long = 200_000
    offer.terms = replace(offer.terms, steps=long, segment_steps=long)
    id = offer.with_recipe(steps=long, segment_steps=long, learning_rates=((long, 0.01),)).send()
    ended = list[float]()
    rehearse_offer = examine_module.rehearse_offer

    def noted(home: Home, agreement: Agreement, *arguments: Any) -> Any:
        try:
            return rehearse_offer(home, agreement, *arguments)
        finally:
            ended.extend([time.monotonic()] if agreement.id == id else [])

    monkeypatch.setattr(owner_pod, "rehearse_offer", noted)
    with owner_runs(free.owner):
        free.until(lambda: rehearsing(free))
        assert not ended
        reject(free.owner.home, id, "no")
        free.until(lambda: bool(ended))
    assert free.scientist.state(id) == State.CANCELLED and "accepted" not in free.owner.kinds(id)


def rehearsing(workshop: Workshop) -> bool:
    """Whether a worker runs below the owner's home."""
    home = str(workshop.owner.home.settings.home)
    return any(_argument_below(process, home) for process in Path("/proc").glob("[0-9]*"))


def _argument_below(process: Path, home: str) -> bool:
    try:
        words = (process / "cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:  # it has ended
        return False
    return "fitchain.pod.jobs.worker" in words and any(word.startswith(home) for word in words)


def test_an_account_is_told_of_so_many_refusals_a_day(free: Workshop) -> None:
    owner = Owner(free.owner.home, free.owner.say)
    template = free.owner.home.agreements.read(free.request())
    requests = [replace(template, id=AgreementId(sha256(b"%d" % number))) for number in range(MOST_REFUSALS_A_DAY + 1)]
    assert [owner._may_be_told(each) for each in requests] == [True] * MOST_REFUSALS_A_DAY + [False]
    another = replace(template, id=AgreementId(sha256(b"another")), scientist="0xanother")
    assert owner._may_be_told(another)
    nothing = replace(another, terms=replace(another.terms, price=0))
    assert not owner._may_be_told(nothing)
