"""Listing and deciding about jobs from the command line: in few requests, and each party what is
its own."""

from __future__ import annotations

from collections.abc import Callable

from fitchain.pod.ports.agreement import Agreements
from tests.agreements import GROUP, Parties, anchored, ending, finished, registered
from tests.chain_fixtures import Account
from tests.cli_fixtures import Fitchain
from tests.node_proxy import counting

MOST_REQUESTS = 12


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
