"""Examining a request: everything the owner's pod checks before money and data are at stake.

Whatever does not hold ends the request with a reason; what could not be checked (chain or store do not answer) is tried again.
The order is from cheap to dear: terms, parcel, recipe, policy, graph, environment, the records, a rehearsal on mock data in the
worker's sandbox.
"""

from __future__ import annotations

from pathlib import Path

from pod import environment
from pod.agreement import Agreement, AuditTerms
from pod.dataset import Card, Table
from pod.digest import Digest, sha256
from pod.errors import ClaimMismatch, InputRefused
from pod.graph import Graph
from pod.home import Home
from pod.job import prepare_rehearsal
from pod.journal import DatasetRow
from pod.owner.data import read_registered
from pod.parcel import OFFER_FILES, fetch_folder
from pod.recipe import Recipe
from pod.state import model_root, read_safetensors
from pod.worker import run_worker

OFFER_LIMIT_BYTES = 4 << 30


def examine(home: Home, agreement: Agreement) -> None:
    """Check a request wholly and rehearse it; its files lie in the job's folder afterwards.

    Raises:
        Refused: any FitchainError says why the request cannot be accepted; ChainUnusable and StoreUnusable say that it could not
            be examined now.
    """
    row = home.journal.dataset(agreement.terms.dataset)
    folder = home.job_folder(agreement.id)
    fetch_folder(
        home.store, home.agreements.offer(agreement.id), folder, OFFER_FILES, home.keys.identity, OFFER_LIMIT_BYTES
    )
    recipe, graph = read_offer(folder)
    check_terms(home, agreement, recipe, graph, folder)
    card = Card.parse(row.card)
    card.admit(recipe, agreement.terms.price, agreement.scientist)
    graph.check(recipe.environment.name)
    environment.check(recipe.environment, home.settings.home / "probes")
    read_registered(home, row)
    rehearse(home, folder, recipe, card)
