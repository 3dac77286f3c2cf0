"""Reorganisations of the chain: whatever a party has sent and the chain takes back, it does again,
once, and by what the chain says then; what belongs to a run that is gone is set aside."""

from __future__ import annotations

import shutil
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fitchain.pod.jobs import history
from fitchain.pod.jobs.finality import Finality
from fitchain.pod.jobs.home import Home
from fitchain.pod.jobs.journal import REJECT, Decision
from fitchain.pod.jobs.lanes import Work
from fitchain.pod.jobs.orphans import Orphans
from fitchain.pod.parties.owner import Owner, approve, reject
from fitchain.pod.parties.owner.anchors import Anchors, require_same_run
from fitchain.pod.parties.owner.disclosed import EVIDENCE_ASIDE, EVIDENCE_MADE, keep_disclosed, opened_before
from fitchain.pod.parties.owner.run import begin, order_nonce
from fitchain.pod.parties.scientist import Scientist, accept_result, dispute
from fitchain.pod.parties.scientist.audit import _judge_release
from fitchain.pod.parties.scientist.complaint import why_unopened
from fitchain.pod.parties.scientist.request import SENT_ON, cancel_job, give_up, send_again, withdraw_unsent
from fitchain.pod.parties.verifier.ballot import Ballot, keep_ballot, kept_ballot
from fitchain.pod.parties.verifier.pod import look_s
from fitchain.pod.ports.agreement import Agreements, Outcome, Phase, State, commit_key
from fitchain.pod.ports.chain import Chain
from fitchain.pod.ports.chain.abi import interface
from fitchain.pod.ports.chain.heads import Heads
from fitchain.pod.ports.chain.permit import Permit
from fitchain.pod.ports.chain.reader import STOP_S
from fitchain.pod.values.digest import ZERO, Root, sha256
from fitchain.pod.values.errors import NodeUnreachable, NotFound, NotOnChain, Reverted, Unusable
from fitchain.pod.values.ids import AgreementId, AuditRef, Subject
from fitchain.pod.values.job_folder import MOST_ASIDE, SECRETS, JobFolder
from fitchain.pod.values.leaf import Checkpoint, Leaf
from tests.audited_workshop import COUNTER_BOND, AuditedWorkshop, changed
from tests.chain_fixtures import PASSPHRASE, Devnet, no_mining, take_back
from tests.cli_fixtures import Fitchain
from tests.node_proxy import proxy
from tests.pods import BOND, HOUR_S, PRICE, Party, Workshop, offer_table, owner_runs, scientist_runs, verifier_runs
from tests.policies import open_policy

PassTime = Callable[[int], None]


def first_block(workshop: Workshop, id: AgreementId, step: str) -> int:
    """The block of the first event of a name, once it is there."""

    def blocks() -> list[int]:
        return [event.block for event in workshop.scientist.home.agreements.events(id) if event.name == step]

    workshop.until(lambda: bool(blocks()))
    return blocks()[0]


def names_of(party: Party, id: AgreementId) -> list[str]:
    """The chain's events of a job."""
    return [event.name for event in party.home.agreements.events(id)]


def mine(chain: Chain, blocks: int) -> None:
    chain.node.request("anvil_mine", hex(blocks))


# The newest blocks


def test_blocks_that_the_chain_takes_back_are_noticed_and_others_are_not(reader: Chain) -> None:
    mine(reader, 20)
    one = Heads(4).look(reader.node)
    mine(reader, 3)
    two = one.look(reader.node)
    assert two.newest is not None and two.final is not None
    assert not two.reorganised and two.final.number == two.newest.number - 4
    take_back(reader, two.newest.number - 2)
    three = two.look(reader.node)
    assert three.reorganised and not three.look(reader.node).reorganised
    mine(reader, 40)  # more than are remembered
    assert not three.look(reader.node).reorganised
    assert not Heads(4).look(reader.node).reorganised


