"""Cheating owners against a verifier who examines: each cheat is consistent in itself, and is
played through sealed evidence."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from fitchain.pod.jobs.bases import Bases
from fitchain.pod.jobs.exchange import send_folder
from fitchain.pod.jobs.worker import run_worker
from fitchain.pod.parties.verifier import Examination, examine
from fitchain.pod.ports.sealed import new_identity
from fitchain.pod.proof.audit.checking import Problem
from fitchain.pod.proof.audit.vote import Outcome
from fitchain.pod.values.delta import ModelFile, inventory_of
from fitchain.pod.values.digest import sha256
from fitchain.pod.values.ids import ModelId
from fitchain.pod.values.job_folder import BASE, DELIVERY_FILES, INITIAL
from fitchain.pod.values.state import read_safetensors, write_safetensors
from tests.attacks import cheats
from tests.attacks.attack_lab import AttackLab, Caught
from tests.attacks.detection import missed_segments
from tests.audits import VERIFIER_SECRET, Case, trained
from tests.training_jobs import exported, table

Play = Callable[[AttackLab], Caught]

OPENING, CHECKS, DELIVERY, REPLAY = "opening", "checks of the evidence", "check of the delivery", "replay"
REFERENCE = "the drawn reference training"
FOUND, MISSED = sha256(b"found"), sha256(b"missed")
"""Segment seeds that draw the reference trainings 24 and 25."""
WHOLE = "the whole"
"""Where something is caught that concerns no segment alone."""


def caught(examination: Examination) -> Caught:
    """What an examination says of a cheat."""
    if examination.outcome == Outcome.MATCH:
        return Caught("nobody", "nowhere", "Match")
    first = examination.problems[0]
    says = f"{examination.outcome.name.title()}: {first.what}"
    if examination.outcome == Outcome.WITHHELD:
        return Caught(OPENING, WHOLE, says)
    replayed = [Problem(each.index, each.difference) for each in examination.audited if not each.equal]
    by = REPLAY if first in replayed else DELIVERY if first.what.startswith("the delivered model") else CHECKS
    segments = tuple(sorted(problem.segment for problem in examination.problems if problem.segment is not None))
    if first.segment is None:
        return Caught(by, WHOLE, says)
    return Caught(by, named(segments), says, segments)


def named(segments: tuple[int, ...]) -> str:
    """Segments in words: `segments 2, 3`."""
    return f"segment{'s' * (len(segments) > 1)} {', '.join(map(str, segments))}"


# Cheats of the training


def of_the_job(cheat: Callable[[Path], object]) -> Play:
    """A cheat of the job's folder."""

    def play(lab: AttackLab) -> Caught:
        case = lab.copy()
        cheat(case.folder)
        return caught(lab.examine(case))

    return play


def of_held_out(cheat: Callable[..., object], **terms: str) -> Play:
    """A cheat of a job that holds records out; it trains by whatever trains in this lab."""

    def play(lab: AttackLab) -> Caught:
        place, given = lab.place / f"held-out-{os.urandom(4).hex()}", dict[str, Any](terms)
        case = trained(place, lab.store, lab.work, held_out=0.2, **given)
        cheat(case.folder)
        return caught(lab.examine(case))

    return play


def best_leaf_invented(lab: AttackLab) -> Caught:
    """Invent the result of an inner leaf, and deliver its model as the best: the segment that ends
    in the delivered leaf is always audited, whatever is drawn."""
    cheat = partial(cheats.invented_best, index=3)
    return replace(of_held_out(cheat, evaluate="segment", best="accuracy")(lab), faked=None)


def of_a_report(cheat: Callable[[Case], Case]) -> Play:
    """A cheat with the risk report of a job."""

    def play(lab: AttackLab) -> Caught:
        case = trained(lab.place / f"report-{os.urandom(4).hex()}", lab.store, lab.work, held_out=0.2)
        fake = cheat(replace(case, do=run_worker if lab.processes else None).assessed())
        return caught(lab.examine(fake, segment_seed=FOUND))

    return play


def report_of_another_model(case: Case) -> Case:
    """Attack the initial model, which gives nobody away, and bind what that finds."""
    final = case.folder / "run/final.safetensors"
    trained_model = final.read_bytes()
    shutil.copyfile(case.folder / "initial.safetensors", final)
    mild = case.assessed()
    final.write_bytes(trained_model)
    return mild


def untrained_references(case: Case) -> Case:
    """Never train every second reference model."""
    assert case.report is not None
    return case.bound(
        case.report, {number: case.untrained(number) for number in range(0, len(case.report.references), 2)}
    )


def untrained_and_drawn(lab: AttackLab) -> Caught:
    """Such reference models, one of which is drawn; where none is, nobody sees it."""
    case = trained(lab.place / f"report-{os.urandom(4).hex()}", lab.store, lab.work, held_out=0.2)
    fake = untrained_references(replace(case, do=run_worker if lab.processes else None).assessed())
    assert lab.examine(fake, segment_seed=MISSED).outcome == Outcome.MATCH, "the draw that the owner hopes for"
    found = lab.examine(fake, segment_seed=FOUND)
    (problem,) = found.problems
    return Caught(REPLAY, REFERENCE, f"{found.outcome.name.title()}: {problem.what}")


def retrained(cheat: Callable[..., object], **how: object) -> Play:
    """A cheat that trains again, by whatever trains in this lab."""
    return lambda lab: of_the_job(lambda folder: cheat(folder, work=lab.work, **how))(lab)


