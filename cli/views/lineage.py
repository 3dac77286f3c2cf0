"""Lineage in sentences, each as strong as what was compared with the chain, and no stronger."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fitchain.pod.proof.certificate import Link, LinkTraining
    from fitchain.pod.proof.certificate.statement import Ancestor

DERIVED = "derived"
"""The kind of link of which its author says how it follows."""

MOST_SHOWN = 12
"""Links for people, the nearest; `--json` has all."""


def lineage_pairs(lineage: Sequence[Ancestor], links: Sequence[Link], is_whole: bool) -> list[tuple[str, str]]:
    """What is known of where a model comes from, a line for each link and each first model.

    Args:
        lineage: the model and those from which it descends, nearest first.
        links: of each of them and its parents.
        is_whole: whether all of them are listed.
    """
    pairs = [("lineage", describe_link(link)) for link in links[:MOST_SHOWN]]
    if more := len(links) - len(pairs):
        pairs.append(("", f"and {more} more links (--json lists them)"))
    if not is_whole:
        pairs.append(("", "and more models that are not listed: how the line goes on stands in the registry"))
    pairs += [("first model", describe_first(each)) for each in first_models(lineage)[:MOST_SHOWN]]
    return [
        (label if label != before else "", text) for (label, text), before in zip(pairs, _before(pairs), strict=True)
    ]


def _before(pairs: Sequence[tuple[str, str]]) -> list[str | None]:
    return [None, *(label for label, _ in pairs[:-1])]


def first_models(lineage: Sequence[Ancestor]) -> list[Ancestor]:
    """Those that name no parent."""
    return [each for each in lineage if not each.parents]


def describe_link(link: Link) -> str:
    """What is known of a model and one of its parents, in a sentence."""
    child, parent = link.child.short, "nothing registered here" if link.parent is None else link.parent.short
    if link.training is not None:
        return f"{child} is what the job {link.training.agreement.short} made of {parent}: {_checked(link.training)}"
    if link.kind == DERIVED:
        source = "what is no model of this chain" if link.parent is None else parent
        return f"{child} is said to derive from {source} (claimed by its author; its weights were not compared)"
    return f"{child} is said to descend from {parent} (claimed by its author)"


def _checked(training: LinkTraining) -> str:
    """What the chain says of a link's job, and what vouches for it."""
    early = ", before its last step" if training.diverged else ""
    ended = f"by the chain it ended with these very weights{early}, owner {training.owner}"
    if training.refuted:
        return f"{ended}; NOT a training to rely on: {training.reason}"
    return f"{ended}; {training.assurance} ({training.reason})"


def describe_first(first: Ancestor) -> str:
    """Of a line's first model, where its weights come from."""
    return f"{first.id}: its weights are those that its author registered; where they come from nobody checked"


def link_values(link: Link) -> dict[str, Any]:
    """A link in the words of `--json`."""
    training = link.training
    return {
        "model": link.child,
        "parent": link.parent,
        "link": str(link.kind),
        "trained_by": training
        and {
            "agreement": training.agreement,
            "owner": training.owner,
            "scientist": training.scientist,
            "dataset": training.dataset,
            "diverged": training.diverged,
            "assurance": training.assurance.label,
            "reason": training.reason,
            "refuted": training.refuted,
        },
    }
