"""With which weights a model begins, as the command line shows it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fitchain.cli.views.amounts import counted

if TYPE_CHECKING:
    from fitchain.pod.parties.scientist import InitialWeights, PublishedModel

MOST_NAMED = 12
ROUNDED = ("F64 -> F32", "F64 -> F16", "F64 -> BF16", "F32 -> F16", "F32 -> BF16", "F16 -> BF16", "BF16 -> F16")
"""Conversions that lose digits; all others are exact."""


def weights_values(weights: InitialWeights, published: PublishedModel) -> dict[str, Any]:
    """As `--json` has it."""
    loaded = published.loaded
    assert loaded is not None
    return {
        "source": weights.source,
        "job": weights.job,
        "taken": list(loaded.taken),
        "new": list(loaded.new),
        "unused": list(loaded.unused),
        "differing": list(loaded.differing),
        "converted": dict(loaded.converted),
        "prefixes": list(loaded.prefixes),
        "parents": list(weights.origin.parents),
        "is_whole": _is_whole(weights, published),
    }


def weights_pairs(weights: InitialWeights, published: PublishedModel) -> list[tuple[str, str]]:
    """For people."""
    loaded = published.loaded
    assert loaded is not None
    pairs = [("weights", f"{counted(len(loaded.taken), 'tensor')} from {weights.source}")]
    begin, own = loaded.prefixes
    if loaded.prefixes != ("", ""):
        pairs.append(("", f"names that begin with {begin!r} there begin with {own!r} in the module"))
    for words, count in loaded.converted.items():
        pairs.append(
            ("", f"{counted(count, 'tensor')} converted {words} ({'rounded' if words in ROUNDED else 'exactly'})")
        )
    for label, names in (("new", loaded.new), ("new", loaded.differing), ("left out", loaded.unused)):
        if names:
            pairs.append((label, _listed(names)))
    if weights.job is not None:
        pairs.append(("lineage", _lineage(weights, published)))
    return pairs


def _lineage(weights: InitialWeights, published: PublishedModel) -> str:
    """How strong the link to the job is that a certificate will show."""
    if not weights.origin.parents:
        return "its job is of another chain: certificates will say that you claim it"
    if _is_whole(weights, published):
        return "its root is the job's final root, which certificates compare with the chain"
    return "not the whole of what the job delivered: certificates will say that you claim it"


def _is_whole(weights: InitialWeights, published: PublishedModel) -> bool:
    return weights.job is not None and weights.root == published.initial_model


def _listed(names: tuple[str, ...]) -> str:
    more = len(names) - MOST_NAMED
    return ", ".join([*names[:MOST_NAMED], *([f"and {more} more"] if more > 0 else [])])
