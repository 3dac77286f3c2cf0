"""The store: content-addressed files and folders.

`open_store(settings)` gives the back end that the settings name; `Cid` names what is in it.

    base          what a store is, and content identifiers
    unixfs        files and folders as blocks
    car           CAR files
    local         a store in a folder
    ipfs          a store over a Kubo node
    node          what a node is asked, and how long it is asked again
    kubo_rpc      what ipfshttpclient lacks
    upload        bytes to the node, hashed here too
    download      blocks from the node, each compared with its CID
    gateway       blocks from a trustless gateway
    unpack        files appear whole or not at all
    endpoints     where a pod's node is reached
    kubo          where Kubo is
    devnet_nodes  the devnet's private pair
"""

from __future__ import annotations

from collections.abc import Callable

from fitchain.pod.ports.settings import DEVNET_CHAIN_ID, Settings
from fitchain.pod.ports.store.base import MOST_BYTES, SMALL_BYTES, Cid, Garbage, Store

__all__ = ["MOST_BYTES", "SMALL_BYTES", "Cid", "Garbage", "Store", "open_store"]


def open_store(
    settings: Settings,
    log: Callable[[str], None] = lambda text: None,
    progress: Callable[[str, int], None] = lambda what, count: None,
) -> Store:
    """Open the store that the settings name, as the pod whose home they name.

    Args:
        settings: `store` is a folder, or the address of a Kubo node's RPC.
        log: is told when the store waits for a node, and why.
        progress: is told, twice a second, what a node is doing and how many bytes have passed.

    Raises:
        InputRefused: the address is malformed. Whether a node answers there shows when it is first
            asked.
    """
    if isinstance(settings.store, str):
        from fitchain.pod.ports.store.ipfs import IpfsStore

        return IpfsStore(
            settings.store,
            settings.home,
            settings.store_authorization,
            settings.store_gateways,
            settings.store_patience_s,
            settings.chain_id == DEVNET_CHAIN_ID,
            log,
            progress,
        )
    from fitchain.pod.ports.store.local import LocalStore

    return LocalStore(settings.store, settings.home)
