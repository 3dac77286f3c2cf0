"""Examining a request: everything that an owner's pod checks before its bond and its data are at stake.

Whatever does not hold is a reason to decline; what could not be checked (chain or store do not answer) is tried again. The order is
from cheap to dear: offer, terms, recipe, policy, graph, environment, the records, a rehearsal on mock data in the worker's
sandbox.
"""

from __future__ import annotations

from pathlib import Path

from platformdirs import user_cache_path

from pod import environment
from pod.agreement import Agreement, Mode
from pod.dataset import Card, Disclosure
from pod.digest import Digest, sha256
from pod.errors import ClaimMismatch, InputRefused
from pod.graph import Graph
from pod.home import Home
from pod.owner.data import read_registered
from pod.parcel import OFFER_FILES, fetch_folder
from pod.recipe import Recipe
from pod.rehearsal import rehearse
from pod.state import model_root, read_safetensors

OFFER_LIMIT_BYTES = 4 << 30


def examine(home: Home, agreement: Agreement) -> None:
    """Check a request wholly and rehearse it; its files lie in the job's folder afterwards.

    Raises:
        FitchainError: why the request cannot be accepted; ChainUnusable and StoreUnusable say that it could not be examined now.
    """
    row = home.journal.dataset(agreement.terms.dataset)
    folder = home.job_folder(agreement.id)
    offer = home.agreements.offer(agreement.id)
    fetch_folder(home.store, offer, folder, OFFER_FILES, home.keys.identity, OFFER_LIMIT_BYTES)
    recipe, graph = read_offer(folder)
    check_terms(home, agreement, recipe, graph)
    card = Card.parse(row.card)
    card.admit(recipe, agreement.terms.price, agreement.scientist, _disclosure(agreement))
    graph.check(recipe.environment.name)
    environment.check(recipe.environment, user_cache_path("fitchain"))  # what holds for this host holds for every home
    read_registered(home, row)
    rehearse(home.store, folder, card)


def read_offer(folder: Path) -> tuple[Recipe, Graph]:
    """Read the opened offer of a job's folder and check that its parts belong together.

    Raises:
        InputRefused: a part is malformed or beyond a limit.
        ClaimMismatch: the recipe names another graph or another initial model than those beside it.
    """
    recipe = Recipe.parse((folder / "recipe.json").read_bytes())
    graph = Graph.parse((folder / "graph.json").read_bytes())
    tensors, _ = read_safetensors(folder / "initial.safetensors")
    _same("the recipe's graph", recipe.graph, "the offered graph", graph.digest)
    _same("the recipe's initial model", recipe.initial_model, "the offered weights", model_root(tensors))
    return recipe, graph


def check_terms(home: Home, agreement: Agreement, recipe: Recipe, graph: Graph) -> None:
    """Compare what the chain says with what was offered.

    Raises:
        ClaimMismatch: they differ; the message names the first difference.
    """
    terms, model = agreement.terms, home.registry.model(agreement.terms.model)
    _same("the agreed recipe", terms.recipe, "the offered recipe", sha256(recipe.encode()))
    _same("the registered graph", model.graph, "the offered graph", graph.digest)
    _same("the registered initial model", model.initial_root, "the recipe's", recipe.initial_model)
    for name in ("steps", "segment", "group"):
        if getattr(terms, name) != getattr(recipe, name):
            raise ClaimMismatch(
                f"the terms agree on {name} {getattr(terms, name)} and the recipe on {getattr(recipe, name)}"
            )
    agreed = (terms.audit.segments, terms.audit.verifiers, terms.audit.mode)
    offered = (recipe.audit.segments, recipe.audit.verifiers, MODES[recipe.audit.mode])
    if agreed != offered:
        raise ClaimMismatch(f"the terms agree on the audit {agreed} and the recipe on {offered}")


MODES = {"open": Mode.OPEN, "sampled": Mode.SAMPLED, "on-site": Mode.ON_SITE}
"""The recipe's words for the chain's audit modes."""


def _disclosure(agreement: Agreement) -> Disclosure:
    """What an audit of the job would open at most: nothing where no verifier is agreed."""
    audit = agreement.terms.audit
    if not audit.verifiers:
        return Disclosure()
    raise InputRefused("the request asks for verifiers, and no audits are deployed")


def _same(what: str, one: Digest, other_what: str, other: Digest) -> None:
    if one != other:
        raise ClaimMismatch(f"{what} is {one} and {other_what} is {other}")
