"""The store: content-addressed files and folders.

`open_store(settings)` gives the back end that the settings name; `Cid` names what is in it.
"""

from __future__ import annotations

from pod.settings import Settings
from pod.store.base import MOST_BYTES, SMALL_BYTES, Cid, Store

__all__ = ["MOST_BYTES", "SMALL_BYTES", "Cid", "Store", "open_store"]


def open_store(settings: Settings) -> Store:
    """Open the store that the settings name, as the pod whose home they name.

    Raises:
        StoreUnusable: its folder cannot be used.
    """
    from pod.store.local import LocalStore

    return LocalStore(settings.store, settings.home)
