"""Limits: what is read at most of each kind of bytes that somebody else made.

A pod runs for months beside private data and reads what strangers send. Whatever it reads has its
row here: how many bytes, how many items, how deep, and what reading them takes. Sizes are compared
before anything is read, counts and depth before anything is built, and the work of reading grows
with the bytes and no faster. `docs/format.md` shows the same rows, and each has its tests.

It knows numbers and imports nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30


@dataclass(frozen=True, slots=True)
class JsonLimits:
    """What a JSON text may be at most.

    Args:
        text_bytes: of the text.
        items: values in it: numbers, texts, lists, objects and what stands in them.
        depth: levels of lists and objects.
    """

    text_bytes: int
    items: int
    depth: int


@dataclass(frozen=True, slots=True)
class FolderLimits:
    """What a folder of sealed files may be at most.

    Args:
        size_bytes: of all of it.
        seconds: for fetching and opening it; None waits as long as something comes.
        recipients: to how many its files are sealed.
    """

    size_bytes: int
    seconds: float | None = None
    recipients: int = 1


# Sealed files: age files for X25519 recipients.

MOST_RECIPIENTS = 64
HEADER_BYTES_EACH, HEADER_BYTES_BESIDE = 200, 400
"""A recipient takes 98 bytes of a header; the rest of it is a first and a last line of 70 bytes and
one stanza of other kind, which some writers add."""
OPENING_S, OPENED_BYTES_A_SECOND = 30, 8 * MIB
"""Processor time for opening a folder's files: so many seconds, and one for so many bytes."""

# What travels in them.

SEALED_BYTES_BESIDE = 8 * KIB
"""What a sealed note has besides its content: a header, and 16 bytes for each 64 KiB."""
NOTE = JsonLimits(16 * MIB, 1 << 18, 3)
SHORT = JsonLimits(64 * KIB, 16, 2)
"""A key or a refusal."""
MOST_REASON = 4_000
"""Characters of a refusal's reason."""
FIRST_OFFER_S, OFFER_S = 30.0, 600.0
"""Seconds that an offer is given at first, and in the end, while other requests wait."""
OFFER = FolderLimits(4 * GIB, OFFER_S, 2)
LOOK_S = 60
"""How long a person waits at most for a look at what an offer says, file by file."""
BASE_S = 3600.0
BASE = FolderLimits(16 * GIB, BASE_S)
"""The base of an offered model, which is fetched once."""
UNASKED_BASE_BYTES = GIB
"""A larger one is not fetched before a person said yes, where one is to be asked."""
DELIVERY = FolderLimits(8 * GIB)
EVIDENCE = FolderLimits(64 * GIB, None, MOST_RECIPIENTS)
"""The largest evidence that is fetched: an owner whose evidence is larger has withheld it."""

# Documents.

