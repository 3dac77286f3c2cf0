"""Attacks on private training: an owner that adds less noise than it is charged for, or charges
less than it adds; and what would be told beside the noise."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from unittest.mock import patch

from fitchain.pod.compute.checkpoint import read_leaves
from fitchain.pod.parties.owner import PrivacyOffer
from fitchain.pod.parties.scientist import request
from fitchain.pod.ports.agreement import State
from fitchain.pod.ports.chain import connect
from fitchain.pod.proof.certificate import claims, verify
from fitchain.pod.values.errors import FitchainError, InputRefused
from tests.attacks import cheats, pod_rules
from tests.attacks.attack import Attack
from tests.attacks.attack_lab import AttackLab, Caught
from tests.attacks.by_owners import CHECKS, REPLAY, WHOLE, Play, caught, named
from tests.attacks.certificates import VERIFIER
from tests.attacks.private_cheats import SEGMENT, key_of_liking, train_otherwise
from tests.audits import trained
from tests.pods import RECIPE, owner_runs, scientist_runs, workshop_of
from tests.training_jobs import PRIVACY, PrivateNet, private_recipe

RECIPE_READ = "the recipe's reader"
DELTA = 1e-3
RANGES = dict.fromkeys(("alpha", "beta", "gamma", "delta"), (-10.0, 10.0))
PRIVATE_JOB = {name: value for name, value in RECIPE.items() if name != "metrics"} | {"privacy": {"epsilon": 3}}
LEAST_CHARGE = int("0x" + "00000001" * 8, 16)
"""One unit at every order: the least that a contract takes."""


def trained_by(cheat: str, tamper: Callable[[Path], object] | None = None) -> Play:
    """A job whose segment 2 was trained by a cheat, and what is made of its evidence."""

    def play(lab: AttackLab) -> Caught:
        place = lab.place / f"private-{os.urandom(4).hex()}"
        work = partial(train_otherwise, cheat=cheat, in_a_process=lab.processes)
        case = trained(place, lab.store, work, net=PrivateNet, privacy=PRIVACY, metrics=[])
        return caught(lab.examine(case, tamper=tamper))

    return play


def shows_its_key(place: Path) -> None:
    """Show the key that segment 2 was trained by, on the path of the one that was committed to."""

    def exchange(document: dict[str, object]) -> None:
        opened = document["noise"]
        assert isinstance(opened, list)
        opened[SEGMENT]["key"] = key_of_liking().hex()

    cheats.edited(place, exchange)


def understated(lab: AttackLab) -> Caught:
    """Agree on a charge below what the recipe costs, and train it honestly."""
    case = lab.private
    return caught(lab.examine(case, charge=case.recipe.charge - 1))


def losses_beside(lab: AttackLab) -> Caught:
    """Let a leaf tell the loss of its segment beside the noise."""
    case = lab.private.copy(os.urandom(4).hex())
    checkpoint = read_leaves(case.folder)[SEGMENT + 1]
    cheats.put_metrics(case.folder, checkpoint.leaf.index, {"loss": 0.25})
    return caught(lab.examine(case))


def losses_asked_for(lab: AttackLab) -> Caught:
    """Ask for the loss of every segment in a recipe that trains in private."""
    del lab
    try:
        private_recipe(metrics=["loss"])
    except InputRefused as refusal:
        return Caught(RECIPE_READ, "parse", refusal.message)
    return Caught("nobody", "nowhere", "it is taken")


def evaluations_asked_for(lab: AttackLab) -> Caught:
    """Ask for the best of all checkpoints in a recipe that trains in private."""
    del lab
    try:
        private_recipe(held_out=0.2, evaluate="segment", best="accuracy")
    except InputRefused as refusal:
        return Caught(RECIPE_READ, "parse", refusal.message)
    return Caught("nobody", "nowhere", "it is taken")


def certified_below_cost(lab: AttackLab) -> Caught:
    """Accept, train and certify a private job whose charge is one unit an order; owner and
    scientist play together."""
    workshop = workshop_of(
        lab.party("private owner"),
        lab.party("private scientist"),
        lab.table,
        privacy=PrivacyOffer(3.5, DELTA),
        transform="ranges",
        ranges=RANGES,
        classes=("ill", "well"),
    )
    made = request.terms_of
    with (
        patch.object(request, "terms_of", lambda *given: replace(made(*given), charge=LEAST_CHARGE)),
        patch.object(request, "_require_fitting", pod_rules.unchecked),
        patch.object(pod_rules.OWNER_EXAMINES, "check_terms", pod_rules.unchecked),
        patch.object(claims, "check_recipe", pod_rules.unchecked),
        owner_runs(workshop.owner),
        scientist_runs(workshop.scientist),
    ):
        id = workshop.request(recipe_overrides=PRIVATE_JOB)
        workshop.until_state(id, State.SETTLED)
        workshop.until(workshop.scientist.has(id, "received"))
    folder = workshop.scientist.home.job_folder(id)
    try:
        verify(folder.model, folder.certificate, connect(lab.net.settings(lab.home())))
    except FitchainError as error:
        return Caught(VERIFIER, f"charge: exit {error.exit_code}", error.message)
    return Caught("nobody", "nowhere", "it holds")


def in_segments(by: str, faked: tuple[int, ...], says: str) -> Caught:
    """Caught in segments, where all are audited."""
    return Caught(by, named(faked), says, faked)


PRIVATE_ATTACKS = (
    Attack(
        "less noise than is charged",
        "half of the agreed sigma in one segment",
        in_segments(REPLAY, (2,), "Mismatch: model root"),
        trained_by("weaker noise"),
        pod_rules.REPLAY,
        "Match",
    ),
    Attack(
        "no noise",
        "one segment in which nothing is added",
        in_segments(REPLAY, (2,), "Mismatch: model root"),
        trained_by("no noise"),
        pod_rules.REPLAY,
        "Match",
    ),
    Attack(
        "a wider clip",
        "gradients clipped to 64 times as much in one segment",
        in_segments(REPLAY, (2,), "Mismatch: model root"),
        trained_by("a wider clip"),
        pod_rules.REPLAY,
        "Match",
    ),
    Attack(
        "noise of another key",
        "noise of the owner's choice in one segment, beside the records that were drawn",
        in_segments(REPLAY, (2,), "Mismatch: model root"),
        trained_by("noise of another key"),
        pod_rules.REPLAY,
        "Match",
    ),
    Attack(
        "noise in another order",
        "the noise of neighbouring steps exchanged in one segment",
        in_segments(REPLAY, (2,), "Mismatch: model root"),
        trained_by("noise in another order"),
        pod_rules.REPLAY,
        "Match",
    ),
    Attack(
        "records left out of a private step",
        "half of the drawn records trained on in one segment, and all of them named",
        in_segments(REPLAY, (2,), "Mismatch: model root"),
        trained_by("chosen records denied"),
        pod_rules.REPLAY,
        "Match",
    ),
    Attack(
        "records chosen for a private step",
        "the same, and those named that were trained on",
        in_segments(CHECKS, (2,), "Mismatch: leaf 3 is of records with the digest"),
        trained_by("chosen records"),
        pod_rules.SECRET_ORDER,
        "Match",
    ),
    Attack(
        "a key of the owner's choice, denied",
        "sampling and noise of one segment by another key, and the committed one shown",
        in_segments(CHECKS, (2,), "Mismatch: leaf 3 is of records with the digest"),
        trained_by("another key"),
        pod_rules.SECRET_ORDER,
        "Match",
    ),
    Attack(
        "a key that was not committed to",
        "the same, and that other key shown, on the path of the committed one",
        in_segments(CHECKS, (2,), "Mismatch: the noise key of segment 2 leads to the root"),
        trained_by("another key", shows_its_key),
        pod_rules.NOISE_KEY,
        "Match",
    ),
    Attack(
        "a charge below the cost",
        "terms that charge a privacy ledger less than the recipe costs, before verifiers",
        Caught(CHECKS, WHOLE, "Mismatch: the privacy ledger was charged"),
        understated,
        pod_rules.CHARGE,
        "Match",
    ),
    Attack(
        "losses told beside the noise",
        "a leaf that tells the loss of its private segment",
        Caught(CHECKS, WHOLE, "Mismatch: leaf 3 has the metrics"),
        losses_beside,
        pod_rules.NO_METRICS,
        "Match",
    ),
    Attack(
        "losses asked for beside the noise",
        "a recipe of private training with metrics",
        Caught(RECIPE_READ, "parse", "the recipe: metrics of a segment are exact numbers of its records"),
        losses_asked_for,
        pod_rules.METRICS_ASKED,
        "it is taken",
    ),
    Attack(
        "results after each segment asked for beside the noise",
        "a recipe of private training that evaluates each checkpoint, to have the best of them",
        Caught(RECIPE_READ, "parse", "beside terms of privacy the model is evaluated once, after the last step"),
        evaluations_asked_for,
        pod_rules.EVALUATED_ONCE,
        "it is taken",
    ),
)

PRIVATE_POD_ATTACKS = (
    Attack(
        "a certificate of a charge below the cost",
        "a private job accepted, trained and certified for one unit of its ledger, by both parties",
        Caught(VERIFIER, "charge: exit 1", "the charge to the privacy ledger: the agreement says"),
        certified_below_cost,
        pod_rules.CERTIFIED_CHARGE,
        "it holds",
    ),
)
