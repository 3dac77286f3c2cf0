"""Tokenizers: free text as the numbers of its tokens, by a `tokenizer.json` whose digest is public.

What a text's tokens are follows from the file, from the release of the library that reads it
(`tokenizers`) and from how many of them a record holds; all three are on the card. The file is used
in a process of its own (`tokenizer_process`), in bounded memory and time.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import fitchain
from fitchain.pod.compute.dataset.columns import Array
from fitchain.pod.compute.dataset.tokenizer_process import Met
from fitchain.pod.values.digest import Digest, parse_json, sha256
from fitchain.pod.values.errors import DigestMismatch, EnvironmentRefused, InputRefused
from fitchain.pod.values.limits import (
    MIB,
    MOST_TEXT_BYTES,
    MOST_TOKENS,
    MOST_VOCABULARY,
    SHORT,
    TABLE_BYTES,
    TOKENIZER_BYTES,
)
from fitchain.pod.values.recipe.fields import Fields, integer

BATCH_BYTES = 8 * MIB
MEMORY_BYTES, CPU_S = 2048 * MIB, 60
"""What the process may take beside its own, and for one batch of texts."""
EXTRA = "pip install 'fitchain[text]' where Fitchain is installed brings it"


@dataclass(frozen=True, slots=True)
class TokenizerTerms:
    """What decides the tokens of a text, beside how many of them a record holds.

    Args:
        digest: SHA-256 of the file.
        library: release of `tokenizers` that reads it.
        vocabulary: how many rows an embedding has that holds every token: the largest number of
            one, and one more.
        pad: number of the token that fills a text up.
    """

    digest: Digest
    library: str
    vocabulary: int
    pad: int

    def __post_init__(self) -> None:
        if self.pad >= self.vocabulary:
            raise InputRefused(f"texts are filled up with the token {self.pad}, beyond {self.vocabulary} tokens")

    def json(self) -> dict[str, Any]:
        """The form of a card, and of what a registration keeps."""
        return {
            "digest": str(self.digest),
            "library": self.library,
            "vocabulary": self.vocabulary,
            "pad": self.pad,
        }

    @classmethod
    def from_json(cls, value: Any) -> TokenizerTerms:
        """Read that form.

        Raises:
            InputRefused: a field is missing, unknown or out of bounds.
        """
        fields = Fields("a tokenizer", value, cls.__dataclass_fields__)
        vocabulary = fields.integer("vocabulary", 1, MOST_VOCABULARY)
        pad = fields.integer("pad", 0, MOST_VOCABULARY)
        return cls(fields.digest("digest"), fields.text("library", 40), vocabulary, pad)


@dataclass(frozen=True)
class Tokenizing:
    """How an owner wants free text read.

    Args:
        file: a `tokenizer.json`, its bytes.
        length: how many tokens a record holds of a text.
        pad: the token that fills texts up, by its name; None takes the file's own, or a usual one.
    """

    file: bytes = field(repr=False)
    length: int
    pad: str | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.length <= MOST_TOKENS:
            raise InputRefused(f"a text of {self.length} tokens: it has 1 to {MOST_TOKENS}", "write --length 128, say")

    @classmethod
    def read(cls, path: Path, length: int, pad: str | None = None) -> Tokenizing:
        """Read the file, in bounds.

        Raises:
            InputRefused: it is larger than a tokenizer may be, or no file.
            OSError: it cannot be read.
        """
        if not path.is_file():
            raise InputRefused(f"there is no tokenizer {path}", "name a tokenizer.json")
        with path.open("rb") as file:
            data = file.read(TOKENIZER_BYTES + 1)
        return cls(data, length, pad)


class TextFailed(Exception):
    """The process ended at a text; its argument is the text's place in the batch."""


