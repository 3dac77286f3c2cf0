"""A job whose model was trained on the same records before keeps the held-out rows of then."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from fitchain.cli.views.verdict import describe_held_out
from fitchain.pod.compute.dataset import held_out_rows, training_rows
from fitchain.pod.parties.owner.examine import check_descent, read_recipe
from fitchain.pod.parties.scientist import publish_model
from fitchain.pod.ports.agreement import State
from fitchain.pod.ports.agreement.descent import TrainedParent, trained_parents
from fitchain.pod.proof.audit.checking import check
from fitchain.pod.proof.certificate import verify, verifying
from fitchain.pod.proof.descent import check_kept_rows, check_parent_recipe, rows_to_keep
from fitchain.pod.values.digest import Digest, sha256
from fitchain.pod.values.errors import ClaimMismatch, InputRefused
from fitchain.pod.values.ids import AgreementId
from fitchain.pod.values.recipe import HeldOutFrom, Recipe
from fitchain.pod.values.state import read_safetensors
from tests.audits import trained_here
from tests.chain_fixtures import Devnet
from tests.pods import RECIPE, Party, Workshop, owner_runs, scientist_runs, workshop_of
from tests.training_jobs import SEED, recipe

FIRST = TrainedParent(AgreementId(sha256(b"first")), sha256(b"first seed"), True)
SECOND = TrainedParent(AgreementId(sha256(b"second")), sha256(b"second seed"), True)
KEPT = HeldOutFrom(FIRST.agreement, FIRST.seed)


def keeping(held_out: float = 0.2, **changes: Any) -> Recipe:
    return replace(recipe(held_out=held_out, **changes), held_out_from=KEPT)


def test_kept_rows_are_those_of_the_first_job_and_a_smaller_share_is_a_part() -> None:
    theirs = recipe(held_out=0.3)
    before = set(held_out_rows(theirs, FIRST.seed).tolist())
    kept = held_out_rows(keeping(0.2), SEED).tolist()
    assert set(kept) < before and len(kept) == 8
    assert held_out_rows(keeping(0.3), SEED).tolist() == sorted(before)
    assert not set(kept) & set(training_rows(theirs, FIRST.seed).tolist())
    assert held_out_rows(recipe(held_out=0.2), SEED).tolist() != kept


def test_a_recipe_names_whose_rows_it_keeps() -> None:
    given = keeping()
    assert Recipe.parse(given.encode()) == given and given.held_out_seed(SEED) == FIRST.seed
    for value, message in (
        ({"held_out": None}, "keeps held-out rows and holds none out"),
        ({"held_out_from": {"agreement": str(SEED)}}, "no field 'seed'"),
        ({"held_out_from": str(SEED)}, "is a JSON object"),
    ):
        with pytest.raises(InputRefused, match=message):
            Recipe.from_json(given.json() | value)


def test_rows_that_have_to_be_kept_are_not_drawn_anew_nor_chosen() -> None:
    assert rows_to_keep(()) is None and rows_to_keep((FIRST, SECOND)) == KEPT
    check_kept_rows(keeping(), (FIRST, SECOND))
    check_kept_rows(recipe(), (FIRST,))  # which holds none out
    for given, parents in (
        (recipe(held_out=0.2), (FIRST,)),
        (keeping(), ()),
        (keeping(), (SECOND, FIRST)),
        (replace(keeping(), held_out_from=HeldOutFrom(FIRST.agreement, SEED)), (FIRST,)),
    ):
        with pytest.raises(ClaimMismatch, match="the recipe keeps the held-out rows of"):
            check_kept_rows(given, parents)


def test_people_beside_the_same_ledger_cannot_be_told_apart() -> None:
    other = replace(SECOND, on_same_dataset=False)
    with pytest.raises(ClaimMismatch, match="on another dataset beside the same privacy ledger") as refused:
        check_kept_rows(keeping(), (FIRST, other))
    assert "hold no record out" in refused.value.hint


@pytest.mark.parametrize(
    ("theirs", "message"),
    [
        (recipe(), "that one held out none, and 0.2 is asked for"),
        (recipe(held_out=0.1), "that one held out a share of 0.1, and 0.2 is asked for"),
        (recipe(held_out=0.2, rows=[0, 30]), "the rows: "),
        (replace(recipe(held_out=0.2), held_out_from=HeldOutFrom(SECOND.agreement, SECOND.seed)), "what draws"),
    ],
)
def test_rows_that_a_parent_was_trained_on_are_not_held_out(theirs: Recipe, message: str) -> None:
    with pytest.raises(ClaimMismatch, match=message):
        check_parent_recipe(keeping(), FIRST, theirs)
    check_parent_recipe(keeping(), FIRST, recipe(held_out=0.2))
    check_parent_recipe(keeping(), SECOND, keeping(0.3))  # a child of the first that kept its rows, too
    check_parent_recipe(recipe(), FIRST, theirs)


def test_a_verifier_finds_rows_that_were_drawn_anew(tmp_path: Path, store: Any) -> None:
    case = trained_here(tmp_path / "job", store, held_out=0.2)
    facts = case.facts(None, drawn=0)
    assert case.replayed_here(facts) == []
    told = check(case.evidence(facts), replace(facts, parents=(FIRST,)))
    assert [problem.segment for problem in told.problems] == [None]
    assert "the recipe keeps the held-out rows of no job" in told.problems[0].what
    kept = trained_here(tmp_path / "kept", store, held_out=0.2, held_out_from=KEPT.json())
    assert kept.replayed_here(replace(kept.facts(None, drawn=0), parents=(FIRST,))) == []


# With pods


TERMS = RECIPE | {"held_out": 0.3}


class Tiny(nn.Module):
    """The pods' module, with weights that a job delivered."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
        tensors, _ = read_safetensors(path)
        numbers = {
            name: np.frombuffer(tensor.data, np.float32).reshape(tensor.shape) for name, tensor in tensors.items()
        }
        self.load_state_dict({name: torch.from_numpy(array.copy()) for name, array in numbers.items()})

    def forward(self, x: torch.Tensor) -> torch.Tensor:  # [B, 4] -> [B, 2]
        output_BC: torch.Tensor = self.layers(x)
        return output_BC


