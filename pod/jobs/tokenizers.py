"""The tokenizer of a dataset's free texts, by its card: what whoever reads such texts fetches."""

from __future__ import annotations

from fitchain.pod.compute.dataset import Card
from fitchain.pod.jobs.home import Home
from fitchain.pod.values.digest import sha256
from fitchain.pod.values.errors import DigestMismatch
from fitchain.pod.values.limits import TOKENIZER_BYTES


def tokenizer_file(home: Home, card: Card) -> bytes | None:
    """Fetch the `tokenizer.json` of a dataset, its bytes; None where its card names none.

    Raises:
        NotFound, StoreUnusable: the store has it not, or does not answer.
        DigestMismatch: it is another than the card says.
    """
    if card.tokenizer is None:
        return None
    file = home.store.cat(card.tokenizer.cid, TOKENIZER_BYTES)
    if sha256(file) != card.tokenizer.terms.digest:
        raise DigestMismatch(
            f"the tokenizer is the file {sha256(file)}, and the card says {card.tokenizer.terms.digest}"
        )
    return file
