"""Free texts and small tokenizers, as `tokenizer.json` files that are written here by hand."""

from __future__ import annotations

import json
from typing import Any

WORDS = ("[PAD]", "[UNK]", "the", "patient", "is", "well", "ill", "again", "and", "fever")


def tokenizer(*words: str, **changes: Any) -> dict[str, Any]:
    """A tokenizer of whole words in lower case; `changes` are parts of its document."""
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [],
        "normalizer": {"type": "Lowercase"},
        "pre_tokenizer": {"type": "Whitespace"},
        "post_processor": None,
        "decoder": None,
        "model": {
            "type": "WordLevel",
            "vocab": {word: number for number, word in enumerate(words or WORDS)},
            "unk_token": "[UNK]",
        },
    } | changes


def file_of(document: Any) -> bytes:
    """Its bytes."""
    return document if isinstance(document, bytes) else json.dumps(document, ensure_ascii=False).encode()


def added(content: str, number: int) -> dict[str, Any]:
    """An added token."""
    return {
        "id": number,
        "content": content,
        "single_word": False,
        "lstrip": False,
        "rstrip": False,
        "normalized": False,
        "special": True,
    }


AROUND = {
    "type": "TemplateProcessing",
    "single": [
        {"SpecialToken": {"id": "[CLS]", "type_id": 0}},
        {"Sequence": {"id": "A", "type_id": 0}},
        {"SpecialToken": {"id": "[SEP]", "type_id": 0}},
    ],
    "pair": [],
    "special_tokens": {
        name: {"id": name, "ids": [number], "tokens": [name]} for name, number in (("[CLS]", 10), ("[SEP]", 11))
    },
}
"""Puts two tokens around each text."""