@dataclass
class Tokenizer:
    """A tokenizer in its process, and how many texts it cut.

    Args:
        terms: what decides the tokens.
        around: how many tokens it puts around each text.
        process: that has the file.
        cpu_s: processor time that it may take for a batch of texts.
        room_bytes: that all cells of tokens may still take.
        cut: texts that were longer than their column's cells, by column.
    """

    terms: TokenizerTerms
    around: int
    process: subprocess.Popen[bytes]
    cpu_s: int = CPU_S
    room_bytes: int = TABLE_BYTES
    cut: dict[str, int] = field(default_factory=dict)

    def encode(self, texts: Sequence[str], length: int) -> tuple[Array, Array]:
        """Encode texts, cutting and filling up each.

        Args:
            texts: of at most `MOST_TEXT_BYTES` each.
            length: of each.

        Returns:
            Tokens, int64 `[n, length]`, and what became of each, `Met` as uint8 `[n]`.

        Raises:
            TextFailed: at one of them the process ended.
            InputRefused: the tokens of all texts so far take too much room.
        """
        self.room_bytes -= 8 * length * len(texts)
        if self.room_bytes < 0:
            raise InputRefused("the tokens take more room than a table may", "give texts fewer of them (--length)")
        row = np.dtype([("met", "u1"), ("tokens", "<u4", (length,))])
        parts = [np.zeros(0, row)]
        for low, batch in _batches(texts):
            assert self.process.stdin is not None and self.process.stdout is not None
            try:
                _allow(self.process.pid, self.cpu_s)
                _send(self.process, json.dumps(list(batch)).encode(), length=length)
            except (BrokenPipeError, ProcessLookupError):
                raise TextFailed(low) from None
            data = self.process.stdout.read(len(batch) * row.itemsize)
            if len(data) < len(batch) * row.itemsize:
                raise TextFailed(low + len(data) // row.itemsize)
            parts.append(np.frombuffer(data, row))
        rows = np.concatenate(parts)
        return rows["tokens"].astype(np.int64), rows["met"]


def _allow(pid: int, cpu_s: int) -> None:
    """From here on a process may take so much processor time: beyond it the kernel ends it."""
    state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()  # proc_pid_stat(5), from its third field
    used_s = (int(state[11]) + int(state[12])) // os.sysconf("SC_CLK_TCK")
    hard = resource.prlimit(pid, resource.RLIMIT_CPU)[1]
    resource.prlimit(pid, resource.RLIMIT_CPU, (used_s + cpu_s, hard))


def _batches(texts: Sequence[str]) -> Iterator[tuple[int, Sequence[str]]]:
    """Texts in batches of some megabytes, with the place of each one's first."""
    low, size = 0, 0
    for position, text in enumerate(texts):
        size += len(text)
        if size > BATCH_BYTES and position > low:
            yield low, texts[low:position]
            low, size = position, len(text)
    if low < len(texts):
        yield low, texts[low:]


@contextmanager
def open_tokenizer(
    file: bytes,
    *,
    pad: str | None = None,
    terms: TokenizerTerms | None = None,
    memory_bytes: int = MEMORY_BYTES,
    cpu_s: int = CPU_S,
    room_bytes: int = TABLE_BYTES,
) -> Iterator[Tokenizer]:
    """Start the process of a tokenizer.

    Args:
        file: a `tokenizer.json`, its bytes.
        pad: the token that fills texts up, by its name; None takes the file's own, or a usual one.
        terms: what it has to be, where that is known already.
        memory_bytes: that the process may take beside its own.
        cpu_s: seconds of processor time, for the file and for each batch.
        room_bytes: that all cells of tokens may take.

    Raises:
        InputRefused: it is no tokenizer, or one that cannot be used.
        DigestMismatch: it is another file than the terms say.
        EnvironmentRefused: the library is not here, or another release of it than the terms say.
    """
    if len(file) > TOKENIZER_BYTES:
        raise InputRefused(f"the tokenizer has more than {TOKENIZER_BYTES} bytes", "take one with a smaller vocabulary")
    if terms is not None and sha256(file) != terms.digest:
        raise DigestMismatch(f"the tokenizer is the file {sha256(file)} and not {terms.digest}")
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "fitchain.pod.compute.dataset.tokenizer_process"],
        env={"PYTHONPATH": _search_path(), "TOKENIZERS_PARALLELISM": "false", "OPENBLAS_NUM_THREADS": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # what native code says of its end may have a text in it
    )
    with process:
        try:
            read, around = _read_terms(process, file, pad, memory_bytes, cpu_s)
            _require_same(terms, read)
            yield Tokenizer(read if terms is None else terms, around, process, cpu_s, room_bytes)
        finally:
            process.kill()


def _read_terms(
    process: subprocess.Popen[bytes], file: bytes, pad: str | None, memory_bytes: int, cpu_s: int
) -> tuple[TokenizerTerms, int]:
    """What the process says of the file: its terms, and how many tokens it puts around a text."""
    assert process.stdout is not None
    try:
        _send(process, file, memory_bytes=memory_bytes, cpu_s=cpu_s, pad=pad, most_tokens=MOST_VOCABULARY)
        answer = parse_json(process.stdout.readline(SHORT.text_bytes), SHORT)
    except (BrokenPipeError, InputRefused):
        raise InputRefused(
            "the process that was to read the tokenizer ended: it takes more memory or time than it may, or its"
            " library fails on it",
            "take another one",
        ) from None
    if "absent" in answer:
        raise EnvironmentRefused("free text is read with the library tokenizers, which is not here", EXTRA)
    if "refused" in answer:
        reason, advice = answer["refused"]
        raise InputRefused(f"the tokenizer cannot be used: {reason}", advice)
    around = integer("a tokenizer: around", answer.pop("around"), 0, MOST_TOKENS)
    return TokenizerTerms.from_json({"digest": str(sha256(file)), **answer}), around


def _require_same(terms: TokenizerTerms | None, read: TokenizerTerms) -> None:
    """Refuse another release of the library than texts were read with, or another vocabulary."""
    if terms is None:
        return
    if terms.library != read.library:
        raise EnvironmentRefused(
            f"the texts were read with tokenizers {terms.library}, and {read.library} is here, whose tokens may"
            " be others",
            f"pip install tokenizers=={terms.library} where Fitchain is installed",
        )
    if terms.vocabulary != read.vocabulary:
        raise InputRefused(f"the tokenizer has {read.vocabulary} tokens and its card says {terms.vocabulary}")


def _search_path() -> str:
    """Where the process finds this package and the library, which a person may have put elsewhere."""
    return ":".join([str(Path(fitchain.__file__).parents[1]), *filter(None, sys.path)])


def _send(process: subprocess.Popen[bytes], data: bytes, **order: Any) -> None:
    assert process.stdin is not None
    process.stdin.write(json.dumps({"bytes": len(data), **order}).encode() + b"\n")
    process.stdin.write(data)
    process.stdin.flush()


def refusal_of(met: int, terms: TokenizerTerms) -> tuple[str, str]:
    """What is wrong with a text, and what to do."""
    if met == Met.BEYOND:
        return f"the tokenizer gives it tokens beyond its {terms.vocabulary}, or more than a record holds", "mend it"
    return "the tokenizer has no tokens for it", "give the tokenizer a token for what it does not know ([UNK])"


def is_too_long(text: str) -> bool:
    """Whether a text is beyond what is encoded at once."""
    return len(text) > MOST_TEXT_BYTES // 4 and len(text.encode(errors="replace")) > MOST_TEXT_BYTES
