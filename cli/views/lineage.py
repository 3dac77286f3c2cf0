"""Lineage in sentences, each as strong as what was compared with the chain, and no stronger."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fitchain.pod.proof.certificate import Parentage, ParentageTraining
    from fitchain.pod.proof.certificate.statement import Ancestor

DERIVED = "derived"
"""The kind of parentage of which its author says how it follows."""

MOST_SHOWN = 12
"""Lines for people, the nearest; `--json` has all."""


def lineage_pairs(
    lineage: Sequence[Ancestor], parentages: Sequence[Parentage], is_whole: bool
) -> list[tuple[str, str]]:
    """What is known of where a model comes from, a line for each parent and each first model.

    Args:
        lineage: the model and those from which it descends, nearest first.
        parentages: of each of them and its parents.
        is_whole: whether all of them are listed.
    """
    sentences = [describe_parentage(each) for each in parentages[:MOST_SHOWN]]
    if more := len(parentages) - len(sentences):
        sentences.append(f"and {more} more (--json lists them)")
    if not is_whole:
        sentences.append("and more models that are not listed: how the line goes on stands in the registry")
    firsts = [describe_first(each) for each in lineage if not each.parents][:MOST_SHOWN]
    return [*_labelled("lineage", sentences), *_labelled("first model", firsts)]


def _labelled(label: str, sentences: Sequence[str]) -> list[tuple[str, str]]:
    return [("" if number else label, sentence) for number, sentence in enumerate(sentences)]


def describe_parentage(parentage: Parentage) -> str:
    """What is known of a model and one of its parents, in a sentence."""
    child, parent = parentage.child.short, parentage.parent and parentage.parent.short
    if parentage.training is not None:
        return f"{child} has the weights with which {_checked(parentage.training, str(parent))}"
    if parentage.kind == DERIVED:
        source = parent or "what is no model of this chain"
        return f"{child} is said to derive from {source} (claimed by its author; its weights were not compared)"
    return f"{child} is said to descend from {parent} (claimed by its author)"


def _checked(training: ParentageTraining, parent: str) -> str:
    """What the chain says of the job that made a model, and what vouches for it."""
    early = " before its last step" if training.diverged else ""
    job = f"the job {training.agreement.short} ended{early}, by the chain, which was to train {parent}"
    if training.refuted:
        return f"{job}; its owner is {training.owner}; NOT to be relied on: {training.reason}"
    return f"{job}; its owner is {training.owner}; {training.assurance} ({training.reason})"


def describe_first(first: Ancestor) -> str:
    """Of a line's first model, where its weights come from."""
    return f"{first.id}: its weights are those that its author registered; where they come from nobody checked"


def parentage_values(parentage: Parentage) -> dict[str, Any]:
    """A parentage in the words of `--json`."""
    training = parentage.training
    return {
        "model": parentage.child,
        "parent": parentage.parent,
        "kind": str(parentage.kind),
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
