"""What a person is shown before it says yes to a request, or to another audit of a job."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fitchain.cli.views import panels
from fitchain.cli.views.amounts import counted, format_duration
from fitchain.cli.views.history import describe_work
from fitchain.cli.views.output import KeyValues
from fitchain.pod.values.amounts import amount_text

if TYPE_CHECKING:
    from fitchain.pod.parties.owner.review import Review


def describe(review: Review) -> KeyValues:
    """A request, or a question, in labelled lines: who asks for what, who would judge, what they
    are shown, what speaks against it."""
    job, terms = review.agreement, review.terms
    about = [("dataset", f"{job.terms.dataset.short}, {review.dataset}"), ("model", job.terms.model.short)]
    pairs: list[tuple[str, Any]] = [("job", job.id)]
    if review.asked is None:
        pairs += [
            ("asked by", job.scientist),
            *about,
            ("training", f"{job.terms.steps} steps, {amount_text(job.terms.price)} FIT"),
            ("work", describe_work(job.terms)),
        ]
    else:
        fees = f"{amount_text(terms.fees)} FIT of fees locked"
        pairs += [("audit", review.asked.ref.ordinal), ("asked by", f"{review.asked.asker}, {fees}"), *about]
    if not terms.seats:
        pairs.append(("judged by", "nobody: neither an audit nor a dispute is agreed"))
    else:
        when = "" if terms.verifiers else ", only if the scientist disputes"
        phases = f"phases of {format_duration(terms.window)}"
        pairs.append(("judged by", f"{counted(terms.seats, 'verifier')}{when}, mode {terms.mode}, {phases}"))
        pairs += [pair for pair in panels.pairs_of(review.panel) if pair[0] != "mind"]
    pairs.append(("may be shown", _shown(review)))
    minds = dict.fromkeys([*review.concerns, *(review.panel.concerns() if review.panel else [])])
    pairs += [("mind", concern) for concern in minds]
    if not review.examined:
        pairs.append(
            (
                "mind",
                "the pod has not examined it yet: it asks again if more speaks against it, and declines what fails",
            )
        )
    return KeyValues(pairs)


def values(review: Review) -> dict[str, Any]:
    """The JSON form of what was shown."""
    return {
        "panel": panels.values(review.panel),
        "mode": review.terms.mode.word if review.terms.seats else None,
        "records": review.records,
        "records_before": review.before.total,
        "records_before_again": review.before.again,
        "records_cap": review.cap,
        "concerns": list(review.concerns),
        "examined": review.examined,
    }


def _shown(review: Review) -> str:
    """What of the records may be shown, beside what may be shown already."""
    if not review.terms.seats:
        return "no record"
    cap = "no cap" if review.cap is None else f"a cap of {review.cap}"
    counts = (
        "as many as its recipe says, which is not here" if review.records is None else counted_at_most(review.records)
    )
    again = f", {review.before.again} of them in audits asked for again" if review.before.again else ""
    return f"{counts}; all other audits of the dataset {review.before.total}{again}, with {cap}"


def counted_at_most(records: int) -> str:
    """At most so many records."""
    return f"at most {counted(records, 'record')}" if records else "no record that counts: nothing leaves your place"
