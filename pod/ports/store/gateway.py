"""Trustless gateways: HTTP servers that give single blocks, asked when no peer does. What they give
is checked like all else.

Source: https://specs.ipfs.tech/http-gateways/trustless-gateway
"""

from __future__ import annotations

import hashlib

import requests

from fitchain.pod.ports.store.base import Cid
from fitchain.pod.ports.store.unixfs import BLOCK_BYTES
from fitchain.pod.values.errors import DigestMismatch, NotFound, StoreUnusable
from fitchain.pod.values.urls import without_secrets

CONNECT_S = 5.0
SILENCE_S = 20.0
PIECE_BYTES = 256 << 10
_RAW = {"Accept": "application/vnd.ipld.raw"}


def block(url: str, cid: Cid) -> bytes:
    """Ask a gateway for one block.

    Args:
        url: of the gateway, without `/ipfs`.
        cid: the block.

    Raises:
        NotFound: it has none such.
        DigestMismatch: it gives another block.
        StoreUnusable: it does not answer, or gives more than a block.
    """
    came, shown = bytearray(), without_secrets(url)
    try:
        with requests.get(
            f"{url}/ipfs/{cid}", {"format": "raw"}, headers=_RAW, timeout=(CONNECT_S, SILENCE_S), stream=True
        ) as answer:
            if answer.status_code != requests.codes.ok:
                raise NotFound(f"the gateway {shown} does not give the block {cid} (status {answer.status_code})")
            for piece in answer.iter_content(PIECE_BYTES):
                came += piece
                if len(came) > BLOCK_BYTES:
                    raise StoreUnusable(
                        f"the gateway {shown} gives more than a block for {cid}: it is no trustless one"
                    )
    except requests.RequestException as error:
        raise StoreUnusable(f"the gateway {shown} does not answer: {type(error).__name__}") from None
    hashed = hashlib.sha256(came)
    if hashed.digest() != cid.sha256:
        raise DigestMismatch(
            f"the gateway {shown} gives other bytes for the block {cid}, of SHA-256 {hashed.hexdigest()}"
        )
    return bytes(came)
