"""What a person is shown before it says yes to a request, or to another audit of a job; `job show`
keeps showing it of a request."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fitchain.cli.views import model, panels, recipe
from fitchain.cli.views.amounts import counted, format_duration, size_text
from fitchain.cli.views.held_out import ignored_clause
from fitchain.cli.views.output import KeyValues, View
from fitchain.cli.views.units import for_each_unit, opened_at_most
from fitchain.pod.ports.agreement.terms import State
from fitchain.pod.proof.audit.cost import Sampling
from fitchain.pod.proof.audit.pace import SLOW_HOST
from fitchain.pod.values.amounts import amount_text
from fitchain.pod.values.audit_mode import AuditMode
from fitchain.pod.values.counting import ignored_number
from fitchain.pod.values.graph.capacity import capacity_of
from fitchain.pod.values.held_out import LEAST_TOLD
from fitchain.pod.values.recipe.terms import OF_HITS, SEGMENT

if TYPE_CHECKING:
    from fitchain.pod.jobs.offered import Offered
    from fitchain.pod.jobs.privacy_cost import PrivacyCost
    from fitchain.pod.parties.owner.review import Asker, Review
    from fitchain.pod.ports.agreement import Agreement, AuditTerms, Terms
    from fitchain.pod.values.recipe import Recipe

Pairs = list[tuple[str, Any]]


def describe(review: Review) -> KeyValues:
    """A request, or a question, in labelled lines: who asks for what, what leaves, how long it
    takes, who would judge, what speaks against it."""
    job, terms = review.agreement, review.terms
    dataset = f"{job.terms.dataset.short}, {review.dataset}"
    pairs: Pairs = [("job", job.id)]
    if review.asked is None:
        pairs += [
            ("asked by", describe_asker(review.asker)),
            ("dataset", dataset),
            *_essence(review),
            *base_of(review),
            *leaves_of(job, review.offered, review.metrics_leave, review.records),
            *report_of(review),
            *privacy_of(review),
            *carried(review),
            ("time", describe_times(review)),
            ("money", _money(job.terms)),
        ]
    else:
        fees = f"{amount_text(terms.fees)} FIT of fees locked"
        pairs += [
            ("audit", review.asked.ref.ordinal),
            ("asked by", f"{review.asked.asker}, {fees}"),
            ("dataset", dataset),
            ("model", job.terms.model.short),
        ]
    pairs.append(("judged by", _judges(terms)))
    if terms.seats:
        pairs += [pair for pair in panels.pairs_of(review.panel) if pair[0] != "mind"]
        pairs += _trusted(review)
        pairs.append(("may be shown", _shown(review)))
    return KeyValues(pairs + minds(review))


def sections(review: Review, unopened: str, every: bool) -> list[View]:
    """What is asked for, in full: beside where it stands, which `job show` says.

    Args:
        review: of a job.
        unopened: why what it offers is not shown; empty where it is.
        every: each layer of the model.
    """
    job = review.agreement
    about: Pairs = [
        ("asked by", describe_asker(review.asker)),
        *([("offer", unopened)] if unopened else []),
        *base_of(review),
        *leaves_of(job, review.offered, review.metrics_leave, review.records),
        *report_of(review),
        *privacy_of(review),
        *carried(review),
        ("time", describe_times(review)),
        *([*_trusted(review), ("may be shown", _shown(review))] if review.terms.seats else []),
    ]
    return [KeyValues(about + minds(review)), *content(review.offered, every)]


def content(offered: Offered | None, every: bool) -> list[View]:
    """The recipe and the model's layers; nothing where they are not here."""
    if offered is None:
        return []
    about: Pairs = [*recipe.pairs_of(offered.recipe), ("model", model.describe(offered.graph))]
    return [KeyValues(about), *model.table(offered.graph, every)]


def as_asked(job: Agreement, offered: Offered | None, every: bool) -> list[View]:
    """What a job asks for, as whoever is not its owner knows it: its scientist has what it offered,
    others have not."""
    if offered is None:
        return []
    return [KeyValues(leaves_of(job, offered, None, None)), *content(offered, every)]


def content_values(offered: Offered | None, every: bool = False) -> dict[str, Any]:
    """Recipe and model for `--json`; None where they are not here."""
    if offered is None:
        return {"recipe_terms": None, "model_graph": None}
    return {"recipe_terms": recipe.values(offered.recipe), "model_graph": model.values(offered.graph, every)}


