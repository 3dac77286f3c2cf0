"""The recipe: parsed once into a value that cannot be wrong, and encoded canonically.

Everything that decides a training's outcome stands here or is named here by a digest: the graph,
the initial model, the records and their transform with its constants, loss, optimizer, the learning
rate of every step, batch size, steps, and the environment class. Two recipes that differ anywhere
have different digests.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property, partial
from itertools import accumulate, pairwise
from types import MappingProxyType
from typing import Any

from fitchain.pod.values.audit_mode import AuditMode
from fitchain.pod.values.digest import Digest, Json, Root, canonical_json, parse_json, sha256
from fitchain.pod.values.errors import InputRefused
from fitchain.pod.values.ids import AgreementId, PanelId
from fitchain.pod.values.limits import MOST_COLUMNS, RECIPE
from fitchain.pod.values.privacy import ledger
from fitchain.pod.values.privacy.accountant import renyi
from fitchain.pod.values.privacy.release import release_sigma, renyi_of_release
from fitchain.pod.values.recipe.fields import Fields, choice, flag, integer, items, real, refuse_unknown, text
from fitchain.pod.values.recipe.privacy import Privacy, sampling_rate
from fitchain.pod.values.recipe.schedule import Runs
from fitchain.pod.values.recipe.subgroups import Subgroups, parse_subgroups, subgroups_json

VERSION = "fitchain/recipe/v2"
ENVIRONMENT_VERSION = "fitchain/environment/v2"
RECIPE_BYTES = RECIPE.text_bytes
MOST_STEPS = (1 << 32) - 1
MOST_ROWS = 1 << 48
MOST_BATCH = 1 << 20
MOST_ARGUMENTS = 16
MOST_CATEGORIES = 10_000
NAME_LENGTH = 200
METRICS = ("loss", "accuracy", "top5", "f1", "mae")
MOST_HELD_OUT = 0.5
"""The largest share of the rows that may be held out."""
HELD_OUT_STEPS, HELD_OUT_STEPS_EACH = 3, 1
"""Of held-out records at most so many times those are evaluated that a segment's steps take: a
forward pass is about a third of a step, so an audit, whose time follows from its segments, takes
one more; where the model is evaluated at the end of each segment, a third longer."""
END, SEGMENT = "end", "segment"
"""When a model is evaluated on the held-out records: after the last step, or after each segment."""
MOST_EVALUATIONS = 1024
"""Of a model that is evaluated after each segment: a certificate opens all of them."""
CLASSIFICATION = ("cross_entropy", "nll_loss", "focal_loss")
"""Losses whose targets are class indices (int64); those of the others are float32."""
BINARY, DICE = "binary_cross_entropy_with_logits", "dice_loss"
OF_TRUTHS = (BINARY, DICE)
"""Losses of outputs that each tell one of two classes, by the sign of a logit."""
OF_CLASSES = (*CLASSIFICATION, *OF_TRUTHS)
"""Losses whose targets are of classes."""
CTC = "ctc_loss"
"""The loss of sequences that are not laid beside the outputs: int64, filled up with blanks."""
OF_HITS = (*OF_CLASSES, CTC)
"""Losses of whose predictions each hits or misses."""
POISSON, KL = "poisson_nll_loss", "kl_div"
AS_THEY_ARE = (POISSON, KL)
"""Losses of counts and of shares, whose targets no constants may move."""
AMONG = 5
"""A class is looked for among so many that a model holds likeliest: `top5`."""
MOST_CONFUSED = 32
"""Classes up to which a result counts which class was taken for which, from which f1 follows."""
FIGURES_OF_CLASSES, FIGURES_OF_AMOUNTS = ("loss", "accuracy", "top5", "f1", "auc"), ("loss", "mae", "r2")
FIGURES_OF_SEQUENCES = ("loss", "accuracy")
"""Figures of a result on held-out records by which the best checkpoint may be chosen: loss and mean
absolute error (MAE) by the lowest, the others by the highest."""


def figures_of(loss: str) -> tuple[str, ...]:
    """The figures of a result where a recipe has a loss."""
    of_others = FIGURES_OF_SEQUENCES if loss == CTC else FIGURES_OF_AMOUNTS
    return FIGURES_OF_CLASSES if loss in OF_CLASSES else of_others


def _reals(what: str, value: Any, count: int, low: float, high: float) -> list[float]:
    return [real(what, number, low, high) for number in items(what, value, count, count)]


CLASS_WEIGHTS = ("weight", "pos_weight")
"""Arguments of losses that are a number for each class, or of a binary loss for each output."""


_A_NUMBER_EACH = "write a number for each class, in the order of the card's categories, such as [1.0, 3.5]"


def _weights(what: str, value: Any) -> list[float]:
    return [real(what, number, 0, 1e30) for number in items(what, value, 1, MOST_CATEGORIES, _A_NUMBER_EACH)]


_REDUCTION = {"reduction": partial(choice, among=("mean", "sum"))}
_WEIGHT = {"weight": _weights}
_OF_CLASSES = {**_REDUCTION, **_WEIGHT, "ignore_index": partial(integer, low=-(1 << 31), high=(1 << 31) - 1)}

LOSSES: Mapping[str, Mapping[str, Any]] = {
    "cross_entropy": {**_OF_CLASSES, "label_smoothing": partial(real, low=0, high=1)},
    "nll_loss": _OF_CLASSES,
    "focal_loss": {**_OF_CLASSES, "focusing": partial(real, low=0, high=100)},
    "mse_loss": _REDUCTION,
    "l1_loss": _REDUCTION,
    "smooth_l1_loss": {**_REDUCTION, "beta": partial(real, low=0, high=1e30)},
    "huber_loss": {**_REDUCTION, "delta": partial(real, low=1e-30, high=1e30)},
    "quantile_loss": {**_REDUCTION, "quantile": partial(real, low=0, high=1)},
    BINARY: {**_REDUCTION, "pos_weight": _weights},
    DICE: {**_REDUCTION, "smooth": partial(real, low=2.0**-20, high=1e6)},
    POISSON: {**_REDUCTION, "log_input": flag, "full": flag},
    KL: {"reduction": partial(choice, among=("batchmean", "mean", "sum")), "log_target": flag},
    CTC: {**_REDUCTION, "blank": partial(integer, low=0, high=MOST_CATEGORIES), "zero_infinity": flag},
}
"""Losses by their name in `torch.nn.functional`, or in `compute.losses`: a reader for each argument
that a recipe may give; what it leaves out has torch's default."""

