"""Finding datasets: each condition by itself, cards that cannot be read, few round trips."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fitchain.cli.app import run
from fitchain.pod.compute.dataset import Card, CardPrivacy, Table, Task
from fitchain.pod.compute.dataset import register as registration_of
from fitchain.pod.jobs.home import Home
from fitchain.pod.parties.scientist import DatasetQuery, find_datasets
from fitchain.pod.ports.registry import Registry
from fitchain.pod.ports.store import Cid, open_store
from fitchain.pod.values.amounts import FIT
from fitchain.pod.values.ids import DatasetId
from fitchain.pod.values.privacy.ledger import budget
from tests.chain_fixtures import Account, Devnet
from tests.node_proxy import counting
from tests.policies import open_policy

PLAIN = 20
"""Datasets that differ in nothing but their records."""


@dataclass(frozen=True)
class Market:
    """Datasets of one deployment, by their names."""

    home: Path
    ids: dict[str, DatasetId]


def card_of(name: str, records: int = 30, task: Task = Task.CLASSIFICATION, **changes: Any) -> Card:
    numbers = np.random.default_rng(len(name) + records)
    target = numbers.integers(0, 2, records) if task is Task.CLASSIFICATION else numbers.random(records)
    arrays = {"age": numbers.random(records), "ICD main": numbers.integers(0, 5, records), "outcome": target}
    card = registration_of(Table.of(arrays, "outcome", task=task), name.encode().ljust(32), name, price=5 * FIT).card
    return replace(card, **{"policy": open_policy(minimum_price=5 * FIT)} | changes)


@pytest.fixture(scope="module")
def market(open_account: Callable[..., Account]) -> Market:
    owner, other, scientist = open_account(), open_account(), open_account()
    ids = dict[str, DatasetId]()

    def offer(account: Account, card: Card, ledger: int = 0, cid: Cid | None = None) -> None:
        store = open_store(account.chain.settings)
        registry = Registry(account.chain)
        ids[card.name] = registry.register_dataset(card.root, card.count, cid or store.add(card.encode()), ledger)

    for number in range(PLAIN):
        offer(owner, card_of(f"plain {number}"))
    hurt = card_of("Falls in clinics", 80, Task.REGRESSION, description="of 2026, by ward\x1b[31m", licence="CC-BY-4.0")
    offer(owner, replace(hurt, columns=tuple(replace(c, unit="mmHg" if c.name == "age" else "") for c in hurt.columns)))
    named = replace(open_policy(minimum_price=2 * FIT), models_may_reveal_records=False)
    offer(owner, card_of("for one", 40, policy=replace(named, scientists=(scientist.address.lower(),))))
    offer(owner, card_of("for another", 41, policy=replace(named, scientists=("0x" + "5" * 40,))))
    offer(owner, card_of("lost", 42), cid=Cid.of(0x55, bytes(32)))
    offer(owner, card_of("of others", 43), cid=open_store(owner.chain.settings).add(card_of("something else").encode()))
    Registry(owner.chain).retire_dataset(ids["plain 0"])
    number = Registry(other.chain).open_ledger(budget(2.0, 1e-5))
    offer(other, card_of("private", 50, privacy=CardPrivacy(1e-5)), number)
    return Market(scientist.chain.settings.home, ids)


@pytest.fixture
def find(market: Market, running_devnet: Devnet, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> Callable[..., Any]:
    monkeypatch.setenv("FITCHAIN_DEVNET", str(running_devnet.folder))

    def command(*options: str) -> dict[str, Any]:
        assert run(["data", "find", *options, "--home", str(market.home), "--json"]) == 0
        return dict(json.loads(capsys.readouterr().out))

    return command


def names_of(found: dict[str, Any]) -> list[str]:
    return [each["name"] for each in found["datasets"] if not each["name"].startswith("plain")]


@pytest.mark.parametrize(
    ("options", "names"),
    [
        (["falls", "WARD"], ["Falls in clinics"]),
        (["--task", "regression"], ["Falls in clinics"]),
        (["--records", "45"], ["Falls in clinics", "private"]),
        (["--price", "2"], ["for another", "for one"]),
        (["--licence", "cc-by"], ["Falls in clinics"]),
        (["--measure", "mm*"], ["Falls in clinics"]),
        (["--column", "icd*=whole", "--column", "age", "--records", "45"], ["Falls in clinics", "private"]),
        (["--unit", "record"], ["private"]),
        (["--open", "--price", "2"], ["for one"]),
        (["--epsilon", "1.5", "--records", "45"], ["Falls in clinics", "private"]),
        (["--epsilon", "2.5", "--records", "45"], ["Falls in clinics"]),
        (["--target", "out*", "--column", "nothing"], []),
        (["--column", "age=category"], []),
    ],
)
def test_a_condition_leaves_what_fits(find: Callable[..., Any], options: list[str], names: list[str]) -> None:
    assert names_of(find(*options)) == names


def test_cards_that_cannot_be_read_are_told_and_hide_no_other(find: Callable[..., Any], market: Market) -> None:
    found = find()
    reasons = {each["dataset"]: each["reason"] for each in found["unread"]}
    assert set(reasons) == {str(market.ids["lost"]), str(market.ids["of others"])}
    assert "is about 30 records" in reasons[str(market.ids["of others"])]
    assert found["looked_at"] == len(market.ids) and len(found["datasets"]) == len(market.ids) - 3
    records = [each["records"] for each in found["datasets"]]
    assert records == sorted(records, reverse=True)
    closed = {each["name"]: each for each in find("--closed")["datasets"]}
    assert not closed["plain 0"]["open"] and closed["private"]["epsilon_left"] == pytest.approx(2, abs=0.05)
    assert [closed[name]["open_to_me"] for name in ("for one", "for another", "plain 0")] == [True, False, False]


def test_an_empty_result_says_which_condition_keeps_most_out(
    find: Callable[..., Any], market: Market, running_devnet: Devnet, capsys: Any
) -> None:
    asked = ["--task", "regression", "--column", "nothing", "--records", "45"]
    found = find(*asked)
    assert found["excluded"][0] == {"condition": "--records 45", "datasets": 23, "alone": 0}
    assert {each["condition"]: each["alone"] for each in found["excluded"]}["--column nothing"] == 1
    assert run(["data", "find", *asked, "--home", str(market.home)]) == 0
    shown = capsys.readouterr().out
    assert "leave that out first" in shown and "--column nothing keeps out 2 datasets, 1 of them alone" in shown
    assert run(["data", "find", "falls", "--home", str(market.home)]) == 0
    assert "\x1b[31m" not in capsys.readouterr().out


@pytest.fixture
def counted_home(market: Market, running_devnet: Devnet) -> Iterator[tuple[Home, Any]]:
    with counting(running_devnet.record.rpc) as (url, traffic):
        settings = replace(running_devnet.settings(market.home), rpc=url)
        with Home.open(settings) as home:
            yield home, traffic


def test_the_chain_is_read_in_few_round_trips(counted_home: tuple[Home, Any], market: Market) -> None:
    home, traffic = counted_home
    before = traffic.requests
    seen = list[tuple[int, int]]()
    search = find_datasets(home, DatasetQuery(), progress=lambda done, count: seen.append((done, count)))
    assert traffic.requests - before <= 10 < search.count == len(market.ids)
    assert seen[-1] == (search.count - 1, search.count - 1)  # one is retired


def test_cards_that_come_too_late_are_told(counted_home: tuple[Home, Any]) -> None:
    search = find_datasets(counted_home[0], DatasetQuery(), seconds=-1)
    assert not search.matches and {reason for _, reason in search.unread} == {"not fetched within -1 s"}