def describe_asker(asker: Asker) -> str:
    """Who asks, and what became of what it asked for before."""
    total = sum(asker.earlier.values())
    ended = ", ".join(f"{count} {state.name.lower()}" for state, count in asker.earlier.items())
    before = f"{counted(total, 'job')} before: {ended}" if total else "for the first time"
    return f"{asker.address}, {before}{'' if asker.role else '; it has never run a pod'}"


def privacy_of(review: Review) -> Pairs:
    """What accepting costs of the privacy budget; nothing where the dataset has none."""
    if review.privacy is None:
        return []
    cost = describe_cost(review.privacy, review.agreement.state is State.REQUESTED)
    return [("privacy", cost), ("", NOT_COVERED)]


NOT_COVERED = (
    "an epsilon covers neither what verifiers open, nor the same people in other datasets, the card, or how long"
    " steps took (docs/privacy.md)"
)


def describe_cost(cost: PrivacyCost, is_ahead: bool) -> str:
    """What a training costs of a privacy budget.

    Args:
        cost: of it.
        is_ahead: whether it is not charged yet.
    """
    line = f"costs epsilon {cost.asked:.3g} beside delta {cost.delta:g} {for_each_unit(cost.unit)}"
    if not is_ahead:
        return f"{line}; {cost.spent:.3g} of the budget {cost.budget:.3g} is spent"
    fits = "" if cost.fits else ": more than there is"
    spent = f"{cost.spent:.3g} of the budget {cost.budget:.3g} is spent, {cost.after:.3g} would be{fits}"
    return f"{line}, for good once it is accepted; {spent}"