other_data = retrained(cheats.other_data, records=table(change=("a", 3, 0.125)))


def top_segments(lab: AttackLab) -> Caught:
    """Spoil the leaf between the inner segments 2 and 3, and leave the segments honest that the
    owner would like to show."""
    case = lab.copy()
    cheats.tampered_state(case.folder, 3)
    shown, seed = {1, 4}, missed_segments(6, 2, {1, 4})
    hidden = lab.examine(case, drawn_segments=2, segment_seed=seed)
    assert hidden.outcome == Outcome.MATCH, "the draw that the owner hopes for"
    assert {each.index for each in hidden.audited} == shown | {0, 5}
    return caught(lab.examine(case))


def false_end(lab: AttackLab) -> Caught:
    """Stop half way and say that the training diverged: the segment after the last leaf is always
    audited, whatever is drawn."""
    return replace(of_the_job(partial(cheats.stopped_early, index=3))(lab), step="the last segment", faked=None)


def another_job(lab: AttackLab) -> Caught:
    """Let the chain know the job under another context than its leaves were made for."""
    return caught(lab.examine(lab.copy(), ctx=sha256(b"another job")))


def explosion(lab: AttackLab) -> Caught:
    """Ask for a training that leaves the finite numbers; its owner ends it there, and the audit
    finds that it does diverge."""
    exploding = {"name": "SGD", "arguments": {"weight_decay": 1e6}}
    rates = [[9, 1e-9], [13, 1e6]]
    place = lab.place / f"exploding-{os.urandom(2).hex()}"
    case = trained(place, lab.store, lab.work, optimizer=exploding, learning_rates=rates)
    facts = case.facts(None)
    assert facts.diverged, "it did not explode"
    found = lab.examine(case)
    assert [each.index for each in found.audited] == [*range(facts.count)]
    return Caught(REPLAY, "the last segment", f"{found.outcome.name.title()}: it diverges")


# Cheats of the evidence and the delivery


def of_the_evidence(cheat: Callable[[Path], object]) -> Play:
    """A cheat of plain evidence, before it is sealed."""
    return lambda lab: caught(lab.examine(lab.honest, tamper=cheat))


def over_a_base(lab: AttackLab) -> tuple[Case, Bases]:
    """An honest job whose initial model is a delta over a base, and who keeps that."""
    weights = exported()[1]
    bases = Bases(lab.place / f"bases-{os.urandom(4).hex()}", lab.store)
    held = {f"base.{name}": weights[name] for name in ("first.weight", "last.weight")}
    root = bases.keep(held)
    source = bases.publish(root, ModelId(sha256(b"base")), is_public=True)

    def work(folder: Path) -> None:
        replace(ModelFile.over(weights, inventory_of(held)), metadata=source.metadata).write(folder / INITIAL)
        os.link(bases.path(root), folder / BASE)
        lab.work(folder)

    place = lab.place / f"over-a-base-{os.urandom(4).hex()}"
    return trained(place, lab.store, work, base=str(root)), bases


def _over(metadata: Mapping[str, str]) -> Callable[[Path], object]:
    """Let the initial model in evidence say this of its base's place."""

    def tamper(place: Path) -> None:
        file = ModelFile.read(place / INITIAL)
        (place / INITIAL).unlink()
        replace(file, metadata=metadata).write(place / INITIAL)

    return tamper


def another_base(lab: AttackLab) -> Caught:
    """Name a place of the base where another model lies."""
    case, bases = over_a_base(lab)
    assert lab.examine(case).outcome == Outcome.MATCH, "an honest job over a base"
    other = bases.publish(bases.keep({"x": exported()[1]["first.weight"]}), ModelId(sha256(b"other")), is_public=True)
    return caught(lab.examine(case, tamper=_over(replace(other, root=case.recipe.base or other.root).metadata)))


def base_nowhere(lab: AttackLab) -> Caught:
    """Name no place of the base."""
    return caught(lab.examine(over_a_base(lab)[0], tamper=_over({})))


def sealed_to_others(lab: AttackLab) -> Caught:
    """Seal the evidence to somebody who was not drawn."""
    case = lab.honest
    facts = case.facts(case.deliver())
    place, names = case.plain(facts)
    cid = send_folder(lab.store, place, names, [new_identity()[1]])
    return caught(examine(lab.store, cid, VERIFIER_SECRET, facts, lab.place / f"opened-{os.urandom(4).hex()}"))


def garbage(lab: AttackLab) -> Caught:
    """Train honestly, and deliver bytes that no identity opens."""
    place = lab.place / f"garbage-{os.urandom(4).hex()}"
    place.mkdir()
    for name in DELIVERY_FILES:
        (place / f"{name}.age").write_bytes(b"garbage" * 100)
    return caught(lab.examine(lab.honest, lab.store.add_folder(place)))


def other_model(lab: AttackLab) -> Caught:
    """Train honestly, and deliver weights drawn at random."""
    dice = np.random.default_rng(3)
    draw = cheats.only("weight", lambda weight: dice.normal(size=weight.shape).astype("f4"))

    def exchange(place: Path) -> None:
        tensors, _ = read_safetensors(lab.honest.folder / "run/final.safetensors")
        (place / DELIVERY_FILES[0]).unlink()
        write_safetensors(place / DELIVERY_FILES[0], cheats.changed(tensors, draw))

    return caught(lab.examine(lab.honest, lab.honest.deliver(exchange)))


def left_out(name: str) -> Callable[[Path], object]:
    """Leave a file of the evidence away."""
    return lambda place: (place / name).unlink()
