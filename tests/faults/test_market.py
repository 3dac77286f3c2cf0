"""The market under faults: a seed plans the same faults again, what went wrong is found, and a run
of one seed ends with everything where it should be."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fitchain.pod.ports.chain import Chain, answers
from fitchain.pod.ports.chain.rpc import Node
from fitchain.pod.values.errors import NodeRefused, NodeUnreachable
from scripts.faults import Series, main
from tests.faults import killable_pod
from tests.faults.market import accounts, leftovers, run
from tests.faults.market.accounts import Due, Sent, Wealth
from tests.faults.market.disks import FILL, disk
from tests.faults.market.moods import Mood, unruly
from tests.faults.market.plan import KILLS, PODS, POINTS, REQUEST_POINTS, WEIGHTS, Fault, Kind, counts, digest, plan
from tests.faults.market.run import Result

SEED, SECONDS = 7, 60.0
SOURCES = "sources"
RIGHT = Result(0, "", 50, {}, {}, {}, 0, {}, 0, 0, 1.0, ())


@given(st.integers(min_value=0), st.integers(1, 60))
def test_a_seed_plans_the_same_faults_again(seed: int, kills: int) -> None:
    faults = plan(seed, kills)
    assert digest(faults) == digest(plan(seed, kills))
    assert sum(counts(faults)[kind] for kind in KILLS) == kills
    assert [fault.at_s for fault in faults] == sorted(fault.at_s for fault in faults)
    assert plan(seed, seconds=faults[-1].at_s)[: len(faults)] == faults


@given(st.integers(min_value=0))
def test_only_who_is_there_is_killed(seed: int) -> None:
    away_until = dict[str, float]()
    for fault in plan(seed, 30):
        if fault.kind in KILLS:
            assert away_until.get(fault.who, 0.0) < fault.at_s
            away_until[fault.who] = fault.at_s + fault.lasts_s


def test_another_seed_plans_other_faults_and_all_kinds_of_them() -> None:
    assert len({digest(plan(seed, 50)) for seed in range(20)}) == 20
    many = [fault for seed in range(20) for fault in plan(seed, 50)]
    assert set(counts(many)) == set(Kind) == {*WEIGHTS, Kind.REQUEST, Kind.REQUEST_KILLED}
    assert {fault.mood for fault in many} == set(Mood)
    assert {fault.who for fault in many if fault.kind is Kind.POD_KILLED} == set(PODS)
    assert {fault.number for fault in many if fault.kind is Kind.REORGANISED} == set(range(1, 9))


def test_points_name_what_pods_do() -> None:
    """A point that nobody comes to would aim at nothing."""
    calls = {point.split(":")[0] for points in (*POINTS.values(), REQUEST_POINTS) for point in points}
    assert calls == {"send", "record", "keep_fact", "write", "replay"}
    assert all(f"`{call}`" in (killable_pod.__doc__ or "") for call in calls)


@pytest.mark.parametrize("mood", [mood for mood in Mood if mood not in (Mood.HONEST, Mood.LYING, Mood.MIXED)])
def test_a_node_has_moods(reader: Chain, mood: Mood, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a mood that spoils every answer; the moods themselves spoil some."""
    monkeypatch.setattr("tests.faults.market.moods.SHARE", 1.0)
    monkeypatch.setattr("tests.faults.market.moods.SLOW_S", 0.2)
    with unruly(reader.node.url, seed=1) as (url, unruly_node):
        node = Node(url, retry_s=0)
        first = node.ask(answers.block_number())
        reader.node.request("evm_mine")
        unruly_node.mood = mood
        match mood:
            case Mood.DROPPING | Mood.BUSY:
                with pytest.raises(NodeUnreachable):
                    node.ask(answers.block_number())
            case Mood.REFUSING:
                with pytest.raises(NodeRefused):
                    node.ask(answers.block_number())
            case Mood.REPEATING:
                assert node.ask(answers.block_number()) == first
            case Mood.TWICE | Mood.SLOW:
                assert node.ask(answers.block_number()) > first
        unruly_node.mood = Mood.HONEST
        assert node.ask(answers.block_number()) > first


def test_a_disk_is_full_and_read_only_and_neither_again(tmp_path: Path) -> None:
    with disk(tmp_path / "disk", 1) as small:
        if not small.mounted:
            pytest.skip("nothing can be mounted here: the market plays without small disks")
        assert small.fill()
        with pytest.raises(OSError, match="No space left"):
            (small.path / "more").write_text("more")
        small.free()
        assert not (small.path / FILL).exists()
        assert small.read_only()
        with pytest.raises(OSError, match="Read-only"):
            (small.path / "more").write_text("more")
        assert not small.fill()
        small.free()
        (small.path / "more").write_text("more")
    assert not (tmp_path / "disk" / "more").exists()