_WEIGHT_DECAY = {"weight_decay": partial(real, low=0, high=1e6)}
_ADAM = {
    **_WEIGHT_DECAY,
    "betas": partial(_reals, count=2, low=0, high=1 - 2**-53),
    "eps": partial(real, low=0, high=1),
    "amsgrad": flag,
}


def _two_eps(what: str, value: Any) -> list[float | None]:
    """The least variance, which may be torch's, and the least scale of a parameter."""
    first, second = items(what, value, 2, 2)
    return [None if first is None else real(what, first, 0, 1), real(what, second, 0, 1e6)]


MOST_GROUPS, MOST_PATTERN = 16, 200
CLIP_KINDS = ("norm", "value")

OPTIMIZERS: Mapping[str, Mapping[str, Any]] = {
    "SGD": {
        **_WEIGHT_DECAY,
        "momentum": partial(real, low=0, high=1),
        "dampening": partial(real, low=0, high=1),
        "nesterov": flag,
    },
    "Adam": _ADAM,
    "AdamW": _ADAM,
    "RMSprop": {
        **_WEIGHT_DECAY,
        "alpha": partial(real, low=0, high=1 - 2**-53),
        "eps": partial(real, low=0, high=1),
        "momentum": partial(real, low=0, high=1),
        "centered": flag,
    },
    "Adafactor": {
        **_WEIGHT_DECAY,
        "beta2_decay": partial(real, low=-10, high=0),
        "d": partial(real, low=1, high=1e6),
        "eps": _two_eps,
    },
    "Lion": {**_WEIGHT_DECAY, "betas": partial(_reals, count=2, low=0, high=1 - 2**-53)},
    "LAMB": {key: _ADAM[key] for key in ("weight_decay", "betas", "eps")},
}
"""Optimizers by their name in `torch.optim`, in their fused form where they have one, or in
`compute.own_optimizers`; what they compute is among what the probe of a class computes."""


@dataclass(frozen=True)
class Choice:
    """A loss or an optimizer: its name in torch, and its arguments (JSON values)."""

    name: str
    arguments: Mapping[str, Any]

    @classmethod
    def parse(cls, what: str, value: Any, choices: Mapping[str, Mapping[str, Any]]) -> Choice:
        """Read one of the known names with arguments that it knows.

        Raises:
            InputRefused: the name or an argument is unknown, or an argument's value is out of
                bounds.
        """
        fields = Fields(what, value, ("name", "arguments"))
        name = fields.choice("name", choices)
        arguments = Fields(f"{what} {name}", value["arguments"], (), choices[name]).value
        read = {key: choices[name][key](f"{what} {name}: {key}", arguments[key]) for key in arguments}
        return cls(name, MappingProxyType(read))

    @property
    def is_logarithm(self) -> bool:
        """Whether a model puts out logarithms of what the loss compares with the target."""
        if self.name == POISSON:
            return bool(self.arguments.get("log_input", True))
        return self.name == KL and not self.arguments.get("log_target", False)

    def json(self) -> dict[str, Json]:
        """The form that stands in a recipe."""
        return {"name": self.name, "arguments": dict(self.arguments)}


@dataclass(frozen=True, slots=True)
class GradientClip:
    """How far a step's gradients may go.

    Args:
        kind: `norm`: all of them together are scaled to this length, if they are longer; `value`:
            each number is cut to it.
        most: above 0.

    Source: Pascanu, Mikolov & Bengio 2013, arXiv 1211.5063; `torch.nn.utils.clip_grad_norm_`.
    """

    kind: str
    most: float

    @classmethod
    def parse(cls, value: Any) -> GradientClip:
        """Read the form that stands in a recipe.

        Raises:
            InputRefused: it is another, or not above 0.
        """
        fields = Fields("the recipe: gradient_clip", value, ("kind", "most"))
        return cls(fields.choice("kind", CLIP_KINDS), fields.real("most", 2.0**-100, 2.0**100))

    def json(self) -> dict[str, Json]:
        """The form that stands in a recipe."""
        return {"kind": self.kind, "most": self.most}


