"""The process in which a `tokenizer.json` is read and used, apart from all else.

The file is somebody else's, and so is the native code that reads it: it may want more memory than
there is, or more time, or end where it should refuse. Here that ends this process, which has
neither keys nor records beside the texts it is given, and has given up files and network before it
sees the file (`sandbox`). Nothing of the file is run or fetched.

Its standard input is a line of JSON that says how many bytes follow, then these: first the file,
later texts, again and again. Its standard output is a line of JSON about the file, then for each
text one byte of `Met` and its tokens as uint32, little-endian. Tokens have the numbers that the
library gives them under the file's own rules; cutting and padding are ours alone.
"""

from __future__ import annotations

import json
import resource
import sys
from array import array
from contextlib import suppress
from enum import IntEnum
from typing import TYPE_CHECKING, Any

from fitchain.pod.compute.sandbox import restrict
from fitchain.pod.compute.sandbox.confine import interpreter
from fitchain.pod.compute.sandbox.syscalls import refuse_system_calls
from fitchain.pod.values.errors import Unusable

if TYPE_CHECKING:
    from tokenizers import Tokenizer

USUAL_PADS = ("[PAD]", "<pad>", "<PAD>", "<|pad|>", "<|padding|>")
"""How the token that fills a text up is called where nobody says it, the first that there is."""


class Met(IntEnum):
    """What became of a text.

    Members: all of it is in its tokens; it was cut; the tokenizer has none for it; one is beyond
    the vocabulary.
    """

    WHOLE = 0
    CUT = 1
    NO_TOKEN = 2
    BEYOND = 3


class _Refused(Exception):
    """The file is no tokenizer that can be used: why, and what to do."""


def main() -> int:
    """Read the file, then encode texts until there are no more."""
    order = json.loads(sys.stdin.buffer.readline())
    data = sys.stdin.buffer.read(order["bytes"])
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        import tokenizers
    except ImportError:
        _answer({"absent": True})
        return 0
    with open("/proc/self/statm") as pages:
        memory = int(pages.read().split()[0]) * resource.getpagesize() + order["memory_bytes"]
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CPU, (order["cpu_s"], resource.getrlimit(resource.RLIMIT_CPU)[1]))
    _confine()
    try:
        tokenizer = _opened(data)
        vocabulary = _vocabulary(tokenizer, data, order["most_tokens"])
        answer = {"vocabulary": vocabulary, "pad": _pad(tokenizer, order["pad"])}
    except _Refused as refusal:
        _answer({"refused": list(refusal.args)})
        return 0
    _answer(answer | {"library": tokenizers.__version__, "around": tokenizer.num_special_tokens_to_add(False)})
    tokenizer.no_padding()
    while line := sys.stdin.buffer.readline():
        batch = json.loads(line)
        texts = json.loads(sys.stdin.buffer.read(batch["bytes"]))
        tokenizer.enable_truncation(batch["length"])
        for text in texts:
            met, numbers = _encoded(tokenizer, text, batch["length"], vocabulary)
            words = array("I", numbers + [answer["pad"]] * (batch["length"] - len(numbers)))
            if sys.byteorder == "big":
                words.byteswap()
            sys.stdout.buffer.write(bytes([met]) + words.tobytes())
            sys.stdout.buffer.flush()  # a text at which this process ends is told from those before
    return 0


def _answer(value: dict[str, Any]) -> None:
    sys.stdout.buffer.write(json.dumps(value).encode() + b"\n")
    sys.stdout.buffer.flush()


def _confine() -> None:
    """Give up files, network, programs and whatever else a tokenizer has no need of, as far as the
    kernel lets that be given up."""
    with suppress(Unusable):
        restrict(interpreter(), ())
    with suppress(Unusable):
        refuse_system_calls()


def _opened(data: bytes) -> Tokenizer:
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_str(data.decode())
    except Exception as error:  # noqa: BLE001 - the library raises no other class than this
        raise _Refused(
            f"it is none: {str(error)[:200]}", "take a tokenizer.json of Hugging Face's tokenizers"
        ) from None
    if any(getattr(tokenizer.model, name, None) for name in ("dropout", "alpha", "nbest_size")):
        raise _Refused("it draws its tokens by chance, so that a text has others each time", "set its dropout to null")
    tokenizer.no_truncation()
    return tokenizer


def _vocabulary(tokenizer: Tokenizer, data: bytes, most: int) -> int:
    """How many rows an embedding has that holds every token: the largest number, and one more."""
    numbers = tokenizer.get_vocab(with_added_tokens=True)
    if not numbers:
        raise _Refused("its vocabulary is empty", "train it first")
    if (size := max(numbers.values()) + 1) > most:
        raise _Refused(f"its tokens are numbered up to {size - 1}, and {most - 1} is the limit", "")
    # The library gives an added token another number than the file, where that leaves a gap.
    for added in json.loads(data).get("added_tokens", []):
        if (number := tokenizer.token_to_id(added["content"])) != added["id"]:
            raise _Refused(
                f"an added token has the number {added['id']} in the file, and tokenizers gives it {number}",
                "number added tokens from the end of the vocabulary on",
            )
    return size


def _pad(tokenizer: Tokenizer, named: str | None) -> int:
    """The number of the token that fills a text up: of the one that was named, that the file itself
    fills up with, or that is usually called so."""
    padding = tokenizer.padding
    own = None if padding is None else padding["pad_token"]
    for token in (named,) if named is not None else (own, *USUAL_PADS):
        if token is not None and (number := tokenizer.token_to_id(token)) is not None:
            return number
    if named is not None:
        raise _Refused("it has not the token that is to fill texts up", "name one of its tokens (--pad-token '[PAD]')")
    raise _Refused("it does not say which token fills a text up", "name one of its tokens (--pad-token '[PAD]')")


def _encoded(tokenizer: Tokenizer, text: str, length: int, vocabulary: int) -> tuple[Met, list[int]]:
    """What became of a text, and its tokens' numbers, at most `length`."""
    try:
        encoding = tokenizer.encode(text)
    except Exception:  # noqa: BLE001 - as above: an unknown token without one that stands for such
        return Met.NO_TOKEN, []
    numbers: list[int] = encoding.ids
    if any(number >= vocabulary for number in numbers) or len(numbers) > length:
        return Met.BEYOND, []
    return (Met.CUT if encoding.overflowing else Met.WHOLE), numbers


if __name__ == "__main__":
    sys.exit(main())
