"""What a request offers, to be looked at: the recipe and the graph, without the weights.

They lie in the job's folder where this home made the offer or has examined it. Before that whoever
holds the keys can open the two files alone: they are fetched and opened within the bounds of an
examination, and nothing of them is kept.
"""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from fitchain.pod.jobs.exchange import fetch_files
from fitchain.pod.jobs.home import Home
from fitchain.pod.jobs.job_status import local_recipe
from fitchain.pod.ports.agreement import Agreement
from fitchain.pod.values.digest import sha256
from fitchain.pod.values.errors import require_equal
from fitchain.pod.values.graph import LIMITS, Graph
from fitchain.pod.values.job_folder import GRAPH, OFFER_FILES, RECIPE, Scratch, scratch
from fitchain.pod.values.limits import KIB, LOOK_S, FolderLimits
from fitchain.pod.values.reading import read_at_most
from fitchain.pod.values.recipe import Recipe
from fitchain.pod.values.recipe.terms import RECIPE_BYTES

_BESIDE_BYTES = 64 * KIB
"""What a sealed file of so many bytes has besides: a header, and 16 bytes for each 64 KiB."""
_STALE_S = 4 * LOOK_S


@dataclass(frozen=True)
class Offered:
    """What is to be trained, and how.

    Args:
        recipe: that of the agreement's terms.
        graph: that of the recipe; its tensors' shapes are those of the weights.
    """

    recipe: Recipe
    graph: Graph


def local_offer(home: Home, agreement: Agreement) -> Offered | None:
    """What lies in the job's folder, where that is what was agreed; no key is needed.

    Raises:
        InputRefused: the recipe or the graph of that name is none.
    """
    recipe = local_recipe(home, agreement)
    path = home.job_folder(agreement.id).graph
    if recipe is None or not path.is_file() or path.stat().st_size > LIMITS.graph_bytes:
        return None
    data = path.read_bytes()
    return Offered(recipe, Graph.parse(data)) if sha256(data) == recipe.graph else None


def open_offer(home: Home, agreement: Agreement) -> Offered:
    """Fetch an offer's recipe and graph from the store, and compare them with the chain.

    Args:
        home: opened with the owner's or the scientist's key.
        agreement: the request.

    Raises:
        InputRefused, AccessRefused, DigestMismatch: it is no such offer, or is not sealed to this
            home.
        ClaimMismatch: it is another than was agreed.
        NotFound, StoreUnusable, ChainUnusable: it cannot be looked at now.
    """
    _sweep(home.settings.home)
    home.add_peer(agreement.scientist)
    limits = {
        name: FolderLimits(size_bytes + size_bytes // KIB + _BESIDE_BYTES, LOOK_S, 2)
        for name, size_bytes in ((RECIPE, RECIPE_BYTES), (GRAPH, LIMITS.graph_bytes))
    }
    with scratch(home.settings.home, Scratch.OPENED) as folder:
        offer = home.agreements.offer(agreement.id)
        fetch_files(home.store, offer, folder, OFFER_FILES, home.keys.identity, limits)
        recipe_data = read_at_most(folder / RECIPE, RECIPE_BYTES)
        graph_data = read_at_most(folder / GRAPH, LIMITS.graph_bytes)
    require_equal("the agreed recipe is", agreement.terms.recipe, sha256(recipe_data), "the offered recipe is")
    recipe = Recipe.parse(recipe_data)
    require_equal("the recipe's graph is", recipe.graph, sha256(graph_data), "the offered graph is")
    require_equal(
        "the agreed initial model is", agreement.terms.model_root, recipe.initial_model, "the recipe's initial model is"
    )
    registered = home.registry.model(agreement.terms.model).graph
    require_equal("the registered graph is", registered, recipe.graph, "the offered graph is")
    return Offered(recipe, Graph.parse(graph_data))


def _sweep(folder: Path) -> None:
    """Remove what a killed look has left."""
    for path in folder.glob(f"{Scratch.OPENED.prefix}*"):
        if path.is_dir() and not path.is_symlink() and time.time() - path.stat().st_mtime > _STALE_S:
            shutil.rmtree(path, ignore_errors=True)
