"""Rehearsal: the first segments of a job on mock data, before anyone's money or data are at stake.

Stands after `worker` and before `journal`. The scientist rehearses before it asks, the owner before it accepts; both run the same
worker in the same sandbox on what the dataset's card publishes.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from pod.dataset import Card
from pod.digest import ZERO
from pod.errors import InputRefused
from pod.parcel import OFFER_FILES
from pod.store import Store
from pod.worker import Event, Order, run_worker

MOCK_LIMIT_BYTES = 1 << 30


def rehearse(store: Store, folder: Path, card: Card) -> Event | None:
    """Train the offer in a folder for its first segments on the card's mock data.

    Args:
        store: has the mock data.
        folder: holds recipe.json, graph.json and initial.safetensors; nothing in it is changed.
        card: the dataset's.

    Returns:
        the worker's last event; None where the card publishes no mock data and nothing could be rehearsed.

    Raises:
        FitchainError: what would have stopped the training.
    """
    if card.mock is None:
        return None
    with tempfile.TemporaryDirectory(dir=folder, prefix=".rehearsal-") as scratch:
        place = Path(scratch)
        for name in OFFER_FILES:
            shutil.copyfile(folder / name, place / name)
        store.fetch(card.mock, place / "records.npz", limit_bytes=MOCK_LIMIT_BYTES)
        Order("rehearse", ctx=ZERO, seed=ZERO, salt_key=bytes(32), keep_every=1 << 30).write(place)
        ended = run_worker(place)
    if ended["event"] == "diverged":
        raise InputRefused(
            f"the job leaves the finite numbers at step {ended['at'] + 1} on mock data: {ended['reason']}",
            "lower the learning rate, or start from other weights",
        )
    return ended