@dataclass(frozen=True, slots=True)
class ParameterGroup:
    """Parameters that are moved otherwise than the rest.

    Args:
        match: of their names, as a shell would: `head.*`; a parameter is of the first group that
            matches.
        rate: times the learning rate of a step.
        weight_decay: in place of the optimizer's; None leaves it.
    """

    match: str
    rate: float = 1.0
    weight_decay: float | None = None

    @classmethod
    def parse(cls, value: Any) -> ParameterGroup:
        """Read the form that stands in a recipe.

        Raises:
            InputRefused: it is another.
        """
        fields = Fields("the recipe: a parameter group", value, ("match", "rate", "weight_decay"))
        decay = None if value["weight_decay"] is None else fields.real("weight_decay", 0, 1e6)
        return cls(fields.text("match", MOST_PATTERN), fields.real("rate", 0, 1e6), decay)

    def json(self) -> dict[str, Json]:
        """The form that stands in a recipe."""
        return {"match": self.match, "rate": self.rate, "weight_decay": self.weight_decay}


Transform = Mapping[str, Any]
"""A column's constants: `{"mean", "scale"}` (a number x enters as (x - mean) / scale, taken in
float64), `{"low", "high"}` ((x - low) / (high - low)), either with a `fill` in place of what is
missing, or `{"categories"}` (a value enters as its place among them, int64, or as one number for
each of them, of which one is 1)."""


def parse_transform(column: str, value: Any) -> Transform:
    """Read a column's constants.

    Raises:
        InputRefused: they are neither mean and positive scale, nor a range that is not empty, nor
            texts or integers in rising order.
    """
    what = f"the transform of {column!r}"
    if isinstance(value, Mapping) and "categories" in value:
        categories = Fields(what, value, ("categories",)).items("categories", 1, MOST_CATEGORIES)
        if {type(category) for category in categories} not in ({str}, {int}) or categories != sorted(set(categories)):
            raise InputRefused(f"{what}: categories are texts or integers in rising order")
        return MappingProxyType({"categories": categories})
    names = ("low", "high") if isinstance(value, Mapping) and "low" in value else ("mean", "scale")
    has_fill = isinstance(value, Mapping) and "fill" in value
    fields = Fields(what, value, (*names, "fill") if has_fill else names)
    constants = {name: fields.real(name) for name in names}
    if "scale" in constants and constants["scale"] <= 0:
        raise InputRefused(f"{what}: the scale is above 0, not {constants['scale']}")
    if "low" in constants and not constants["low"] < constants["high"]:
        raise InputRefused(f"{what}: the range from {constants['low']} to {constants['high']} is empty")
    return MappingProxyType(constants | ({"fill": fields.real("fill")} if has_fill else {}))


@dataclass(frozen=True, slots=True)
class Environment:
    """What makes replay exact: the class, its thread count, torch's exact build, and the probe a
    host must reproduce.

    Args:
        name: of the class, such as `cpu-x86-64-v3`.
        threads: intra-op threads.
        torch: `torch.__version__`, such as `2.13.0+cpu`.
        probe: digest of the class's probe; None where the class ships it for each build.
    """

    name: str
    threads: int
    torch: str
    probe: Digest | None = None

    @classmethod
    def parse(cls, value: Any) -> Environment:
        """Read the form that stands in a recipe.

        Raises:
            InputRefused: a field is missing, unknown or out of bounds.
        """
        fields = Fields("the environment", value, ("class", "threads", "torch", "probe"))
        for key in ("class", "torch"):
            if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9.+_-]{0,79}", fields.text(key, 80)):
                raise InputRefused(f"the environment: {key} is made of letters, digits and .+_-, not {value[key]!r}")
        probe = None if value["probe"] is None else fields.digest("probe")
        return cls(value["class"], fields.integer("threads", 1, 1024), value["torch"], probe)

    def json(self) -> dict[str, Json]:
        """The form that stands in a recipe."""
        probe = None if self.probe is None else str(self.probe)
        return {"class": self.name, "threads": self.threads, "torch": self.torch, "probe": probe}

    @property
    def digest(self) -> Digest:
        """SHA-256 of its canonical JSON beside a version: what stands in an agreement's terms."""
        return sha256(canonical_json({"version": ENVIRONMENT_VERSION, **self.json()}))


@dataclass(frozen=True, slots=True)
class Audit:
    """Audit terms: how many segments are drawn, how many verifiers, from which panel, with what
    disclosure.

    Args:
        drawn_segments: q, besides those that are always audited; 0 without audit.
        verifiers: m; 0 without audit.
        mode: what is disclosed.
        panel: the panel's id; None for the whole pool.
    """

    drawn_segments: int = 0
    verifiers: int = 0
    mode: AuditMode = AuditMode.OPEN
    panel: PanelId | None = None

    @classmethod
    def parse(cls, value: Any) -> Audit:
        """Read the form that stands in a recipe.

        Raises:
            InputRefused: a field is missing, unknown or out of bounds.
        """
        fields = Fields("the audit terms", value, ("drawn_segments", "verifiers", "mode", "panel"))
        panel = None if value["panel"] is None else PanelId(fields.digest("panel"))
        counts = fields.integer("drawn_segments", 0, (1 << 16) - 1), fields.integer("verifiers", 0, (1 << 8) - 1)
        return cls(*counts, fields.mode("mode"), panel)

    def json(self) -> dict[str, Json]:
        """The form that stands in a recipe."""
        panel = None if self.panel is None else str(self.panel)
        return {
            "drawn_segments": self.drawn_segments,
            "verifiers": self.verifiers,
            "mode": self.mode.word,
            "panel": panel,
        }