@pytest.fixture(scope="module")
def workshop(open_party: Callable[..., Party], table_path: Path) -> Workshop:
    return workshop_of(open_party("owner"), open_party("scientist"), table_path)


def played(workshop: Workshop, **changes: Any) -> AgreementId:
    id = workshop.request(**{"recipe_overrides": TERMS} | changes)
    with owner_runs(workshop.owner), scientist_runs(workshop.scientist):
        workshop.until_state(id, State.SETTLED, State.CANCELLED)
        if workshop.scientist.state(id) is State.SETTLED:
            workshop.until(workshop.scientist.has(id, "received"))
    return id


@pytest.mark.long
def test_a_fine_tuned_model_is_evaluated_on_what_its_parent_never_saw(
    workshop: Workshop, running_devnet: Devnet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = played(workshop)
    home = workshop.scientist.home
    delivered = home.job_folder(first).model
    child = publish_model(home, Tiny(delivered), workshop.dataset.id, parents=[workshop.model.id])
    assert home.registry.model(child.id).root == home.agreements.run_record(first).model_root
    second = played(workshop, model=child.id, recipe_overrides=TERMS | {"held_out": 0.2})
    assert workshop.scientist.state(second) is State.SETTLED
    theirs, own = (read_recipe(home.job_folder(id)) for id in (first, second))
    seeds = [home.agreements.run_record(id).seed for id in (first, second)]
    assert own.held_out_from == HeldOutFrom(first, seeds[0])
    assert set(held_out_rows(own, seeds[1]).tolist()) < set(held_out_rows(theirs, seeds[0]).tolist())
    job = home.job_folder(second)
    settings = running_devnet.settings(tmp_path)
    said = describe_held_out(verify(job.model, job.certificate, settings)) or ""
    assert f"they are those of the job {first.short}, from which the model descends" in said

    more = played(workshop, model=child.id, recipe_overrides=TERMS | {"held_out": 0.4})
    assert workshop.scientist.state(more) is State.CANCELLED
    assert "held out a share of 0.3, and 0.4 is asked for" in workshop.owner.told(more, "refused")["reason"]
    agreement = workshop.owner.home.agreements.read(second)
    with pytest.raises(ClaimMismatch, match="the recipe keeps the held-out rows of no job"):
        check_descent(workshop.owner.home, agreement, replace(own, held_out_from=None))
    terms = home.agreements.terms(second)
    found = trained_parents(home.chain, terms.owner, terms.dataset, child.id, home.chain.head())
    assert [parent.agreement for parent in found] == [first]
    monkeypatch.setattr(verifying, "find_parents", lambda *given: None)
    said = describe_held_out(verify(job.model, job.certificate, settings)) or ""
    assert "whether the model was trained on these records before was not searched for" in said
    monkeypatch.setattr(verifying, "find_parents", lambda *given: (replace(FIRST, seed=Digest(bytes(32))),))
    with pytest.raises(ClaimMismatch, match="by its model's descent it keeps those of"):
        verify(job.model, job.certificate, settings)
