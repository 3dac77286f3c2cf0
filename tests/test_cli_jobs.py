"""Listing and deciding about jobs from the command line: in few requests, and each party what is
its own."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from fitchain.pod.compute.sandbox import Level
from fitchain.pod.compute.sandbox.confine import Enforcement
from fitchain.pod.jobs import history
from fitchain.pod.jobs.journal import Journal
from fitchain.pod.ports.agreement import Agreements
from tests.agreements import GROUP, Parties, anchored, ending, finished, registered
from tests.chain_fixtures import Account
from tests.cli_fixtures import Fitchain
from tests.node_proxy import counting

MOST_REQUESTS = 12


def journal_of(account: Account) -> Journal:
    return Journal(account.chain.settings.home / "journal.db")


def test_jobs_are_listed_in_few_requests_whatever_else_the_deployment_holds(
    fitchain: Fitchain, parties: Parties, open_account: Callable[..., Account]
) -> None:
    others = registered(parties.owner, open_account())
    ids = [parties.request(price=0, bond=0) for _ in range(55)]
    for _ in range(60):
        others.request(price=0, bond=0)
    with counting(parties.owner.chain.settings.rpc) as (url, traffic):
        code, told, _ = fitchain(parties.scientist, "job", "list", "--rpc", url)
        assert code == 0 and [job["agreement"] for job in told["jobs"]] == list(map(str, ids))
        assert told["older"] == 0 and traffic.requests <= MOST_REQUESTS, traffic.posts
    with counting(parties.owner.chain.settings.rpc) as (url, traffic):
        told = fitchain(parties.owner, "job", "list", "--rpc", url)[1]
        assert (len(told["jobs"]), told["older"]) == (100, 15)
        assert told["jobs"][0]["agreement"] == str(ids[15])
        assert traffic.requests <= MOST_REQUESTS, traffic.posts
    told = fitchain(open_account(), "job", "list", "--all", "--most", "3")[1]
    assert (len(told["jobs"]), told["older"]) == (3, 112)
    assert [job["scientist"] for job in told["jobs"]] == [others.scientist.address] * 3


def test_list_says_how_many_older_jobs_there_are(parties: Parties, shown: Callable[..., str]) -> None:
    parties.request(price=0)
    before = len(Agreements(parties.owner.chain).list())
    lines = shown("job", "list", "--all", "--most", "1").splitlines()
    assert lines[-1] == f"and {before - 1} older job{'s' if before > 2 else ''}: --most {before} shows all"


def test_no_reason_of_a_stranger_drives_the_terminal(parties: Parties, shown: Callable[..., str]) -> None:
    id = parties.request(price=0)
    journal_of(parties.owner).record(id, history.Refused("no\n2026-01-01 00:00:00  accepted\x1b[2J"))
    (line,) = [line for line in shown("job", "show", str(id)).splitlines() if "refused" in line]
    assert line.endswith("refused: no\\n2026-01-01 00:00:00  accepted\\x1b[2J")


def test_history_names_the_level_of_a_training_s_sandbox(parties: Parties, shown: Callable[..., str]) -> None:
    id = parties.request(price=0)
    training = history.Training(0, 12, 345, Enforcement(str(Level.CALLS), ("calls",), ("view",)))
    journal_of(parties.owner).record(id, training)
    assert "training 12 steps, in process 345, in a sandbox of the level `calls`" in shown("job", "show", str(id))


def test_what_cannot_be_cancelled_is_refused_in_words(fitchain: Fitchain, parties: Parties) -> None:
    id = parties.accepted()
    code, told, _ = fitchain(parties.owner, "job", "cancel", str(id))
    assert (code, told["error"]["kind"]) == (3, "AccessRefused")
    code, told, _ = fitchain(parties.scientist, "job", "cancel", str(id))
    assert code == 3 and told["error"]["message"] == f"{id.short} is accepted and no longer a request"


def test_result_without_anybody_to_ask_is_shown_as_such(parties: Parties, shown: Callable[..., str]) -> None:
    id, _ = finished(parties)
    text = shown("job", "show", str(id))
    assert "none, and the terms name nobody who could be asked in a dispute" in text
    parties.by_scientist.complain(id)
    assert "the scientist says that what was delivered does not open" in shown("job", "show", str(id))


def test_run_that_diverges_with_nothing_anchored_is_shown_as_forfeited(fitchain: Fitchain, parties: Parties) -> None:
    id = parties.begun()
    parties.by_owner.diverge(id, ending(anchored(parties, id, GROUP - 1)))
    told = fitchain(parties.scientist, "job", "show", str(id))[1]
    assert (told["state"], told["diverged"], told["segment_steps"]) == ("Forfeited", True, parties.terms.segment_steps)
    code, error, _ = fitchain(parties.scientist, "job", "complain", str(id))
    assert code == 3 and "nothing to complain of now" in error["error"]["message"]


def test_pod_does_not_start_under_a_level_that_does_not_exist(
    fitchain: Fitchain, parties: Parties, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FITCHAIN_SANDBOX", "vew")
    code, told, _ = fitchain(parties.owner, "pod", "owner")
    assert code == 3 and "vew" in told["error"]["message"]