JSON = JsonLimits(MIB, 1 << 16, 32)
"""Where nothing else is said."""
ANSWER = JsonLimits(256 * MIB, 1 << 22, 64)
"""Of a node of the chain, or, in fewer bytes, of the store."""
STORE_ANSWER_BYTES = 64 * MIB
EVENT = JsonLimits(64 * KIB, 1 << 13, 8)
"""A line of a worker, which a stranger's model may have taken over."""
RECIPE = JsonLimits(32 * MIB, 1 << 22, 8)
GRAPH = JsonLimits(16 * MIB, 1 << 21, 12)
CARD = JsonLimits(8 * MIB, 1 << 18, 8)
PREPROCESSING = JsonLimits(48 * MIB, 1 << 22, 8)
"""What a card and a recipe at their limits make together."""
ENVELOPE = JsonLimits(256 * MIB, 16, 4)
STATEMENT = JsonLimits(192 * MIB, 1 << 23, 16)
LEAF_LINE = JsonLimits(256 * KIB, 1 << 13, 6)
"""Of them a held-out result of 32 classes takes an eighth, and one by the groups of 3 columns half."""
STATE_DIGESTS_LINE = JsonLimits(4 * MIB, 1 << 15, 3)
MOST_STATE_DIGESTS = 1 << 20
TRAIL_LINE = JsonLimits(256 * KIB, 1 << 13, 8)
MOST_TRAIL_LINES = 1 << 20
TRUST_LIST = JsonLimits(16 * MIB, 1 << 21, 6)
KEY_FILE = JsonLimits(64 * KIB, 128, 8)
MOST_DERIVATION = {"n": 1 << 20, "r": 32, "p": 16, "c": 1 << 22, "dklen": 64}
"""Of scrypt and of PBKDF2, by the names of a keystore's `kdfparams`."""
MOST_SCRYPT = 1 << 23
"""n r p of scrypt: four times what accounts use, and a gigabyte of memory."""
DEPLOYMENT = JsonLimits(64 * KIB, 64, 4)
TASK = JsonLimits(16 * MIB, 1 << 21, 8)
"""What a pod tells its own worker."""
RISK_REPORT = JsonLimits(256 * KIB, 1 << 13, 6)
EVALUATION = JsonLimits(4 * MIB, 1 << 18, 8)
"""What a worker writes of a model on a table of the scientist's own."""


EVIDENCE_LEAF_BYTES, EVIDENCE_LEAF_ITEMS, MOST_PATH = 144 * KIB, 5376, 64
"""Of which a held-out result takes most: one of 32 classes a tenth, and one by groups the rest."""
MOST_EVIDENCE_LEAVES = 1 << 14
"""At both ends of each of as many segments as the contract draws, and more."""


def evidence_document(leaves: int) -> JsonLimits:
    """What an `evidence.json` that opens so many leaves may be at most."""
    leaves = min(leaves, MOST_EVIDENCE_LEAVES)
    last = LEAF_LINE  # which names a held-out result
    return JsonLimits(
        last.text_bytes + leaves * EVIDENCE_LEAF_BYTES, last.items + leaves * EVIDENCE_LEAF_ITEMS, last.depth + 2
    )


# Files of arrays, tensors and records.

TENSORS_HEADER = JsonLimits(16 * MIB, 1 << 18, 4)
TENSORS_KINDS = JsonLimits(16 * MIB, 1 << 14, 2)
MOST_TENSORS, MOST_RANK, MOST_TENSOR_NAME = 10_000, 8, 512
TENSORS_BYTES = 16 * GIB
DELTA = JsonLimits(8 * MIB, 1 << 18, 4)
"""What a model's file says of its base, inside the header."""
MOST_COLUMNS, MOST_COLUMN_NAME = 10_000, 200
RECORDS_SCHEMA = JsonLimits(16 * MIB, 1 << 18, 4)
TABLE_BYTES = 64 * GIB
"""An owner's own data."""
JSON_LINE_BYTES = 16 * MIB
"""Of one record of it."""
PARQUET_FOOTER_BYTES = 256 * MIB
"""What says of a Parquet file where its columns lie."""
IMAGE_FILE_BYTES, IMAGE_PIXELS = GIB, 1 << 26
"""Of one image of a folder, packed and unpacked."""
SCAN_BYTES = 4 * GIB
"""Of one scan, while it is decoded."""
MOCK_BYTES = GIB
"""Mock data, packed and unpacked."""
TOKENIZER_BYTES, MOST_VOCABULARY = 32 * MIB, 1 << 20
"""A `tokenizer.json`, and the numbers of its tokens."""
MOST_TEXT_BYTES, MOST_TOKENS = 4 * MIB, 1 << 16
"""One free text, and how many tokens a record holds of it."""
ARRAY_HEADER_BYTES = 10_000
ARCHIVE_DIRECTORY_BYTES = MOST_COLUMNS * 2 * KIB

# Objects of the store.