@dataclass(frozen=True, slots=True)
class HeldOutFrom:
    """The job whose held-out rows are kept: the first that trained a model from which the initial
    one descends.

    Args:
        agreement: of that job.
        seed: its order seed.
    """

    agreement: AgreementId
    seed: Digest

    @classmethod
    def parse(cls, value: Any) -> HeldOutFrom:
        """Read the form that stands in a recipe.

        Raises:
            InputRefused: a field is missing or no digest.
        """
        fields = Fields("the recipe: held_out_from", value, ("agreement", "seed"))
        return cls(AgreementId(fields.digest("agreement")), fields.digest("seed"))

    def json(self) -> dict[str, Json]:
        """The form that stands in a recipe."""
        return {"agreement": str(self.agreement), "seed": str(self.seed)}


_FIELDS = (
    *("graph", "initial_model", "base", "dataset", "inputs", "target", "rows", "held_out"),
    *("held_out_from", "evaluate", "best", "transform"),
    *(
        "loss",
        "optimizer",
        "gradient_clip",
        "parameter_groups",
        "proximal",
        "ema",
        "learning_rates",
        "batch_size",
        "micro_batch",
        "steps",
        "segment_steps",
        "group_leaves",
        "dtype",
    ),
    *("environment", "metrics", "privacy", "subgroups", "audit"),
)


