"""Attacks on a trained model: was it trained on a record? (torch)

Reference models are trained by the same loop in the same environment class, from seeds that follow
from the order seed (`dataset.references`), so whoever has the records comes to the same report.
Each record was seen by half of them. What a record looks like to those that saw it, and to those
that did not, says what the attacked model saw.

Sources: Carlini et al., Membership Inference Attacks From First Principles (2022), section 5 and,
for the variances of few models, appendix: one for all records; Zarifzadeh et al., Low-Cost
High-Power Membership Inference Attacks (2024), section 3.

Legend: N attacked records, R reference models, B batch, K classes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from fitchain.pod.compute.checkpoint.recorder import refuse_not_finite
from fitchain.pod.compute.dataset import Assemble, drawn_batches
from fitchain.pod.compute.dataset.order import Indices
from fitchain.pod.compute.dataset.references import ReferenceTraining, reference_count
from fitchain.pod.compute.environment import EnvironmentClass
from fitchain.pod.compute.losses import any_counts, counted, fit, hits_of, loss_function
from fitchain.pod.compute.model import step_work
from fitchain.pod.compute.model.program import Program
from fitchain.pod.compute.private_training import FAILURES, refuse_lack_of_memory, train_privately
from fitchain.pod.compute.references import ReferenceRun
from fitchain.pod.compute.training import Diverged, as_tensors, fresh_optimizer
from fitchain.pod.values.counting import ignored_label, ignored_number
from fitchain.pod.values.digest import ZERO, Digest, Root
from fitchain.pod.values.errors import InputRefused
from fitchain.pod.values.graph import Graph
from fitchain.pod.values.privacy.keys import segment_key
from fitchain.pod.values.privacy.ledger import epsilon_of
from fitchain.pod.values.recipe import Recipe
from fitchain.pod.values.recipe.terms import CLASSIFICATION, OF_HITS, OF_TRUTHS, Choice
from fitchain.pod.values.risk import Attack, Details, Quality, RiskReport, Seeds, Summary, Worst, rates_of, roc_of
from fitchain.pod.values.risk.attack import Scores, area_under
from fitchain.pod.values.risk.references import ReferenceLeaf, leaf_digests, training_root
from fitchain.pod.values.risk.report import IGNORED, MOST_EXPOSED, MOST_WORST, NOT_TRIED
from fitchain.pod.values.state import Tensors, model_root
from fitchain.pod.values.work import StepWork

FEWEST_FOR_LIRA = 8
"""Of fewer models, a variance over models says little."""
EVALUATED_AT_ONCE = 256
MOST_CONFIDENCE = 1e4
"""A signal is cut to this; what is no number counts as the lowest."""
LEAST_VARIANCE = 1e-9

Row = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Subject:
    """The run whose model is attacked.

    Args:
        graph, recipe, environment: as it was trained.
        initial: reads its initial tensors.
        model: its trained tensors.
        assemble: record indices to inputs and target.
        ctx, seed: context and order seed.
        members: `[n]`, the rows with the records that it was trained on, rising.
        non_members: those that were held out, rising; none where none was.
        salt: of the report's digest.
        delta: the dataset's, where the training was private.
        opens: whether one of the reference trainings may be opened in an audit, so that the
            report's digest has to bind their states; never where the training was private.
    """

    graph: Graph
    recipe: Recipe
    environment: EnvironmentClass
    initial: Callable[[], Tensors]
    model: Tensors
    assemble: Assemble
    ctx: Digest
    seed: Digest
    members: Indices
    non_members: Indices
    salt: Digest
    delta: float | None = None
    opens: bool = False

    @property
    def usable(self) -> Indices:
        """All rows with records, rising."""
        return np.sort(np.concatenate([self.members, self.non_members]))


@dataclass(frozen=True)
class Answers:
    """What a model makes of each record.

    Args:
        confidence: `[N]`, the logit of its label's probability, or the negative loss.
        losses: `[N]`, the recipe's.
        hits: `[N]`, the share of its target that the model gets right; None where that has no
            meaning.
    """

    confidence: Row
    losses: Row
    hits: Row | None

    def quality(self, places: npt.NDArray[np.intp]) -> Quality:
        """How well the model does on some of the records."""
        count = len(places)
        hits = None if self.hits is None else math.fsum(self.hits[places]) / count
        return Quality(count, math.fsum(self.losses[places]) / count, hits)


@dataclass(frozen=True)
class Reference:
    """A reference model.

    Args:
        saw: `[N]`, which records it was trained on.
        answers: what it makes of all.
    """

    saw: npt.NDArray[np.bool_]
    answers: Answers


def assess(subject: Subject, tick: Callable[[int, int], object] = lambda done, of: None) -> RiskReport:
    """Attack a trained model, and report what that finds.

    Args:
        subject: the run.
        tick: told of reference models trained, and of how many.

    Returns:
        The report: a function of the subject alone.

    Raises:
        InputRefused: the model is not of the graph, or no record that it was trained on counts.
        Unusable: memory ran out.
    """
    ignored, attacked = ignored_label(subject.recipe), _that_count(subject)
    is_member = np.isin(attacked, subject.members)
    if not is_member.any():
        raise InputRefused(f"nothing can be attacked: all that the model was trained on is of {ignored}")
    own = _answers(subject, Program(subject.graph, subject.model, subject.environment), attacked)
    wanted = reference_count(_step_work(subject), subject.recipe)
    references, roots, ended = list[Reference](), list[Digest](), 0
    for number in range(wanted):
        tick(number, wanted)
        reference, root = _reference(subject, attacked, number)
        roots.append(root)
        ended += reference is None
        references += [] if reference is None else [reference]
    tick(wanted, wanted)
    attack = _attack_of(wanted, references, is_member)
    scores = _scores(attack, own, references)
    members, others = scores[is_member], scores[~is_member]
    tells = attack is not Attack.NONE
    summary = Summary(
        model=Root(model_root(subject.model)),
        attack=attack,
        references=len(references),
        members=len(members),
        non_members=len(others),
        rates=rates_of(members, others) if tells else (),
        auc=area_under(members, others) if tells else None,
    )
    exposed = _exposed(scores, is_member) if tells else np.empty(0, np.intp)
    asked = np.flatnonzero(~is_member) if len(others) else np.arange(len(attacked))
    is_private = subject.recipe.privacy is not None and subject.delta is not None
    details = Details(
        ctx=subject.ctx,
        seed=subject.seed,
        recipe=subject.recipe.digest,
        reference_units=subject.recipe.unit_count // 2,
        references_ended=ended,
        training=own.quality(np.flatnonzero(is_member)),
        held_out=own.quality(np.flatnonzero(~is_member)) if len(others) else None,
        seeds=Seeds(_figures(references, asked), bool(len(others))),
        epsilon=epsilon_of(subject.recipe.charge, subject.delta or 0.0) if is_private else None,
        delta=subject.delta if is_private else None,
        roc=roc_of(members, others) if tells else (),
        exposed_count=len(exposed),
        exposed=tuple(sorted(attacked[exposed[:MOST_EXPOSED]].tolist())),
        worst=tuple(_worst(int(attacked[index]), index, scores, own, references) for index in exposed[:MOST_WORST]),
        not_tried=(*NOT_TRIED, *([IGNORED.format(ignored)] if ignored else [])),
    )
    return RiskReport(summary, details, subject.salt, tuple(roots) if subject.opens else ())


def _step_work(subject: Subject) -> StepWork:
    batch = subject.recipe.batch_size if subject.recipe.privacy is None else 1
    return step_work(subject.graph, batch, micro_batch=subject.recipe.micro_batch)


def _that_count(subject: Subject) -> Indices:
    """The rows of which any target counts, rising: what a model says of a class that its loss
    ignores tells nothing of whether it saw the record."""
    usable, recipe = subject.usable, subject.recipe
    if ignored_number(recipe) is None:
        return usable
    batches = (usable[first : first + recipe.at_once] for first in range(0, len(usable), recipe.at_once))
    targets = (torch.from_numpy(subject.assemble(batch)[1]) for batch in batches)
    counts: Indices = usable[np.concatenate([any_counts(target_B, recipe.loss).numpy() for target_B in targets])]
    return counts


# Reference models


def _reference(subject: Subject, attacked: Indices, number: int) -> tuple[Reference | None, Digest]:
    """Train a reference model, and run it over the rows that are attacked.

    Returns:
        The model, None where its training ends before its last step; and the training's root, zero
        where none is to be opened.
    """
    training, leaves = ReferenceTraining.of(subject.recipe, subject.seed, number), list[ReferenceLeaf]()
    program, ended = Program(subject.graph, subject.initial(), subject.environment), False
    try:
        if subject.opens:
            for leaf in ReferenceRun(training, program, subject.assemble).leaves():
                leaves.append(leaf)  # those before its end count, too
        else:
            for _ in _steps(subject, training, program, np.isin(training.rows, subject.usable)):
                pass
        refuse_not_finite(program.tensors(), training.recipe.steps)
    except Diverged:
        ended = True
    root = training_root(leaf_digests(leaves, number, subject.salt)) if subject.opens else ZERO
    if ended:
        return None, root
    low, size = np.uint64(subject.recipe.rows[0]), np.uint64(subject.recipe.unit_records)
    saw = training.saw[((attacked - low) // size).astype(np.intp)]
    return Reference(saw, _answers(subject, program, attacked)), root


def _steps(
    subject: Subject, training: ReferenceTraining, program: Program, is_filled: npt.NDArray[np.bool_]
) -> Iterator[object]:
    """Train on a half of the rows, of which some may be slots of a unit that no record fills."""
    recipe, seed = training.recipe, training.seed

    def take(places: Indices) -> tuple[tuple[np.ndarray, ...], np.ndarray]:
        return subject.assemble(training.taken(places))

    def filled(places: Indices) -> Indices:
        return places[is_filled[places.astype(np.intp)]]

    def key(segment: int) -> bytes:
        return segment_key(seed.value, segment)

    if recipe.privacy is None:
        return ReferenceRun(training, program, subject.assemble).steps()
    drawn, optimizer = drawn_batches(recipe, seed, key), fresh_optimizer(program, recipe)
    return train_privately(program, recipe, drawn, take, seed, 0, optimizer, key, filled)


def _answers(subject: Subject, program: Program, rows: Indices) -> Answers:
    """Run a model over records in its evaluation form, as many at a time as it was trained on:
    where a graph takes no more, that is no reason to be without a report."""
    size = 1 if subject.recipe.privacy is not None else min(EVALUATED_AT_ONCE, subject.recipe.at_once)
    parts = [
        part for first in range(0, len(rows), size) for part in _each(subject, program, rows[first : first + size])
    ]
    hits = [part.hits for part in parts if part.hits is not None]
    return Answers(
        np.concatenate([part.confidence for part in parts]),
        np.concatenate([part.losses for part in parts]),
        np.concatenate(hits) if hits else None,
    )


def _each(subject: Subject, program: Program, rows: Indices) -> list[Answers]:
    """What a model makes of records: together, or one by one where that fails; of a record of which
    it makes nothing, as little as there is.

    Raises:
        Unusable: memory ran out.
    """
    try:
        return [_together(subject, program, rows)]
    except FAILURES as error:
        refuse_lack_of_memory(error)
    if len(rows) > 1:
        return [part for row in rows for part in _each(subject, program, np.array([row]))]
    least = np.array([-MOST_CONFIDENCE])
    return [Answers(least, -least, np.zeros(1) if subject.recipe.loss.name in OF_HITS else None)]


def _together(subject: Subject, program: Program, rows: Indices) -> Answers:
    choice = subject.recipe.loss
    compute_loss = loss_function(Choice(choice.name, {**choice.arguments, "reduction": "none"}))
    inputs, target_B = as_tensors(*subject.assemble(rows))
    with torch.no_grad():
        prediction_BK = fit(program(*inputs, training=False), target_B, choice).double()
        target_B = target_B.double() if target_B.is_floating_point() else target_B
        counted_B = counted(target_B, choice)
        loss_B = _a_record(compute_loss(prediction_BK, target_B), counted_B)
        return Answers(
            _finite(confidence(prediction_BK, target_B, choice, loss_B)),
            _finite(loss_B, MOST_CONFIDENCE),
            _a_record(hits_of(prediction_BK, target_B, choice).double(), counted_B).numpy()
            if subject.recipe.loss.name in OF_HITS
            else None,
        )


def confidence(prediction_BK: Tensor, target_B: Tensor, loss: Choice, loss_B: Tensor) -> Tensor:
    """How sure a model is of each record's target, on a scale on which that is about normal.

    Args:
        prediction_BK: the model's output, in doubles.
        target_B: what it should be.
        loss: the recipe's.
        loss_B: of each record.

    Returns:
        `[B]`: the logit of the label's probability, mean over a record's labels that count (0 of
        one that has none); for regressions the negative loss.
    """
    counted_B = counted(target_B, loss)
    if loss.name in CLASSIFICATION:
        logits = prediction_BK if loss.name == "nll_loss" else torch.log_softmax(prediction_BK, 1)
        label = target_B.masked_fill(~counted_B, 0).unsqueeze(1)
        own = logits.gather(1, label).squeeze(1)
        rest = torch.logsumexp(logits.scatter(1, label, -math.inf), 1)
        return _a_record(own - rest, counted_B)
    if loss.name in OF_TRUTHS:
        return _a_record(prediction_BK * (2 * target_B - 1), counted_B)
    return -loss_B


def _a_record(values_B: Tensor, counted_B: Tensor) -> Tensor:
    """The mean over what a record has several of and counts; 0 where it has none."""
    if values_B.dim() < counted_B.dim():  # a loss of whole records
        return values_B
    if values_B.dim() == 1:
        return values_B.where(counted_B, 0.0)
    counted_BN = counted_B.flatten(1)
    if counted_BN.all():
        return values_B.flatten(1).mean(1)
    return values_B.flatten(1).where(counted_BN, 0.0).sum(1) / counted_BN.sum(1).clamp_min(1)


def _finite(values_B: Tensor, nan: float = -MOST_CONFIDENCE) -> Row:
    row: Row = np.clip(np.nan_to_num(values_B.numpy(), nan=nan), -MOST_CONFIDENCE, MOST_CONFIDENCE)
    return row


# Scores


def _attack_of(wanted: int, references: list[Reference], is_member: npt.NDArray[np.bool_]) -> Attack:
    if not references or is_member.all() or not is_member.any():
        return Attack.NONE
    return Attack.LIRA if wanted >= FEWEST_FOR_LIRA else Attack.RMIA


def _scores(attack: Attack, own: Answers, references: list[Reference]) -> Scores:
    if attack is Attack.LIRA:
        return lira(own.confidence, np.stack([each.answers.confidence for each in references]), _saw(references))
    if attack is Attack.RMIA:
        return rmia(-own.losses, np.stack([-each.answers.losses for each in references]))
    return np.zeros(len(own.losses))


def _saw(references: list[Reference]) -> npt.NDArray[np.bool_]:
    return np.stack([each.saw for each in references])


def lira(own_N: Row, references_RN: npt.NDArray[np.float64], saw_RN: npt.NDArray[np.bool_]) -> Scores:
    """The log of how much likelier the model's confidence is among reference models that saw a
    record than among those that did not; both taken as normal, each record with its own means and
    all with common variances.

    Args:
        own_N: the attacked model's confidences.
        references_RN: those of the reference models.
        saw_RN: which of them saw which record.

    Returns:
        `[N]`; 0 of a record that all have seen, or none.
    """
    both = [_means(references_RN, mask) for mask in (saw_RN, ~saw_RN)]
    (means_in, variance_in), (means_out, variance_out) = both
    log_ratio = (math.log(variance_out) - math.log(variance_in)) / 2
    scores = [
        log_ratio - (x - mean_in) ** 2 / (2 * variance_in) + (x - mean_out) ** 2 / (2 * variance_out)
        for x, mean_in, mean_out in zip(own_N.tolist(), means_in, means_out, strict=True)
    ]
    return np.array([0.0 if math.isnan(score) else score for score in scores])


def rmia(own_N: Row, references_RN: npt.NDArray[np.float64]) -> Scores:
    """The log of how much likelier the model makes a record than the reference models do on
    average, half of which saw it.

    The paper's score, the share of other records z over whose ratio that of x is gamma times as
    high, rises with this ratio and with nothing else, so every threshold on the one is a threshold
    on the other.

    Args:
        own_N: log likelihoods of the attacked model.
        references_RN: those of the reference models.

    Returns:
        `[N]`.
    """
    scores = []
    for x, column in zip(own_N.tolist(), references_RN.T.tolist(), strict=True):
        most = max(column)
        scores.append(x - most - math.log(math.fsum(math.exp(each - most) for each in column) / len(column)))
    return np.array(scores)


def _means(values_RN: npt.NDArray[np.float64], mask_RN: npt.NDArray[np.bool_]) -> tuple[list[float], float]:
    """The mean of each column's values under a mask, NaN without any, and one variance about them
    all. Sums are exact, so that they are the same in any order and on any processor."""
    means, squares, freedom = [], [], 0
    for column, mask in zip(values_RN.T, mask_RN.T, strict=True):
        values = column[mask].tolist()
        mean = math.fsum(values) / len(values) if values else math.nan
        means.append(mean)
        squares += [(value - mean) ** 2 for value in values]
        freedom += max(len(values) - 1, 0)
    return means, max(math.fsum(squares) / max(freedom, 1), LEAST_VARIANCE)


# What is told


def _exposed(scores: Scores, is_member: npt.NDArray[np.bool_]) -> npt.NDArray[np.intp]:
    """Places of the members above every non-member, the highest score first."""
    places = np.flatnonzero(is_member & (scores > scores[~is_member].max()))
    ordered: npt.NDArray[np.intp] = places[np.argsort(-scores[places], kind="stable")]
    return ordered


def _worst(row: int, index: int, scores: Scores, own: Answers, references: list[Reference]) -> Worst:
    def mean(has_seen: bool) -> float:
        values = [each.answers.confidence[index] for each in references if bool(each.saw[index]) is has_seen]
        return math.fsum(values) / len(values) if values else 0.0

    return Worst(row, float(scores[index]), float(own.confidence[index]), without=mean(False), with_=mean(True))


def _figures(references: list[Reference], asked: npt.NDArray[np.intp]) -> tuple[float, ...]:
    """What each reference model reaches on those of some records that it did not see, rising."""
    unseen = [(each, asked[~each.saw[asked]]) for each in references]
    return tuple(sorted(each.answers.quality(places).figure for each, places in unseen if len(places)))