BEFORE = Wealth({"owner-1": 50, "scientist-1": 90}, {"owner-1": 9}, {}, {}, {"Agreements": 0, "Verifiers": 0}, 140)
PAID = Due({"owner-1": 30, "scientist-1": -30})


@pytest.mark.parametrize(
    ("after", "problems"),
    [
        pytest.param({}, 0, id="all is there"),
        pytest.param({"fit": {"owner-1": 79, "scientist-1": 60}}, 1, id="a party lacks a unit"),
        pytest.param({"owed": {"owner-1": 1}}, 1, id="a contract lacks a unit"),
        pytest.param({"held": {"Agreements": 0, "Verifiers": 1}}, 1, id="a contract has one too many"),
        pytest.param({"supply": 139}, 1, id="a unit was burned"),
    ],
)
def test_a_unit_that_is_elsewhere_is_found(after: dict[str, Any], problems: int) -> None:
    right = replace(BEFORE, fit={"owner-1": 80, "scientist-1": 60})
    assert len(list(accounts.money(BEFORE, replace(right, **after), [PAID]))) == problems


def test_a_wei_that_is_elsewhere_is_found() -> None:
    after, by_party = replace(BEFORE, wei={"owner-1": 4}), {"owner-1": Sent(frozenset(), 5, 0)}
    assert list(accounts.gas(BEFORE, after, by_party)) == []
    assert list(accounts.gas(BEFORE, replace(after, wei={"owner-1": 5}), by_party)) != []


@pytest.mark.parametrize("name", ["records.npz", "seat.age", ".f00.part", ".audit-1/evidence.json"])
def test_what_is_left_behind_is_found(tmp_path: Path, name: str) -> None:
    path = tmp_path / "owner-1" / "jobs" / "0x1" / name
    path.parent.mkdir(parents=True)
    assert bool(list(leftovers.files(tmp_path))) is name.startswith(".audit")
    path.write_text("")
    assert len(list(leftovers.files(tmp_path))) == 1


def test_a_traceback_and_a_process_are_found(tmp_path: Path) -> None:
    worker = tmp_path / "owner-1" / "jobs" / "0x1" / "worker.log"
    worker.parent.mkdir(parents=True)
    worker.write_text(f"well\n{leftovers.TRACEBACK}\n")
    assert len(list(leftovers.tracebacks(tmp_path))) == 1
    assert list(leftovers.processes(tmp_path)) == []
    with subprocess.Popen(["sleep", "60"], cwd=worker.parent) as left:
        assert len(list(leftovers.processes(tmp_path))) == 1
        left.kill()


@pytest.fixture
def series(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[bool, list[int]]]:
    """Runs a series of three seeds from one on, of which some go wrong and one may be cut off;
    whether it failed, and which were played."""

    def ran(seed: int, wrong: tuple[int, ...] = (), cut: int | None = None) -> tuple[bool, list[int]]:
        seen = list[int]()

        def one(seed: int, faults: list[Fault], keep: bool) -> Result:
            if seed == cut:
                raise KeyboardInterrupt
            seen.append(seed)
            return replace(RIGHT, seed=seed, wrong=("something",) if seed in wrong else ())

        monkeypatch.setattr("scripts.faults.played", one)
        given_series = Series(tmp_path / "faults.jsonl", SOURCES, seed, 3, (1, None))
        try:
            return given_series.run(), seen
        except KeyboardInterrupt:
            return True, seen

    return ran


def test_a_series_that_was_cut_off_goes_on(series: Callable[..., tuple[bool, list[int]]]) -> None:
    assert series(10, cut=11) == (True, [10])
    assert series(90) == (False, [11, 12])
    assert series(90) == (False, [90, 91, 92])


def test_a_seed_that_went_wrong_is_played_again(series: Callable[..., tuple[bool, list[int]]]) -> None:
    assert series(10, wrong=(11,)) == (True, [10, 11, 12])
    assert series(90) == (False, [11])


def test_a_plan_is_printed_and_not_played(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["faults", "--seed", "3", "--kills", "5", "--plan"])
    assert main() == 0
    assert capsys.readouterr().out.splitlines() == [str(fault) for fault in plan(3, 5)]


@pytest.mark.long
def test_a_market_under_faults_ends_with_everything_in_its_place(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`make faults ARGS="--seed 7 --minutes 1"`."""
    faults = plan(SEED, seconds=SECONDS)
    result = run.play(tmp_path, SEED, faults, print)
    assert not result.wrong, f"{json.dumps(result.json(), indent=2)}\n{capsys.readouterr().out}"
    assert result.lost == 0
    assert result.jobs == {"settled": counts(faults)[Kind.REQUEST] + counts(faults)[Kind.REQUEST_KILLED]}
    assert result.kills >= 5
    assert Counter(result.faults) + Counter(result.missed) == {kind.value: n for kind, n in counts(faults).items()}