def test_a_head_that_links_up_with_nothing_is_not_believed(reader: Chain, running_devnet: Devnet) -> None:
    """One lying answer would else put off for ever, or bring about, what waits for blocks."""
    mine(reader, 20)
    lies = iter([{"number": hex(2**60)}, {"hash": str(sha256(b"x")), "parentHash": str(sha256(b"y"))}])

    def lie(call: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
        latest = call["method"] == "eth_getBlockByNumber" and call["params"][0] == "latest"
        return answer | {"result": answer["result"] | next(lies, {})} if latest else answer

    known = Heads(4).look(reader.node)
    with proxy(running_devnet.record.rpc, lambda _: None, change=lie) as url:
        liar = type(reader.node)(url)
        one = known.look(liar)
        two = one.look(liar)
    assert (one, two) == (known, known)


def test_an_answer_of_a_node_that_lags_changes_nothing(reader: Chain, running_devnet: Devnet) -> None:
    mine(reader, 20)
    known = Heads(4).look(reader.node)
    assert known.newest is not None
    old = hex(known.newest.number - 3)

    def lag(call: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
        if call["method"] == "eth_getBlockByNumber" and call["params"][0] == "latest":
            return answer | {"result": reader.node.request("eth_getBlockByNumber", old, False)}
        return answer

    with proxy(running_devnet.record.rpc, lambda _: None, change=lag) as url:
        assert known.look(type(reader.node)(url)) == known


# What is over


def test_an_end_is_final_once_it_lies_deep_enough_at_two_looks(workshop: Workshop, reader: Chain) -> None:
    id, finality = workshop.request(), Finality(workshop.owner.home, 4)

    def over() -> bool:
        finality.look()
        return finality.job_is_over(id)

    assert not over()
    ended = workshop.owner.home.agreements.reject(id).block
    assert not over()
    mine(reader, 3)
    assert not over()
    mine(reader, 4)
    newest = reader.block("latest").number
    assert not over()
    is_over = over()  # the second look has to see another newest block, and one may have come by itself
    assert not is_over or reader.block("latest").number > newest
    mine(reader, 1)
    assert over()
    take_back(reader, ended)
    mine(reader, 40)
    assert not over()


# The owner


def test_a_run_that_the_chain_took_back_is_neither_anchored_nor_ended(workshop: Workshop, reader: Chain) -> None:
    home, id = workshop.owner.home, workshop.request()
    keep_disclosed(home, AuditRef(id), 0)
    accepted = home.agreements.accept(id, commit_key(order_nonce(home, id))).block
    begin(home, id)
    run = home.agreements.run_record(id)
    require_same_run(home, id, run)
    take_back(reader, accepted)
    with pytest.raises(Unusable, match="and none is begun"):
        require_same_run(home, id, run)
    home.chain.rebroadcast()
    home.chain.catch_up()
    with pytest.raises(Unusable, match="but one under 0x"):
        require_same_run(home, id, run)


def test_an_anchor_of_a_run_that_the_chain_takes_back_meanwhile_is_none_of_the_next(
    workshop: Workshop, reader: Chain
) -> None:
    """It is signed just after: what the owner has looked up is of the run before, and its first
    anchor would fit any other run as well, if it did not name the seed. Leaves of another run could
    never be ended, and the bond would be lost."""
    home, id = workshop.owner.home, workshop.request(price=PRICE + 80)
    keep_disclosed(home, AuditRef(id), 0)  # as the pod does before it accepts
    accepted = home.agreements.accept(id, commit_key(order_nonce(home, id))).block
    begin(home, id)
    run, moments = home.agreements.run_record(id), list[str]()

    def judge(call: dict[str, Any]) -> None:
        if call["method"] == "eth_getTransactionCount" and moments:
            moments.clear()
            take_back(reader, accepted)

    leaves = [Checkpoint(Leaf(index, 2 * index, *[ZERO] * 5), Root(ZERO), Root(ZERO), {}, ZERO) for index in range(2)]
    with (
        proxy(home.chain.node.url, judge) as url,
        Home.open(replace(home.settings, rpc=url), lambda: PASSPHRASE) as owner,
    ):
        anchors = Anchors(owner, id, run, 1, workshop.scientist.home.keys.recipient, metrics_leave=False)
        anchors.take(leaves[0])
        moments.append("between the last look and the signature")
        with pytest.raises(Reverted, match="PeaksDiffer"):
            anchors.take(leaves[1])
            anchors.wait()
    home.chain.catch_up()
    record = home.agreements.run_record(id)
    assert record.seed not in (run.seed, ZERO) and not record.anchors


@pytest.mark.long
def test_a_yes_to_a_request_is_none_to_another_with_its_id(workshop: Workshop, table_path: Path, reader: Chain) -> None:
    """A salt makes the id, and the terms do not: behind a reorganisation other terms may stand."""
    owner, scientist = workshop.owner, workshop.scientist
    asked = replace(workshop, dataset=offer_table(owner, table_path, policy=open_policy()))
    with owner_runs(owner):
        id = asked.request()
        workshop.until(owner.has(id, "approval_needed"))
    approve(owner.home, id)
    calls = scientist.home.agreements
    terms, offer, request = calls.terms(id), calls.offer(id), scientist.home.journal.requests()[-1]
    take_back(reader, calls.requested_block(id))
    with closing(sqlite3.connect(scientist.home.settings.home / "transactions.db", isolation_level=None)) as database:
        database.execute("DELETE FROM transactions")  # a scientist who does not send it again
    calls.forget()
    calls.request(request.salt, replace(terms, bond=terms.bond + 1, price=terms.price), offer)
    with owner_runs(owner):
        workshop.until(lambda: owner.kinds(id).count("checked") == 2)
        owner_turns(workshop)
    assert scientist.state(id) is State.REQUESTED
    owner.home.agreements.reject(id)


def test_a_no_that_the_chain_took_back_is_said_again(workshop: Workshop, reader: Chain) -> None:
    owner, scientist = workshop.owner, workshop.scientist
    before = scientist.fit() + scientist.home.agreements.owed(scientist.address)
    id = workshop.request(price=PRICE + 8)
    reject(owner.home, id, "no")
    take_back(reader, first_block(workshop, id, "Rejected"))
    assert scientist.state(id) is State.REQUESTED
    with owner_runs(owner):
        workshop.until_state(id, State.CANCELLED)
    assert names_of(owner, id) == ["Requested", "Rejected"]
    assert scientist.fit() + scientist.home.agreements.owed(scientist.address) == before


@pytest.mark.parametrize("by_person", [True, False])
def test_a_no_whose_sender_was_killed_keeps_its_reason(workshop: Workshop, by_person: bool) -> None:
    owner, id = workshop.owner, workshop.request(price=PRICE + 50 + by_person)
    if by_person:
        owner.home.journal.decide(id, Decision(REJECT, "not now"))
    else:
        owner.home.journal.record(id, history.Refused("not now"), once="")
    owner.home.agreements.reject(id)
    with owner_runs(owner):
        workshop.until(owner.has(id, "cancelled"))
    assert owner.told(id, "rejected")["reason"] == "not now"
    assert [line.entry.kind for line in owner.home.journal.history(id)].count("rejected") == 1


def owner_turns(workshop: Workshop, turns: int = 10) -> None:
    """Let a running pod look at the chain some times."""
    threading.Event().wait(0.1 * turns)


def test_a_run_is_set_aside_and_taken_back_whole_and_few_are_kept(tmp_path: Path) -> None:
    folder, seeds = JobFolder(tmp_path / "job").create(), [sha256(bytes([number])) for number in range(5)]
    for seed in seeds:
        folder.states.mkdir(parents=True)
        folder.state(4).write_text(str(seed))
        folder.leaves.write_text(str(seed))
        folder.set_aside(seed)
        assert not folder.leaves.exists()
    assert len(list(folder.path.glob("aside-*"))) == MOST_ASIDE
    assert not folder.take_back(seeds[0])
    assert folder.take_back(seeds[-1])
    assert folder.leaves.read_text() == folder.state(4).read_text() == str(seeds[-1])
    assert not folder.take_back(seeds[-2])  # there is a run
    folder.set_aside(seeds[-1])
    assert folder.take_back(seeds[-2]) and folder.leaves.read_text() == str(seeds[-2])


def test_secrets_of_a_job_that_the_chain_took_back_go_once_that_is_final(workshop: Workshop, reader: Chain) -> None:
    home = workshop.owner.home
    finality = Finality(home, 4)
    orphans = Orphans(home, finality)

    def clear() -> list[Subject]:
        finality.look()
        return list(orphans.clear())

    stands, gone = (workshop.request(price=PRICE + 20 + number) for number in range(2))
    folders = [home.job_folder(stands), home.job_folder(gone), home.job_folder(gone).audit(1)]
    for folder in folders:
        home.keep_secret(folder.create().seat_identity, "a secret")
        folder.records.write_bytes(b"records")
    for id in (stands, gone):
        home.journal.keep_fact(id, "key", "of the identity that is removed")
    take_back(reader, home.agreements.requested_block(gone))
    mine(reader, 4)
    assert clear() == []  # one look is none
    mine(reader, 1)
    assert clear() == [gone] and clear() == []
    assert [len(folder.secrets()) for folder in folders] == [2, 0, 0]
    assert home.journal.fact(stands, "key") and not home.journal.fact(gone, "key")
    workshop.scientist.home.chain.rebroadcast()
    folders[0].remove(SECRETS)


def test_identity_of_a_seat_goes_once_its_audit_never_comes_again(workshop: Workshop, reader: Chain) -> None:
    """Of a question that the chain took back, and of a job that ended without the audit that was
    opened before; both jobs stand."""
    home, finality = workshop.owner.home, Finality(workshop.owner.home, 4)
    orphans, id = Orphans(home, finality), workshop.request(price=PRICE + 70)
    own, again = AuditRef(id), AuditRef(id, 1)
    for ref in (own, again):
        home.keep_secret(home.audit_folder(ref).create().seat_identity, "a secret")

    def look() -> list[Subject]:
        mine(reader, 4)
        finality.look()
        return list(orphans.clear())

    assert look() == []  # one look is none
    assert look() == [again] and look() == []
    assert [len(home.audit_folder(ref).secrets()) for ref in (own, again)] == [1, 0]
    home.agreements.reject(id)
    assert look() == [] and look() == [own]
    assert not home.audit_folder(own).secrets()


def test_secrets_that_cannot_be_removed_keep_a_pod_from_nothing_else(
    workshop: Workshop, reader: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner, gone, looks = workshop.owner, workshop.request(price=PRICE + 60), list[str]()
    folder = owner.home.job_folder(gone).create()
    folder.records.mkdir()  # what unlinking fails for
    take_back(reader, owner.home.agreements.requested_block(gone))
    pod = Owner(owner.home, owner.say, final_blocks=0)

    def look() -> list[tuple[str, Work]]:
        looks.append("look")
        return []

    monkeypatch.setattr(pod, "look", look)
    for _ in range(2):
        mine(reader, 1)
        pod._turn()
    assert looks == ["look"] * 2 and folder.secrets()
    folder.records.rmdir()
    workshop.scientist.home.chain.rebroadcast()


def test_records_that_were_opened_count_whatever_the_chain_takes_back(workshop: Workshop, reader: Chain) -> None:
    """Evidence for a jury that the chain took back was opened all the same: so was that of a job
    that is not there any more, and a smaller question in its place makes it no less."""
    home, scientist = workshop.owner.home, workshop.scientist.home
    other, id = (workshop.request(price=PRICE + 40 + number) for number in range(2))
    ref, agreement, asked = AuditRef(id), home.agreements.read(other), home.agreements.read(id)

    def counted() -> int:
        return opened_before(home, agreement, AuditRef(other)).total

    before = counted()
    keep_disclosed(home, ref, 7)
    home.journal.record(id, history.Accepted(), once="")
    assert (counted(), opened_before(home, asked, ref).total) == (before + 7, before)
    home.journal.keep_fact(ref, EVIDENCE_MADE, "")
    home.journal.keep_fact(ref, EVIDENCE_ASIDE, "cid")
    keep_disclosed(home, ref, 3)
    assert (counted(), opened_before(home, asked, ref).total) == (before + 14, before + 14)
    shutil.copyfile(scientist.job_folder(id).recipe, home.job_folder(id).create().recipe)
    take_back(reader, home.agreements.requested_block(id))
    home.agreements.forget()
    assert id not in home.agreements.list(owner=home.keys.address) and counted() == before + 14
    scientist.chain.rebroadcast()


def test_secrets_of_a_job_stay_where_a_node_has_not_come_to_it_yet(workshop: Workshop, reader: Chain) -> None:
    """A pod starts beside a node that catches up: two of its blocks, and those they rest on, have
    not the job."""
    mine(reader, 8)
    old = reader.block("latest").number
    mine(reader, 2)
    home = workshop.owner.home
    id = workshop.request(price=PRICE + 30)
    home.agreements.reject(id)
    home.keep_secret(home.job_folder(id).create().identity, "a secret")
    newest = [old]

    def lag(call: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
        if call["method"] == "eth_blockNumber":
            return answer | {"result": hex(newest[0])}
        params = [hex(newest[0]) if each == "latest" else each for each in call.get("params", [])]
        lags = params != call.get("params", [])
        return answer | {"result": reader.node.request(call["method"], *params)} if lags else answer

    with (
        proxy(home.chain.node.url, lambda _: None, change=lag) as url,
        Home.open(replace(home.settings, rpc=url), lambda: PASSPHRASE) as behind,
    ):
        finality = Finality(behind, 4)
        orphans = Orphans(behind, finality)
        for newest[0] in (old, old + 1, old + 2):
            finality.look()
            assert list(orphans.clear()) == []
    assert home.job_folder(id).secrets()
    home.job_folder(id).remove(SECRETS)


# The scientist


@contextmanager
def cut_off(party: Party, before: str = "eth_estimateGas") -> Iterator[Home]:
    """Its home behind a node that goes away just before a request would be signed, or would be
    sent."""
    selector = interface("Agreements").function("request").selector.hex()

    def judge(call: dict[str, Any]) -> Any:
        return (403, None) if call["method"] == before and selector in str(call["params"][0]) else None

    with (
        proxy(party.home.chain.node.url, judge) as url,
        Home.open(replace(party.home.settings, rpc=url), lambda: PASSPHRASE) as home,
    ):
        yield home


UNSENT = count()


@pytest.fixture
def unsent(workshop: Workshop) -> AgreementId:
    """A request that was written down by a command that did not come to sending it, and like which
    there is no other."""
    with cut_off(workshop.scientist) as home, pytest.raises(NodeUnreachable):
        replace(workshop, scientist=replace(workshop.scientist, home=home)).request(price=PRICE + 100 + next(UNSENT))
    id = workshop.scientist.home.journal.request_ids()[-1]
    assert id not in workshop.scientist.home.agreements.list()
    return id


def test_a_request_that_was_written_down_is_sent_by_the_pod_once(workshop: Workshop, unsent: AgreementId) -> None:
    scientist = workshop.scientist
    fit = scientist.fit()
    with scientist_runs(scientist):
        workshop.until(lambda: unsent in scientist.home.agreements.list())
        workshop.until(scientist.has(unsent, "requested_again"))
    price = scientist.home.agreements.terms(unsent).price
    assert workshop.request(price=price) == unsent  # who asks again hears of it, and pays once
    assert scientist.fit() == fit - price
    assert names_of(scientist, unsent) == ["Requested"]


def test_a_request_that_ended_before_its_asker_heard_of_it_is_paid_once(
    workshop: Workshop, unsent: AgreementId
) -> None:
    scientist = workshop.scientist
    with scientist_runs(scientist):
        workshop.until(lambda: unsent in scientist.home.agreements.list())
        workshop.owner.home.agreements.reject(unsent)
        workshop.until(scientist.has(unsent, "requested"))
    price = scientist.home.agreements.terms(unsent).price
    assert workshop.request(price=price) == unsent
    assert workshop.request(price=price) != unsent  # by now it was heard of


def test_a_request_that_the_chain_took_back_is_sent_again(workshop: Workshop, reader: Chain) -> None:
    scientist, id = workshop.scientist, workshop.request(price=PRICE + 1)
    with scientist_runs(scientist):
        workshop.until(lambda: id in scientist.home.agreements.list())
        take_back(reader, scientist.home.agreements.requested_block(id))
        workshop.until(lambda: id in scientist.home.agreements.list())
    assert names_of(scientist, id) == ["Requested"]


def test_a_request_of_another_chain_is_not_sent_to_this_one(workshop: Workshop, unsent: AgreementId) -> None:
    """Whoever removes `known-chain.json` takes its home to another chain, and means nothing of what
    its journal still asks for."""
    home, said = workshop.scientist.home, list[str]()
    home.journal.keep_fact(unsent, SENT_ON, "31337/0x12/0x34")
    pod = Scientist(home, False, lambda id, text: said.append(text))
    for _ in range(2):
        assert unsent not in [work.subject for lane, work in pod.look() if lane == "request"]
    assert said == ["was asked for on another chain or deployment: it is not sent to this one"]
    send_again(home, unsent, workshop.scientist.say)
    assert unsent not in home.agreements.list()
    give_up(home, unsent, "over")


def test_a_request_that_is_taken_back_is_no_job_any_more(workshop: Workshop, reader: Chain) -> None:
    """And nobody who has read it before takes what it remembers for one: it is in no state."""
    scientist, id = workshop.scientist, workshop.request(price=PRICE + 7)
    calls = scientist.home.agreements
    assert calls.read(id).state is State.REQUESTED
    take_back(reader, calls.requested_block(id))
    assert [each.state for each in calls.read_many([id])] == [State.NONE]
    with pytest.raises(NotFound, match=f"no job {id.short}"):
        calls.read(id)
    scientist.home.chain.rebroadcast()


def test_a_request_whose_transaction_is_lost_is_sent_again(workshop: Workshop, reader: Chain) -> None:
    scientist, id = workshop.scientist, workshop.request(price=PRICE + 2)
    take_back(reader, scientist.home.agreements.requested_block(id))
    with closing(sqlite3.connect(scientist.home.settings.home / "transactions.db", isolation_level=None)) as database:
        database.execute("DELETE FROM transactions")
    send_again(scientist.home, id, scientist.say)
    send_again(scientist.home, id, scientist.say)
    assert names_of(scientist, id) == ["Requested"]
    assert scientist.kinds(id) == ["requested", "requested_again"]


def test_a_request_whose_permit_another_call_overtook_is_signed_anew(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A permit counts those before it, and one that is used first spends the number."""
    sign, signed = Agreements.permit, list[Permit]()

    def overtaken(calls: Agreements, value: int) -> Permit:
        permit = sign(calls, value)
        if not signed:
            other, spender = sign(calls, 1), calls.chain.addresses["Agreements"]
            used = (calls.chain.address, spender, other.value, other.deadline, other.v, other.r, other.s)
            calls.chain.send("FitCoin", "permit", *used)
        signed.append(permit)
        return permit

    monkeypatch.setattr(Agreements, "permit", overtaken)
    id = workshop.request(price=PRICE + 8)
    assert workshop.scientist.state(id) is State.REQUESTED and len(signed) == 2


def test_a_request_is_not_sent_when_its_time_has_passed(
    workshop: Workshop, unsent: AgreementId, pass_time: PassTime
) -> None:
    pass_time(HOUR_S + 1)
    with scientist_runs(workshop.scientist):
        workshop.until(workshop.scientist.has(unsent, "late"))
    assert unsent not in workshop.scientist.home.agreements.list()
    assert "requested_again" not in workshop.scientist.kinds(unsent)


@pytest.mark.parametrize("how", ["withdrawn", "refused"])
def test_a_request_is_not_sent_behind_the_back_of_whoever_gave_it_up(
    workshop: Workshop, unsent: AgreementId, how: str
) -> None:
    home = workshop.scientist.home
    if how == "withdrawn":
        assert withdraw_unsent(home, unsent)
    else:
        give_up(home, unsent, how)
    send_again(home, unsent, workshop.scientist.say)
    assert unsent not in home.agreements.list()


def test_a_request_that_was_never_sent_is_cancelled_by_its_command(
    workshop: Workshop, unsent: AgreementId, fitchain: Fitchain
) -> None:
    scientist = workshop.scientist
    code, values, _ = fitchain(scientist.home, "job", "cancel", unsent.short)
    assert (code, values["result"], values["transaction"]) == (0, "cancelled", None)
    send_again(scientist.home, unsent, scientist.say)
    assert unsent not in scientist.home.agreements.list() and scientist.kinds(unsent) == ["cancelled"]


def test_a_cancelled_request_is_cancelled_again(workshop: Workshop, reader: Chain, pass_time: PassTime) -> None:
    scientist, id = workshop.scientist, workshop.request(price=PRICE + 9)
    pass_time(HOUR_S + 1)
    cancel_job(scientist.home, id)
    take_back(reader, first_block(workshop, id, "Cancelled"))
    assert scientist.state(id) is State.REQUESTED
    with scientist_runs(scientist):
        workshop.until_state(id, State.CANCELLED)
    assert names_of(scientist, id) == ["Requested", "Cancelled"]


def test_nobody_complains_of_a_result_that_the_chain_took_back(workshop: Workshop) -> None:
    """It was there when the agreement, or its audit, was read, and comes again: no store lacks it."""
    home, id = workshop.scientist.home, workshop.request(price=PRICE + 90)
    audit: Any = SimpleNamespace(id=id, ref=AuditRef(id), phase=Phase.RELEASED, complained=False, deadline=0, window=2)
    with pytest.raises(NotOnChain, match="has delivered nothing yet"):
        _judge_release(home, audit, False, workshop.scientist.say)
    with pytest.raises(NotOnChain, match="has delivered nothing yet"):
        why_unopened(home, id)
    workshop.owner.home.agreements.reject(id)


@pytest.mark.parametrize("how", ["signed", "taken back"])
def test_nobody_is_told_that_a_request_is_cancelled_which_is_on_its_way(
    workshop: Workshop, reader: Chain, fitchain: Fitchain, how: str
) -> None:
    """What was signed is sent with whatever its home sends next."""
    scientist = workshop.scientist
    if how == "signed":
        with cut_off(scientist, "eth_sendRawTransaction") as home, pytest.raises(NodeUnreachable):
            replace(workshop, scientist=replace(scientist, home=home)).request(price=PRICE + 3)
        id = scientist.home.journal.request_ids()[-1]
    else:
        id = workshop.request(price=PRICE + 4)
        take_back(reader, scientist.home.agreements.requested_block(id))
    assert id not in scientist.home.agreements.list()
    code, _, told = fitchain(scientist.home, "job", "cancel", id.short)
    assert code == 3 and "the owner may still accept" in told
    assert names_of(scientist, id) == ["Requested"] and "cancelled" not in scientist.kinds(id)
    workshop.owner.home.agreements.reject(id)  # which no later test's pod is to find


# The verifier


def test_a_vote_is_about_one_question(workshop: Workshop) -> None:
    """The same round may ask about other segments, or of another run, behind a reorganisation."""
    home, ref = workshop.scientist.home, AuditRef(AgreementId(sha256(b"a job")))
    audit: Any = SimpleNamespace(ref=ref, round=0)
    match, mismatch = Ballot(Outcome.MATCH, ZERO), Ballot(Outcome.MISMATCH, ZERO)
    keep_ballot(home, audit, match, "one")
    keep_ballot(home, audit, mismatch, "two")
    ballots = [kept_ballot(home, audit, question) for question in ("one", "two", "three", None)]
    assert ballots == [match, mismatch, None, mismatch]


def test_a_stake_that_the_chain_took_back_is_staked_once(
    open_verifier: Callable[[str], Party], workshop: Workshop, reader: Chain
) -> None:
    party = open_verifier("staker")
    fit, calls = party.fit(), party.home.verifiers

    def stake() -> int:
        return calls.verifier(party.address).stake

    staked = stake()
    take_back(reader, reader.events("Verifiers", "Staked", account=party.address)[0].block)
    assert (stake(), party.fit()) == (0, fit + staked)
    with verifier_runs(party):
        workshop.until(lambda: stake() > 0)
    assert (stake(), party.fit()) == (staked, fit)


@pytest.mark.parametrize(("now", "seconds"), [(1000, 750), (1750, 125), (1960, 20)])
def test_a_seat_that_is_late_looks_once_at_least(now: int, seconds: float) -> None:
    audit: Any = SimpleNamespace(deadline=2000, window=1000)
    assert look_s(audit, now) == seconds


# Any pod


def test_a_pod_that_runs_sends_again_whatever_the_chain_took_back(
    open_party: Callable[..., Party], workshop: Workshop, reader: Chain
) -> None:
    """Its registration, which nothing else would have it do again before the next start."""
    newcomer = open_party("newcomer")

    def registered() -> int | None:
        events = reader.events("Registry", "PodRegistered", account=newcomer.address)
        return events[0].block if events else None

    with scientist_runs(newcomer):
        for _ in range(2):  # what was sent before its first look, and what it knows to be mined
            workshop.until(lambda: registered() is not None)
            take_back(reader, registered() or 0)
        workshop.until(lambda: registered() is not None)


@pytest.mark.long
def test_a_pod_that_runs_sends_again_what_nobody_waits_for(
    open_party: Callable[..., Party], workshop: Workshop, reader: Chain
) -> None:
    """As when a block that takes it comes and goes between two looks: nothing tells of that."""
    party = open_party("forgotten")
    with scientist_runs(party) as pod:
        workshop.until(lambda: pod.finality.time > 0)  # its first look has sent what there was
        with no_mining(reader):
            party.home.chain.submit("FitCoin", "transfer", workshop.owner.address, 1)
            reader.node.request("anvil_dropAllTransactions")
        workshop.until(lambda: not party.home.chain.unseen(), limit_s=60)
    assert "sent again" not in "".join(party.said)  # which is told of what was mined before


def test_a_pod_that_waits_for_a_transaction_stops_when_it_is_asked_to(
    workshop: Workshop, reader: Chain, running_devnet: Devnet
) -> None:
    """At its start: the node takes no block, which may last for ever."""
    owner = workshop.owner
    with no_mining(reader):
        owner.home.chain.submit("FitCoin", "transfer", owner.address, 1)
        with owner_runs(owner):
            workshop.until(lambda: "not known to be mined: FitCoin.transfer" in "".join(owner.said))
            asked_at = time.monotonic()
        assert time.monotonic() - asked_at < STOP_S + 5
        assert "is not mined yet, and it is not waited for: this pod stops" in owner.said[-1]
    owner.home.chain.catch_up()


# Whole jobs

STEPS = ("Requested", "Accepted", "Begun", "Anchored", "Finished", "Settled")


def take_back_each(reader: Chain, workshop: Workshop, id: AgreementId, steps: Sequence[str]) -> None:
    """Take the blocks from each of these events of a job on back, once it is there."""
    for step in steps:
        take_back(reader, first_block(workshop, id, step))


@pytest.mark.long
def test_a_job_comes_to_its_end_though_the_chain_takes_back_each_of_its_transactions(
    workshop: Workshop, reader: Chain
) -> None:
    owner, scientist = workshop.owner, workshop.scientist
    owed = owner.home.agreements.owed(owner.address)
    with owner_runs(owner, retry_s=0.2), scientist_runs(scientist):
        id = workshop.request()
        take_back_each(reader, workshop, id, STEPS)
        workshop.until_state(id, State.SETTLED)
    names = [event.name for event in owner.home.agreements.events(id)]
    assert names == ["Requested", "Accepted", "Begun", *["Anchored"] * 3, "Finished", "Settled"]
    assert owner.home.agreements.owed(owner.address) == owed + PRICE + BOND


@pytest.mark.long
def test_a_training_under_another_seed_begins_anew_and_what_was_trained_is_set_aside(
    workshop: Workshop, reader: Chain
) -> None:
    """The seed block is taken back after the training has ended: seed, leaves, delivery and
    certificate are others, and the scientist has the second."""
    owner, scientist = workshop.owner, workshop.scientist
    with owner_runs(owner, retry_s=0.2), scientist_runs(scientist, auto_accept=False):
        id = workshop.request()
        accepted, _ = first_block(workshop, id, "Accepted"), first_block(workshop, id, "Finished")
        workshop.until(scientist.has(id, "received"))
        before = scientist.home.agreements.run_record(id)
        take_back(reader, accepted)
        workshop.until(lambda: scientist.kinds(id).count("received") == 2)
    run = scientist.home.agreements.run_record(id)
    assert run.seed != before.seed and run.transcript_root != before.transcript_root
    assert owner.told(id, "set_aside")["seed"] == str(run.seed)
    aside = owner.home.job_folder(id).path / f"aside-{str(before.seed)[2:10]}"
    assert {"run", "model.safetensors", "certificate.json"} == {path.name for path in aside.iterdir()}
    assert scientist.kinds(id).count("note") == 6
    assert owner.kinds(id).count("delivered") == 2
    scientist.home.agreements.accept_result(id)


@pytest.mark.long
def test_a_dispute_that_the_chain_took_back_is_opened_again(audited: AuditedWorkshop, reader: Chain) -> None:
    """And so is what came before the dispute; nobody accepts what was disputed."""
    workshop = audited.workshop
    owner, scientist, owed = workshop.owner, workshop.scientist, audited.owed()
    with (
        owner_runs(owner, retry_s=0.2),
        scientist_runs(scientist, auto_accept=False),
        verifier_runs(*audited.verifiers),
    ):
        id = workshop.request(audit=audited.disputable())
        audited.until(scientist.has(id, "received"))
        dispute(scientist.home, id)
        take_back_each(reader, workshop, id, ("Disputed", "Finished", "Drawn"))
        audited.until_phase(id, Phase.RELEASED)
        accept_result(scientist.home, id)
        audited.until_phase(id, Phase.CONCLUDED)
        workshop.until_state(id, State.SETTLED)
    names = audited.names(id)
    assert [names.count(name) for name in ("Finished", "Disputed", "Concluded", "Settled")] == [1, 1, 1, 1]
    assert audited.audit(id).verdict is Outcome.MATCH and audited.free()
    assert changed(owed, audited.owed())[0] == PRICE + BOND + COUNTER_BOND // 2


AUDIT_STEPS = ("Drawn", "Joined", "EvidenceSubmitted", "Committed", "Revealed", "Released", "ReleaseClosed")


@pytest.mark.long
def test_an_audit_comes_to_its_end_though_the_chain_takes_back_each_of_its_transactions(
    audited: AuditedWorkshop, reader: Chain
) -> None:
    workshop = audited.workshop
    owner, scientist, stakes = workshop.owner, workshop.scientist, audited.stakes()
    owed = owner.home.agreements.owed(owner.address)
    with owner_runs(owner, retry_s=0.2), scientist_runs(scientist), verifier_runs(*audited.verifiers):
        id = workshop.request(audit=audited.terms())
        take_back_each(reader, workshop, id, AUDIT_STEPS)
        audited.until_phase(id, Phase.CONCLUDED)
        audited.until(scientist.has(id, "received"))
    audit = audited.audit(id)
    names = audited.names(id)
    assert audit.verdict is Outcome.MATCH and names.count("Concluded") == names.count("ReleaseClosed") == 1
    assert workshop.scientist.state(id) is State.SETTLED
    assert owner.home.agreements.owed(owner.address) == owed + PRICE + BOND
    assert audited.stakes() == stakes and audited.free()  # nobody lied, and nobody was absent