BLOCK_BYTES = 2 * MIB
"""The largest block that IPFS nodes exchange."""
FOLDER_BLOCK_BYTES = 256 * KIB
"""Beyond it the profile shards a folder, which `unixfs` does not do."""
LINKS_PER_NODE = 1024
MOST_BLOCKS, MOST_FILES, MOST_DEPTH = 1 << 18, 1 << 13, 32
CAR_HEADER_BYTES = KIB
ENDPOINT_BYTES, MOST_ADDRESSES = 512, 8

# Messages.

NEAR_NAMES, NEAR_LETTERS = 256, 64
"""Near names are looked for among so many of so many letters; beyond, that would take longer than
all the rest of reading."""


@dataclass(frozen=True, slots=True)
class Row:
    """One kind of foreign input, as the table in `docs/format.md` shows it.

    Args:
        what: it is.
        size: in bytes.
        items: what is counted in it.
        depth: levels.
        work: what reading it takes besides, or what bounds that.
    """

    what: str
    size: str
    items: str
    depth: str
    work: str


def _json(what: str, limits: JsonLimits, work: str = "linear") -> Row:
    return Row(what, size_text(limits.text_bytes), f"{limits.items:,} values", f"{limits.depth}", work)


def rounded_up(size_bytes: int, unit_bytes: int) -> int:
    """A size rounded up to whole units."""
    return -(-size_bytes // unit_bytes) * unit_bytes


def size_text(size_bytes: int) -> str:
    """A size in the largest unit of which it is a whole number."""
    for unit, name in ((GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")):
        if size_bytes % unit == 0:
            return f"{size_bytes // unit} {name}"
    return f"{size_bytes:,} bytes"


def size_about(size_bytes: int) -> str:
    """A size in words, rounded: of a file, or of room on a disk."""
    return f"{size_bytes / GIB:.1f} GiB" if size_bytes >= GIB else f"{rounded_up(size_bytes, MIB) // MIB} MiB"


FOREIGN: tuple[Row, ...] = (
    Row(
        "header of a sealed file",
        f"{HEADER_BYTES_EACH} a recipient and {HEADER_BYTES_BESIDE}",
        "a stanza a recipient and one",
        "",
        f"evidence has up to {EVIDENCE.recipients} recipients, an offer {OFFER.recipients} (owner and scientist), "
        "all else one",
    ),
    Row(
        "folder of sealed files",
        f"offer {size_text(OFFER.size_bytes)}, delivery {size_text(DELIVERY.size_bytes)}, "
        f"evidence {size_text(EVIDENCE.size_bytes)}",
        "the files that it must hold",
        "1",
        f"opened by a process of its own, in {OPENING_S} s and one for each {size_text(OPENED_BYTES_A_SECOND)} "
        f"of processor time; offer {FIRST_OFFER_S:.0f} s at first, {OFFER_S:.0f} s "
        "in the end; evidence three quarters of the window",
    ),
    _json("note", NOTE),
    _json("key, refusal", SHORT, f"a reason has {MOST_REASON:,} characters"),
    _json("recipe", RECIPE),
    _json("graph", GRAPH, "metered, see [The work of a step](#the-work-of-a-step)"),
    _json("card", CARD),
    _json("preprocessing", PREPROCESSING),
    Row(
        "`evidence.json`",
        f"{size_text(LEAF_LINE.text_bytes)} and {size_text(EVIDENCE_LEAF_BYTES)} a leaf of the challenge",
        f"{MOST_EVIDENCE_LEAVES:,} leaves; {LEAF_LINE.items:,} values and {EVIDENCE_LEAF_ITEMS} a leaf",
        str(evidence_document(0).depth),
        f"a path has {MOST_PATH} nodes",
    ),
    Row(
        "`records.bin`",
        f"its schema {size_text(RECORDS_SCHEMA.text_bytes)}",
        f"{MOST_COLUMNS:,} columns; records as the audited segments' steps take",
        str(RECORDS_SCHEMA.depth),
        f"a path has {MOST_PATH} nodes",
    ),
    Row(
        "file of tensors",
        f"{size_text(TENSORS_BYTES)}, its header {size_text(TENSORS_HEADER.text_bytes)}",
        f"{MOST_TENSORS:,} tensors of rank {MOST_RANK}, {TENSORS_HEADER.items:,} values in the header",
        str(TENSORS_HEADER.depth),
        "linear; the header is read and compared with the file's size first",
    ),
    _json("what a delta says of its base", DELTA),
    Row(
        "mock data (NPZ)",
        f"{size_text(MOCK_BYTES)} packed and unpacked, an array's header {ARRAY_HEADER_BYTES:,} bytes, "
        f"the directory {size_text(ARCHIVE_DIRECTORY_BYTES)}",
        f"{MOST_COLUMNS:,} arrays of rank {MOST_RANK + 1}",
        "",
        "linear; no more is unpacked than the directory says",
    ),
    Row(
        "tokenizer",
        size_text(TOKENIZER_BYTES),
        f"{MOST_VOCABULARY:,} tokens; a text of {size_text(MOST_TEXT_BYTES)}, {MOST_TOKENS:,} tokens of which a record "
        "holds",
        "as its library bounds it",
        "in a process of its own, 2 GiB and 60 s of processor time for the file and for each 8 MiB of texts",
    ),
    _json("certificate", ENVELOPE),
    _json("its statement", STATEMENT),
    _json("line of leaves", LEAF_LINE),
    Row(
        "file of state digests",
        f"{size_text(STATE_DIGESTS_LINE.text_bytes)} a line",
        f"{MOST_STATE_DIGESTS:,} lines of {STATE_DIGESTS_LINE.items:,} values",
        str(STATE_DIGESTS_LINE.depth),
        "linear",
    ),
    Row(
        "trail",
        f"{size_text(TRAIL_LINE.text_bytes)} a line",
        f"{MOST_TRAIL_LINES:,} lines of {TRAIL_LINE.items:,} values",
        str(TRAIL_LINE.depth),
        "linear",
    ),
    _json("trust list", TRUST_LIST),
    _json(
        "keystore, backup of a key",
        KEY_FILE,
        "key derivation up to "
        + ", ".join(f"{name} = {most:,}" for name, most in MOST_DERIVATION.items())
        + f" and n r p = {MOST_SCRYPT:,}",
    ),
    _json("deployment", DEPLOYMENT),
    Row(
        "object of the store",
        f"as its kind says; a block {size_text(BLOCK_BYTES)}, a folder's block below {size_text(FOLDER_BLOCK_BYTES)}",
        f"{MOST_BLOCKS:,} blocks, {LINKS_PER_NODE:,} links a node of a file, {MOST_FILES:,} files and folders",
        str(MOST_DEPTH),
        "linear; a file a flush",
    ),
    Row(
        "CAR",
        f"its header {size_text(CAR_HEADER_BYTES)}, a block {size_text(BLOCK_BYTES)}",
        f"{MOST_BLOCKS:,} blocks",
        "",
        "linear",
    ),
    _json("event of a worker", EVENT),
    _json("risk report of a worker", RISK_REPORT),
    _json("evaluation of a worker", EVALUATION),
    Row(
        "answer of a node",
        f"{size_text(ANSWER.text_bytes)}, of the store's {size_text(STORE_ANSWER_BYTES)}",
        f"{ANSWER.items:,} values",
        f"{ANSWER.depth}",
        "linear",
    ),
    Row("endpoint of a pod", f"{ENDPOINT_BYTES} bytes", f"{MOST_ADDRESSES} addresses", "", "linear"),
)
"""Every kind of input that somebody else makes and a pod reads."""


def table() -> str:
    """The rows as a table in Markdown."""
    head = "| input | bytes | items | levels | work |\n|---|---|---|---|---|\n"
    return head + "".join(f"| {row.what} | {row.size} | {row.items} | {row.depth} | {row.work} |\n" for row in FOREIGN)