@dataclass(frozen=True)
class Recipe:
    """What to train and how.

    Args:
        graph: digest of the graph's canonical JSON.
        initial_model: model root of the initial weights.
        dataset: root of the registered records.
        inputs: for each argument of the model, its columns; scalar columns are stacked to [B, n], a
            single tensor column gives [B, *shape].
        target: the column that the loss compares with.
        rows: the records used, from the first to before the last.
        transform: by column; a column without one is used as it is.
        loss: its reduction and arguments.
        optimizer: in its fused form, where it has one.
        gradient_clip: how far a step's gradients may go; None lets them.
        parameter_groups: what is moved at another rate, or with another decay.
        proximal: how strongly a step pulls towards the initial model; None does not.
        ema: of the running average of the weights, which is then what is evaluated and delivered,
            the share that stays in a step; None keeps no average.
        learning_rates: runs of (steps, rate).
        batch_size: B; the last, smaller batch of an epoch is dropped.
        micro_batch: how many of a batch's records are computed at once, one such slice of the batch
            after the other, the last perhaps smaller; None computes them all at once.
        steps: T.
        segment_steps: k, the steps from one leaf to the next.
        group_leaves: A, the leaves that an anchor covers; a power of two.
        environment: what makes replay exact.
        metrics: what each segment reports.
        audit: terms.
        dtype: float32.
        base: model root of the registered model over which initial and delivered model are deltas;
            None where they are whole.
        held_out: the share of the rows (of the units of privacy, where these have several) that is
            never trained on and evaluates the trained model; None holds none out. Which rows they
            are follows from the order seed.
        evaluate: `END`: after the last step; `SEGMENT`: after each segment, so that each leaf but
            leaf 0 has a result.
        best: the figure by which the best leaf's model is delivered, of those that have a result;
            None delivers the last leaf's.
        privacy: terms of differential privacy; None trains without. With them a step draws each
            unit of privacy with the same chance in secret, `batch_size` units on average, and
            nothing else that the records decide is told: no metrics. The rows are whole units.
        held_out_from: whose held-out rows are kept; None draws them by the job's own order seed.
        subgroups: the dataset's columns by whose groups the result on held-out records is told,
            too; none without records held out, or beside terms of privacy.
    """

    graph: Digest
    initial_model: Root
    dataset: Root
    inputs: tuple[tuple[str, ...], ...]
    target: str
    rows: tuple[int, int]
    transform: Mapping[str, Transform]
    loss: Choice
    optimizer: Choice
    learning_rates: Runs
    batch_size: int
    steps: int
    segment_steps: int
    group_leaves: int
    environment: Environment
    metrics: tuple[str, ...]
    audit: Audit
    dtype: str = "float32"
    base: Root | None = None
    held_out: float | None = None
    evaluate: str = END
    best: str | None = None
    privacy: Privacy | None = None
    subgroups: Subgroups = field(default_factory=dict)
    held_out_from: HeldOutFrom | None = None
    gradient_clip: GradientClip | None = None
    parameter_groups: tuple[ParameterGroup, ...] = ()
    proximal: float | None = None
    ema: float | None = None
    micro_batch: int | None = None

    @classmethod
    def parse(cls, data: bytes) -> Recipe:
        """Read a recipe that somebody sent.

        Args:
            data: canonical JSON; other JSON of the same meaning would have another digest and is
                refused.

        Raises:
            InputRefused: it is not JSON, not canonical, or a field is missing, unknown, of the
                wrong type or out of bounds.
        """
        value = parse_json(data, RECIPE)
        recipe = cls.from_json(value)
        if recipe.encode() != data:
            raise InputRefused("the recipe is not canonical JSON (RFC 8785)", "encode it with Recipe.encode")
        return recipe

    @classmethod
    def from_json(cls, value: Any) -> Recipe:
        """Read a recipe from its JSON value, checking every field.

        Raises:
            InputRefused: a field is missing, unknown, of the wrong type or out of bounds.
        """
        fields = Fields("the recipe", value, _FIELDS, version=VERSION)
        steps = fields.integer("steps", 1, MOST_STEPS)
        start, stop = _rows(fields)
        held_out = None if value["held_out"] is None else parse_held_out("the recipe: held_out", value["held_out"])
        inputs = _inputs(fields)
        target = fields.text("target", NAME_LENGTH)
        used = [*(column for columns in inputs for column in columns), target]
        loss = Choice.parse("the loss", value["loss"], LOSSES)
        privacy = None if value["privacy"] is None else Privacy.parse(value["privacy"])
        transform = _transforms(value["transform"], used)
        _require_weights(loss, transform.get(target), privacy)
        _require_plain(loss, transform.get(target))
        evaluate, best = _evaluation(fields, loss, held_out, privacy)
        _require_figure(best, loss, transform.get(target))
        units = _units(start, stop, privacy)
        _require_short_evaluation(fields, held_out_count(held_out, units), evaluate)
        return cls(
            graph=fields.digest("graph"),
            initial_model=fields.root("initial_model"),
            base=None if value["base"] is None else fields.root("base"),
            dataset=fields.root("dataset"),
            inputs=inputs,
            target=target,
            rows=(start, stop),
            transform=transform,
            loss=loss,
            optimizer=_optimizer(value["optimizer"]),
            learning_rates=_learning_rates(fields, steps),
            batch_size=_batch_size(fields, units - held_out_count(held_out, units), (stop - start) // units),
            steps=steps,
            segment_steps=fields.integer("segment_steps", 2, MOST_STEPS),
            group_leaves=_group_leaves(fields),
            environment=Environment.parse(value["environment"]),
            metrics=_metrics(fields, loss, privacy),
            audit=Audit.parse(value["audit"]),
            dtype=fields.choice("dtype", ("float32",)),
            held_out=held_out,
            evaluate=evaluate,
            best=best,
            privacy=privacy,
            subgroups=_subgroups(value["subgroups"], held_out, privacy),
            held_out_from=_held_out_from(value["held_out_from"], held_out),
            gradient_clip=_gradient_clip(value["gradient_clip"], privacy),
            parameter_groups=tuple(map(ParameterGroup.parse, fields.items("parameter_groups", 0, MOST_GROUPS))),
            proximal=_share(fields, "proximal", 2.0**-100, 1e6, "proximal = 0.01, say; leave it out for none"),
            ema=_share(fields, "ema", 2.0**-24, 1 - 2.0**-24, "ema = 0.999, say; leave it out to keep no average"),
            micro_batch=_micro_batch(fields, privacy),
        )

    def json(self) -> dict[str, Json]:
        """The JSON value that `encode` writes."""
        return {
            "version": VERSION,
            "graph": str(self.graph),
            "initial_model": str(self.initial_model),
            "base": None if self.base is None else str(self.base),
            "dataset": str(self.dataset),
            "inputs": [list(columns) for columns in self.inputs],
            "target": self.target,
            "rows": list(self.rows),
            "held_out": self.held_out,
            "evaluate": self.evaluate,
            "best": self.best,
            "held_out_from": None if self.held_out_from is None else self.held_out_from.json(),
            "transform": {column: dict(transform) for column, transform in self.transform.items()},
            "loss": self.loss.json(),
            "optimizer": self.optimizer.json(),
            "gradient_clip": None if self.gradient_clip is None else self.gradient_clip.json(),
            "parameter_groups": [group.json() for group in self.parameter_groups],
            "proximal": self.proximal,
            "ema": self.ema,
            "learning_rates": [[count, rate] for count, rate in self.learning_rates],
            "batch_size": self.batch_size,
            "micro_batch": self.micro_batch,
            "steps": self.steps,
            "segment_steps": self.segment_steps,
            "group_leaves": self.group_leaves,
            "dtype": self.dtype,
            "environment": self.environment.json(),
            "metrics": list(self.metrics),
            "privacy": None if self.privacy is None else self.privacy.json(),
            "subgroups": subgroups_json(self.subgroups),
            "audit": self.audit.json(),
        }

    def encode(self) -> bytes:
        """The recipe as canonical JSON."""
        return canonical_json(self.json())

    @cached_property
    def digest(self) -> Digest:
        """SHA-256 of the canonical JSON: the recipe's name."""
        return sha256(self.encode())

    @property
    def target_scale(self) -> float:
        """How many of the target's own units are one of those in which it enters the loss."""
        constants = self.transform.get(self.target)
        if constants is None or "categories" in constants:
            return 1.0
        if "low" in constants:
            return float(constants["high"] - constants["low"])
        return float(constants["scale"])

    @property
    def target_centre(self) -> float:
        """Which of the target's own numbers enters the loss as 0."""
        constants = self.transform.get(self.target)
        if constants is None or "categories" in constants:
            return 0.0
        return float(constants["low"] if "low" in constants else constants["mean"])

    @cached_property
    def charge(self) -> int:
        """What the training costs of a privacy ledger, a word of eight lanes; 0 without terms of
        privacy."""
        if self.privacy is None:
            return 0
        nats = renyi(self.sampling_rate, self.privacy.sigma, self.steps)
        if self.held_out is not None:
            nats = tuple(map(max, nats, renyi_of_release(self.held_out_sigma)))
        return ledger.charge(nats)

    @cached_property
    def held_out_sigma(self) -> float:
        """Standard deviation of the noise on what is told of the held-out records where a privacy
        budget runs, in units of privacy: the least multiple of 2^-10 with which, at no order, it
        costs a held-out unit more than the training costs one that is trained on.

        A unit is one or the other, with all its records, which no data decide. A neighbour that
        differs in a held-out unit is trained alike; one that differs in another unit is told
        nothing more by the result than by the model, from which it is made. So at each order a job
        costs the larger of the two, not their sum.

        Raises:
            InputRefused: the recipe has no terms of privacy.
        """
        if self.privacy is None:
            raise InputRefused("the recipe has no terms of privacy")
        return release_sigma(renyi(self.sampling_rate, self.privacy.sigma, self.steps))

    @property
    def unit_records(self) -> int:
        """How many rows each unit of privacy has; 1 where a record is the unit."""
        return (self.privacy.unit_records if self.privacy is not None else None) or 1

    @property
    def unit_count(self) -> int:
        """How many units of privacy the rows are; without terms of privacy each row is one."""
        return self.row_count // self.unit_records

    @property
    def sampling_rate(self) -> float:
        """The chance with which a step of private training draws a unit."""
        return sampling_rate(self.batch_size, self.training_count)

    @property
    def row_count(self) -> int:
        """Rows that are used: those of the training, and those that are held out."""
        return self.rows[1] - self.rows[0]

    @property
    def held_out_count(self) -> int:
        """Units of privacy that are held out: the recipe's share of them, rounded up."""
        return held_out_count(self.held_out, self.unit_count)

    def held_out_seed(self, seed: Digest) -> Digest:
        """What the held-out rows are drawn by: the job's order seed, or that of the job whose rows
        are kept."""
        return seed if self.held_out_from is None else self.held_out_from.seed

    @property
    def training_count(self) -> int:
        """Units of privacy that are trained on: all that are not held out."""
        return self.unit_count - self.held_out_count

    def most_records(self, steps: int) -> int:
        """How many rows so many steps take at most; where units are drawn in secret, so many that
        more come less than once in 2^40 times (Bernstein's inequality)."""
        expected = steps * self.batch_size
        if self.privacy is None:
            return expected
        beyond = 8 * math.isqrt(expected) + 40
        return min(expected + beyond, steps * self.training_count) * self.unit_records

    @property
    def at_once(self) -> int:
        """Records of a batch that are computed at once, and evaluated."""
        return self.micro_batch or self.batch_size

    @property
    def further_copies(self) -> int:
        """How many tensors more than the largest optimizer's there are of each parameter in a step:
        weights and average, initial weights and the distance from them."""
        return 2 * (self.ema is not None) + 2 * (self.proximal is not None)

    @property
    def segment_count(self) -> int:
        """Segments of a whole transcript."""
        return self.leaf_count - 1

    @property
    def leaf_count(self) -> int:
        """Leaves of a whole transcript: one before the first step, then one after each segment, the
        last perhaps shorter."""
        return -(-self.steps // self.segment_steps) + 1

    def evaluates_at(self, leaf: int) -> bool:
        """Whether the model of a leaf is evaluated on the held-out records."""
        first = 1 if self.evaluate == SEGMENT else self.leaf_count - 1
        return self.held_out is not None and first <= leaf < self.leaf_count

    def step_of(self, leaf: int) -> int:
        """Steps completed at a leaf.

        Raises:
            InputRefused: there is no such leaf.
        """
        if not 0 <= leaf < self.leaf_count:
            raise InputRefused(f"the transcript has {self.leaf_count} leaves and none of index {leaf}")
        return min(leaf * self.segment_steps, self.steps)

    def learning_rate(self, step: int) -> float:
        """The rate of the step that follows `step` completed ones.

        Raises:
            InputRefused: there is no such step.
        """
        if not 0 <= step < self.steps:
            raise InputRefused(f"the recipe has {self.steps} steps and none of index {step}")
        return self.learning_rates[bisect_right(self._run_ends, step)][1]

    @cached_property
    def _run_ends(self) -> list[int]:
        return list(accumulate(count for count, _ in self.learning_rates))


def parse_held_out(what: str, value: Any, least: float | None = None) -> float:
    """Read a share of rows to hold out.

    Args:
        what: how messages call it.
        value: what was given.
        least: what a dataset's policy asks for, for what is advised.

    Raises:
        InputRefused: it is not above 0 and at most `MOST_HELD_OUT`.
    """
    share = real(what, value, 0, MOST_HELD_OUT, "0.2 holds a fifth of the records out; leave it out to hold out none")
    if share == 0:
        otherwise = "to hold no record out" if least is None else f"for the {least:g} that the dataset asks for"
        raise InputRefused(f"{what} is a share above 0, not 0", f"leave it out {otherwise}")
    return share


def held_out_count(share: float | None, rows: int) -> int:
    """How many of so many rows a share holds out, rounded up.

    The share is taken as the shortest decimal that reads back as the same double, as it stands in
    canonical JSON: 0.2 of 455 rows are 91, and not 92 because the double is a little more than 0.2.
    """
    return 0 if share is None else math.ceil(Fraction(repr(share)) * rows)


def least_segment(held_out: int, batch_size: int, evaluate: str = END) -> int:
    """The least steps of a segment whose time is enough to evaluate so many held-out records, or
    units, of which a batch is counted, too."""
    return -(-held_out // ((HELD_OUT_STEPS_EACH if evaluate == SEGMENT else HELD_OUT_STEPS) * batch_size))


def _require_short_evaluation(fields: Fields, held_out: int, evaluate: str) -> None:
    batch_size, segment = fields.integer("batch_size", 1, MOST_BATCH), fields.integer("segment_steps", 2, MOST_STEPS)
    if segment < (least := least_segment(held_out, batch_size, evaluate)):
        time = "a third of a segment" if evaluate == SEGMENT else "a segment"
        raise InputRefused(
            f"evaluating {held_out} held-out records takes longer than {time} of {segment} steps",
            f"make segment_steps at least {least}, or hold out fewer records",
        )
    evaluations = -(-fields.integer("steps", 1, MOST_STEPS) // segment)
    if evaluate == SEGMENT and evaluations > MOST_EVALUATIONS:
        least = -(-fields.integer("steps", 1, MOST_STEPS) // MOST_EVALUATIONS)
        raise InputRefused(
            f"the model would be evaluated after each of {evaluations} segments, and at most {MOST_EVALUATIONS} times",
            f"make segment_steps at least {least}",
        )


def _evaluation(
    fields: Fields, loss: Choice, held_out: float | None, privacy: Privacy | None
) -> tuple[str, str | None]:
    """When the model is evaluated, and by which figure its best checkpoint is chosen."""
    evaluate, best = fields.choice("evaluate", (END, SEGMENT)), fields.value["best"]
    if best is not None:
        best = fields.choice("best", figures_of(loss.name))
        if evaluate != SEGMENT:
            raise InputRefused(
                "the best checkpoint is chosen by results that only the last one has",
                f'write evaluate = "{SEGMENT}", or leave best out',
            )
    if evaluate == SEGMENT and held_out is None:
        raise InputRefused(
            "the model is to be evaluated after each segment, and no record is held out",
            "write held_out = 0.2, say: the share of the records that is not trained on",
        )
    if evaluate == SEGMENT and privacy is not None:
        raise InputRefused(
            "beside terms of privacy the model is evaluated once, after the last step, in noised counts: results after"
            " each segment, or a checkpoint chosen by them, would tell of the held-out records what nothing charges",
            "leave evaluate and best out of the recipe, or ask for a dataset without a privacy budget",
        )
    return evaluate, best


def _held_out_from(value: Any, held_out: float | None) -> HeldOutFrom | None:
    if value is not None and held_out is None:
        raise InputRefused("the recipe keeps held-out rows and holds none out", "leave held_out_from null")
    return None if value is None else HeldOutFrom.parse(value)


def _subgroups(value: Any, held_out: float | None, privacy: Privacy | None) -> Subgroups:
    subgroups = parse_subgroups("the recipe", value)
    if subgroups and (held_out is None or privacy is not None):
        reason = "holds no records out" if held_out is None else "is private, and results by group are exact"
        raise InputRefused(f"the recipe names subgroups of held-out records and {reason}", "leave subgroups empty")
    return subgroups


def _rows(fields: Fields) -> tuple[int, int]:
    start, stop = (integer("the recipe: rows", row, 0, MOST_ROWS) for row in fields.items("rows", 2, 2))
    if start >= stop:
        raise InputRefused(f"the recipe: rows go from {start} to before {stop}, which is no row")
    return start, stop


def _units(start: int, stop: int, privacy: Privacy | None) -> int:
    """How many units of privacy the rows are; without terms of privacy each row is one."""
    size = (privacy.unit_records if privacy is not None else None) or 1
    if start % size or stop % size:
        raise InputRefused(
            f"the recipe: the rows {start} to {stop} cut a unit of privacy apart, which has {size} rows",
            f"let both be multiples of {size}",
        )
    return (stop - start) // size


def _inputs(fields: Fields) -> tuple[tuple[str, ...], ...]:
    what = "the recipe: inputs"
    arguments = tuple(
        tuple(text(what, column, NAME_LENGTH) for column in items(what, columns, 1, MOST_COLUMNS))
        for columns in fields.items("inputs", 1, MOST_ARGUMENTS)
    )
    for columns in arguments:
        if len(set(columns)) != len(columns):
            twice = Counter(columns).most_common(1)[0][0]
            raise InputRefused(f"the column {twice!r} stands twice in one argument of the inputs")
    return arguments


def _transforms(value: Any, used: list[str]) -> Mapping[str, Transform]:
    if not isinstance(value, Mapping):
        raise InputRefused("the recipe: transform is a JSON object")
    refuse_unknown("the recipe's transform", value, used)
    return MappingProxyType({column: parse_transform(column, value[column]) for column in value})


def _require_figure(best: str | None, loss: Choice, target: Transform | None) -> None:
    """A figure that no checkpoint has, or that is the same of all, chooses none of them."""
    count = None if target is None else len(target.get("categories", ()))
    if best == "top5" and (loss.name not in CLASSIFICATION or (count is not None and count <= AMONG)):
        raise InputRefused(
            f"the best checkpoint is chosen by top5, which is of one of more than {AMONG} classes",
            'write best = "accuracy"',
        )
    if best == "auc" and loss.name in CLASSIFICATION and count is not None and count != 2:
        raise InputRefused(
            f"the best checkpoint is chosen by auc, which is of two classes, and the target has {count}",
            'write best = "f1", or "accuracy"; `fitchain model test` tells the mean over the classes',
        )
    if best == "f1" and count is not None and count > MOST_CONFUSED:
        raise InputRefused(
            f"the best checkpoint is chosen by f1, which is told of {MOST_CONFUSED} classes at most, and the target has"
            f" {count}",
            'write best = "accuracy"',
        )


def _require_plain(loss: Choice, target: Transform | None) -> None:
    """Counts and shares are what a loss says of them only as they stand in the table."""
    if loss.name in AS_THEY_ARE and target is not None:
        raise InputRefused(
            f"{loss.name} is of the target's own numbers, and the recipe's transform would move them",
            "leave the target out of the transform",
        )


def _require_weights(loss: Choice, target: Transform | None, privacy: Privacy | None) -> None:
    """Class weights are one for each class, and count for something."""
    weights = loss.arguments.get("weight")
    categories = None if target is None else target.get("categories")
    if weights is not None and categories is not None and len(weights) != len(categories):
        raise InputRefused(
            f"the loss has {len(weights)} class weights and the target {len(categories)} classes",
            "give one weight for each class, in the order of the card's categories",
        )
    if weights is not None and privacy is not None and loss.arguments.get("reduction") != "sum":
        raise InputRefused(
            "private training takes each record by itself, and the mean over one record divides its weight out again",
            'write reduction = "sum" beside weight',
        )


def _gradient_clip(value: Any, privacy: Privacy | None) -> GradientClip | None:
    if value is not None and privacy is not None:
        raise InputRefused(
            "private training cuts each record's gradient by its own terms", "leave gradient_clip out beside [privacy]"
        )
    return None if value is None else GradientClip.parse(value)


def _micro_batch(fields: Fields, privacy: Privacy | None) -> int | None:
    if fields.value["micro_batch"] is None:
        return None
    if privacy is not None:
        raise InputRefused(
            "private training takes each record by itself, and adds up whole numbers: nothing is left to accumulate",
            "leave micro_batch out beside [privacy]",
        )
    return fields.integer("micro_batch", 1, fields.integer("batch_size", 1, MOST_BATCH))


def _share(fields: Fields, key: str, low: float, high: float, advice: str) -> float | None:
    """A number above 0, or None."""
    return None if (value := fields.value[key]) is None else real(f"the recipe: {key}", value, low, high, advice)


def _optimizer(value: Any) -> Choice:
    optimizer = Choice.parse("the optimizer", value, OPTIMIZERS)
    terms = optimizer.arguments
    if terms.get("nesterov") and (not terms.get("momentum") or terms.get("dampening")):
        raise InputRefused("the optimizer SGD: nesterov needs a momentum above 0 and no dampening")
    return optimizer


def _learning_rates(fields: Fields, steps: int) -> Runs:
    what = "the recipe: learning_rates"
    runs = [items(what, run, 2, 2) for run in fields.items("learning_rates", 1, 1 << 20)]
    table = tuple((integer(what, count, 1, steps), real(what, rate, 0, 1e6)) for count, rate in runs)
    covered = sum(count for count, _ in table)
    if covered != steps:
        raise InputRefused(f"the recipe: learning_rates cover {covered} steps, and the recipe has {steps}")
    if any(left[1] == right[1] for left, right in pairwise(table)):
        raise InputRefused("the recipe: learning_rates have neighbouring runs of one rate", "join them")
    return table


def _batch_size(fields: Fields, units: int, unit_records: int) -> int:
    batch_size = fields.integer("batch_size", 1, MOST_BATCH)
    if batch_size > units:
        what = "records" if unit_records == 1 else f"units of privacy, of {unit_records} rows each,"
        raise InputRefused(
            f"a batch of {batch_size} {what} does not fit into {units * unit_records} rows",
            "choose a smaller batch_size",
        )
    return batch_size


def _group_leaves(fields: Fields) -> int:
    leaves = fields.integer("group_leaves", 1, 1 << 31)
    if leaves & (leaves - 1):
        raise InputRefused(f"the recipe: group_leaves is a power of two, not {leaves}")
    return leaves


def _metrics(fields: Fields, loss: Choice, privacy: Privacy | None) -> tuple[str, ...]:
    if "auc" in fields.items("metrics", 0, len(METRICS)):
        raise InputRefused(
            "the recipe: auc is no metric of a segment: it ranks records by one model, and each step has another",
            f'hold records out and write evaluate = "{SEGMENT}": then each checkpoint of two classes has its auc',
        )
    metrics = tuple(
        choice("the recipe: metrics", metric, METRICS) for metric in fields.items("metrics", 0, len(METRICS))
    )
    if privacy is not None and metrics:
        raise InputRefused(
            "the recipe: metrics of a segment are exact numbers of its records, which private training does not tell",
            "leave metrics empty beside [privacy]",
        )
    if len(set(metrics)) != len(metrics):
        raise InputRefused("the recipe: metrics name one of them twice")
    for metric, of, losses in (
        ("accuracy", "classes", OF_HITS),
        ("top5", "one of several classes", CLASSIFICATION),
        ("f1", "classes", OF_CLASSES),
        ("mae", "amounts", [name for name in LOSSES if name not in OF_HITS]),
    ):
        if metric in metrics and loss.name not in losses:
            raise InputRefused(f"the recipe: {metric} is of {of}, and {loss.name} has none", "leave it out of metrics")
    return metrics
