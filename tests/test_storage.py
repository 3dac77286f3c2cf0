"""What states and evidence take is known before, and refused or bounded with figures."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from fitchain.pod.compute.checkpoint import state_steps
from fitchain.pod.compute.dataset import Card, Policy
from fitchain.pod.ports.store.local import LocalStore
from fitchain.pod.proof.audit.storage import choose_states, evidence_bytes, require_evidence_fits, state_bytes
from fitchain.pod.values.errors import HostUnusable, InputRefused
from fitchain.pod.values.limits import GIB
from tests.audits import ALL, trained_here
from tests.training_jobs import exported, recipe, table

GRAPH, RECIPE = exported()[0], recipe()
CARD = cast(Card, SimpleNamespace(policy=Policy(), columns=table().columns, count=40))
ONE = state_bytes(RECIPE, GRAPH)
PLENTY = GIB


def test_states_and_evidence_take_no_more_than_is_said(tmp_path: Path) -> None:
    case = trained_here(tmp_path / "job", LocalStore(tmp_path / "store", tmp_path / "home"))
    states = [(case.folder / f"run/states/{step}.safetensors").stat().st_size for step in state_steps(case.folder)]
    assert max(states) <= ONE
    place, names = case.plain(case.facts(None))
    assert sum((place / name).stat().st_size for name in names) <= evidence_bytes(RECIPE, GRAPH, CARD, ALL)


def test_terms_whose_evidence_nobody_fetches_are_refused_with_figures() -> None:
    require_evidence_fits(RECIPE, GRAPH, CARD, ALL)
    with pytest.raises(
        InputRefused, match="6 states of 1 MiB each among it, and verifiers fetch 1 MiB at most"
    ) as error:
        require_evidence_fits(RECIPE, GRAPH, CARD, ALL, limit_bytes=100_000)
    assert "draw fewer segments" in str(error.value.hint)


@pytest.mark.parametrize(("states", "every"), [(100, 1), (6, 2), (4, 4)])
def test_as_many_states_are_kept_as_half_of_the_disk_holds(states: int, every: int) -> None:
    assert choose_states(RECIPE, GRAPH, CARD, None, 2 * states * ONE).every == every


def test_a_job_for_which_the_disk_has_no_room_is_refused_with_figures() -> None:
    with pytest.raises(HostUnusable, match="the job takes 1 MiB of the disk") as error:
        choose_states(RECIPE, GRAPH, CARD, None, 3 * ONE)
    assert error.value.hint == "make room on it"
    with pytest.raises(HostUnusable) as error:
        choose_states(RECIPE, GRAPH, CARD, None, 4 * ONE, every=1)
    assert "leave --keep-every out" in str(error.value.hint)
    assert choose_states(RECIPE, GRAPH, CARD, ALL, PLENTY, every=3).every == 3