def leaves_of(
    job: Agreement, offered: Offered | None, metrics_leave: bool | None, records: int | None
) -> list[tuple[str, Any]]:
    """What leaves the owner's place, and to whom.

    Args:
        job: what was agreed.
        offered: what is trained; None where that is not known.
        metrics_leave: whether the owner's policy lets metrics out; None where that is not known.
        records: that an audit opens at most; None where that is not known.
    """
    terms = job.terms
    size = "" if offered is None else f": {model.describe_size(offered.graph)}"
    first = "; after a Match of its audit" if terms.audit.verifiers else ""
    checkpoints = -(-terms.steps // terms.segment_steps) + 1
    anchors = checkpoints // terms.group_leaves
    kept_in = {None: ", with metrics if the owner's policy lets them out", False: " without metrics"}
    with_metrics = f" with {' and '.join(offered.recipe.metrics)}" if offered and offered.recipe.metrics else ""
    reports_none = offered is not None and not offered.recipe.metrics
    notes = " without metrics" if reports_none else kept_in.get(metrics_leave, with_metrics)
    evaluated = [] if offered is None else [("", each) for each in evaluation_of(offered.recipe, metrics_leave)]
    return [
        ("leaves", f"the trained weights{size}, sealed to the scientist{first}"),
        ("", f"{counted(anchors, 'note')} to the scientist{notes}; salted hashes of {checkpoints} checkpoints"),
        *evaluated,
        ("", f"to verifiers {_evidence(terms.audit, terms, records, offered)}"),
    ]


def evaluation_of(trained: Recipe, metrics_leave: bool | None) -> list[str]:
    """What leaves of how the model does on held-out records; nothing where none are held out."""
    if trained.held_out is None:
        return []
    on = f"{counted(trained.held_out_count, recipe.unit_noun(trained))} held out{ignored_clause(trained)}"
    counts = "; how many of them count is told, too" if ignored_number(trained) is not None else ""
    if trained.privacy is not None:
        return [f"in the certificate what the model does on {on}, in counts with noise"]
    condition = {None: ", if the owner's policy lets metrics out", True: "", False: None}[metrics_leave]
    each = f" after each of {trained.segment_count} segments" if trained.evaluate == SEGMENT else ""
    best = [f"which of them did best by {trained.best}: that checkpoint is delivered"] if trained.best else []
    if condition is None:
        hashes = f"hashes of that{each}" if each else "a hash of that"
        return [f"not what the model does on {on}: {hashes}", *best]
    columns = sorted(trained.subgroups)
    by = f", and by {' and by '.join(columns)}, of groups of {LEAST_TOLD} records or more" if columns else ""
    how = "in exact counts" if trained.loss.name in OF_HITS else "as mean error and R2"
    return [f"in the certificate what the model does on {on}{each}, {how}{by}{condition}{counts}", *best]


def base_of(review: Review) -> Pairs:
    """Of what the model is a delta, how much that is and who can read it; nothing where it is
    whole."""
    if (base := review.base) is None:
        return []
    entry, said = base.entry, base.said
    about = [f"{entry.id.short}, registered by {entry.author}"]
    if said is not None:
        about += [
            size_text(said.size_bytes),
            "sealed to who is offered a model over it" if said.is_sealed else "public",
        ]
    else:
        about.append("how large it is the offer says once the pod has fetched that")
    where = "it is here" if base.is_here else "it is not here yet, and is fetched before the job is rehearsed"
    return [("base", ", ".join(about)), ("", f"{where}; whether its licence lets you train it nobody checks")]


def report_of(review: Review) -> Pairs:
    """What leaves of a privacy-risk report, which is made first; nothing where none is."""
    if (terms := review.risk) is None:
        return []
    summary = " and its summary" if terms.summary_leaves and review.privacy is None else ""
    line = f"in the certificate the salted digest of a privacy-risk report{summary}, made before anything leaves"
    held = "; a limit in the policy may hold the job then" if terms.most_exposed is not None else ""
    return [("", f"{line}; the report stays with you{held}")]


def carried(review: Review) -> Pairs:
    """How much of the records the trained weights could carry, in words of who answers for the
    records."""
    if review.offered is None or review.trained_on is None:
        return [("could carry", "not counted before the offer is opened")]
    capacity, records = capacity_of(review.offered.graph), review.trained_on
    hold = f"{counted(records.count, 'record')} of {counted(records.each, 'number')} hold {records.numbers:,}"
    pairs: Pairs = [
        ("could carry", f"{capacity.numbers:,} numbers of the model are moved by the records; {hold}"),
        ("", f"{_share(capacity.numbers, records.numbers)}{_limit(review)}"),
    ]
    if capacity.statistics:
        channels = counted(capacity.channels, "channel")
        pairs.append(("", f"{channels} of batch statistics: one that sees a single record keeps its numbers"))
    if capacity.averages:
        pairs.append(("", f"{capacity.averages:,} numbers are averages of what earlier steps taught the model"))
    return pairs


def _share(carried: int, of: int) -> str:
    if carried >= of:
        return "a model that was made for it could carry all of them home"
    return f"a model that was made for it could carry some {-(-100 * carried // of)} % of them home"


def _limit(review: Review) -> str:
    """What keeps a model from carrying what it could, if anything does."""
    if review.privacy is not None:
        return " without noise; the privacy budget limits what it learns of each"
    word = "; you said that models may reveal records" if review.may_reveal else ""
    return f": no privacy budget limits that{word}"


def _evidence(audit: AuditTerms, terms: Terms, records: int | None, offered: Offered | None) -> str:
    """What verifiers are given of a job."""
    if not audit.seats:
        return "nothing: neither an audit nor a dispute is agreed"
    segments = Sampling.of(terms.steps, terms.segment_steps, audit.drawn_segments).audited
    when = "" if audit.verifiers else ", only in a dispute"
    many = "the records" if records is None else counted_at_most(records, _recipe_of(offered))
    if audit.mode is AuditMode.ON_SITE:
        return f"the states and records of {counted(segments, 'segment')}, which stay at your place{when}"
    return f"the states of {counted(segments, 'segment')} and {many} (mode {audit.mode}){when}"


def describe_times(review: Review) -> str:
    """How long the training takes, and until when it must be done."""
    terms, times = review.agreement.terms, review.times
    window = f"its window is {format_duration(terms.training_window)}"
    before = f" after {format_duration(times.before_s)} for those before it" if times.before_s >= 1 else ""
    if times.training_s is None:
        slow = _duration(SLOW_HOST.seconds(terms.work, terms.steps))
        return f"not rehearsed here yet; by its stated work {slow} at most on a slow core{before}; {window}"
    return f"about {_duration(times.training_s)} by its rehearsal{before}; {window}"


def _duration(seconds: float) -> str:
    return format_duration(seconds) if seconds >= 1 else "a second"


def minds(review: Review) -> list[tuple[str, Any]]:
    """What speaks against it."""
    concerns = dict.fromkeys([*review.concerns, *(review.panel.concerns() if review.panel else [])])
    pairs: Pairs = [("mind", concern) for concern in concerns]
    if not review.examined:
        pairs.append(
            (
                "mind",
                "the pod has not examined it yet: it asks again if more speaks against it, and declines what fails",
            )
        )
    return pairs


def values(review: Review) -> dict[str, Any]:
    """The JSON form of what was shown."""
    terms = review.agreement.terms
    return {
        "panel": panels.values(review.panel),
        "mode": review.terms.mode.word if review.terms.seats else None,
        "records": review.records,
        "records_before": review.before.total,
        "records_before_again": review.before.again,
        "records_cap": review.cap,
        "concerns": list(review.concerns),
        "examined": review.examined,
        "trusted_in_pool": list(review.trusted_in_pool),
        "scientist": {
            "address": review.asker.address,
            "has_pod": review.asker.role is not None,
            "jobs_before": {state.name.capitalize(): count for state, count in review.asker.earlier.items()},
        },
        "training_s": review.times.training_s,
        "training_s_at_most": SLOW_HOST.seconds(terms.work, terms.steps),
        "queued_s": review.times.before_s,
        "training_window": terms.training_window,
        "metrics_leave": review.metrics_leave,
        "capacity": _capacity(review),
        "base": _base(review),
        "models_may_reveal_records": review.may_reveal,
        "price": amount_text(terms.price),
        "bond": amount_text(terms.bond),
        "fees": amount_text(review.terms.fees),
    }


def _base(review: Review) -> dict[str, Any] | None:
    """The base of the model; None where it is whole."""
    if (base := review.base) is None:
        return None
    said = base.said
    return {
        "model": str(base.entry.id),
        "root": str(base.entry.root),
        "author": base.entry.author,
        "bytes": None if said is None else said.size_bytes,
        "sealed": None if said is None else said.is_sealed,
        "here": base.is_here,
    }


def _capacity(review: Review) -> dict[str, int] | None:
    """Numbers of the model that records reach, and numbers of the records; None before the offer is
    opened."""
    if review.offered is None or review.trained_on is None:
        return None
    capacity = capacity_of(review.offered.graph)
    return {
        "parameters": capacity.parameters,
        "statistics": capacity.statistics,
        "averages": capacity.averages,
        "numbers": capacity.numbers,
        "records": review.trained_on.count,
        "numbers_of_records": review.trained_on.numbers,
    }


def _essence(review: Review) -> Pairs:
    """Model and recipe, in a line each."""
    terms, offered = review.agreement.terms, review.offered
    if offered is None:
        return [("model", terms.model.short), ("training", f"{terms.steps} steps")]
    return [
        ("model", f"{terms.model.short}, {model.describe(offered.graph)}"),
        ("training", recipe.describe(offered.recipe)),
    ]


def _money(terms: Terms) -> str:
    price, bond = amount_text(terms.price), amount_text(terms.bond)
    fees = f"; {amount_text(terms.audit.fees)} FIT of fees for verifiers" if terms.audit.seats else ""
    return f"{price} FIT for you, {bond} FIT of bond that you lock{fees}"


def _judges(terms: AuditTerms) -> str:
    if not terms.seats:
        return "nobody: neither an audit nor a dispute is agreed"
    when = "" if terms.verifiers else ", only if the scientist disputes"
    phases = f"phases of {format_duration(terms.window)}"
    return f"{counted(terms.seats, 'verifier')}{when}, mode {terms.mode}, {phases}"


def _trusted(review: Review) -> Pairs:
    """Whom of those who may be drawn the owner trusts."""
    if (panel := review.panel) is None:
        return [("you trust", _some(review.trusted_in_pool))]
    trusted = [member for member in panel.members if member not in panel.unknown]
    return [("you trust", _some(trusted, len(panel.members)))]


def _some(trusted: Sequence[str], of: int | None = None) -> str:
    if not trusted:
        return "none of them"
    count = "all" if len(trusted) == of else f"{len(trusted)} of {of or 'them'}"
    return f"{count}: {panels.members_line(list(trusted))}"


def _shown(review: Review) -> str:
    """What of the records may be shown, beside what may be shown already."""
    cap = "no cap" if review.cap is None else f"a cap of {review.cap}"
    counts = (
        "as many as its recipe says, which is not here"
        if review.records is None
        else counted_at_most(review.records, _recipe_of(review.offered))
    )
    again = f", {review.before.again} of them in audits asked for again" if review.before.again else ""
    return f"{counts}; all other audits of the dataset {review.before.total}{again}, with {cap}"


def _recipe_of(offered: Offered | None) -> Recipe | None:
    return None if offered is None else offered.recipe


def counted_at_most(records: int, trained: Recipe | None) -> str:
    """At most so many records, or places for them."""
    if not records:
        return "no record that counts: nothing leaves your place"
    return f"at most {opened_at_most(records, trained)}"
