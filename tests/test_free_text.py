"""Free text: a cell's tokens are those that its tokenizer gives it, or it is refused; tokenizers
are strangers' files, and a rehearsal has every token that a training may meet."""

from __future__ import annotations

import re
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from fitchain.cli.views.output import print_views
from fitchain.cli.views.publication import publication_views
from fitchain.pod.compute.dataset import (
    Card,
    CardPrivacy,
    Kind,
    Reading,
    ReadingTerms,
    Schema,
    Table,
    Tokenizing,
    check_unchanged,
    mock_table,
    register,
)
from fitchain.pod.compute.dataset import tokenizer as tokenizing
from fitchain.pod.compute.dataset.tokenizer import TextFailed, open_tokenizer
from fitchain.pod.compute.dataset.tokenizer_process import Met
from fitchain.pod.parties.owner.data import DatasetOffer, PreparedDataset, read_table
from fitchain.pod.parties.recovery.owned import _reading_of
from fitchain.pod.ports.store import Cid
from fitchain.pod.values.digest import sha256
from fitchain.pod.values.errors import DatasetChanged, DigestMismatch, EnvironmentRefused, InputRefused
from fitchain.pod.values.limits import MOST_TEXT_BYTES, MOST_TOKENS, TOKENIZER_BYTES
from tests.parser_fuzz import Parser, fuzz
from tests.policies import open_policy
from tests.source_text import ROOT
from tests.texts import AROUND, WORDS, added, file_of, tokenizer
from tests.without_folder import can_confine

KEY = bytes(range(32))
FILE = file_of(tokenizer())
AROUND_FILE = file_of(tokenizer(*WORDS, "[CLS]", "[SEP]", post_processor=AROUND))
CID = Cid.parse("bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy")


def written(folder: Path, notes: list[str], name: str = "t.csv", header: str = "note,outcome") -> Path:
    path = folder / name
    rows = ['"' + note.replace('"', '""') + f'",{number % 2}' for number, note in enumerate(notes)]
    path.write_bytes("\n".join([header, *rows, ""]).encode(errors="surrogatepass"))
    return path


def terms(file: bytes = FILE, length: int = 6, **others: Any) -> ReadingTerms:
    return ReadingTerms(target="outcome", kinds={"note": Kind.TOKENS}, tokenizing=Tokenizing(file, length), **others)


def read(folder: Path, notes: list[str], file: bytes = FILE, length: int = 6, **others: Any) -> Table:
    return Table.read(written(folder, notes), terms(file, length, **others))


NOTES = ["The patient is WELL", "ill", "fever and fever and fever and fever", "unheard words"] * 10


# A cell's tokens


@pytest.mark.parametrize("file", [FILE, AROUND_FILE], ids=["plain", "around"])
def test_tokens_are_those_of_the_library_cut_and_filled_up(tmp_path: Path, file: bytes) -> None:
    odd = ["\U0001f600 ill", 'the "patient"', "and\nagain", "İ ill", "\u202eill"]
    table = read(tmp_path, NOTES + odd, file, 5)
    own = Tokenizer.from_str(file.decode())
    own.enable_truncation(5)
    own.enable_padding(length=5, pad_id=0, pad_token="[PAD]")
    assert table.arrays["note"].tolist() == [own.encode(note).ids for note in NOTES + odd]
    long = Tokenizer.from_str(file.decode())
    assert table.cut == {"note": sum(len(long.encode(note).ids) > 5 for note in NOTES + odd)}
    column = table.column("note")
    assert (column.kind, column.dtype, column.shape) == (Kind.TOKENS, "int64", (5,))
    assert column.unit == str(sha256(file))


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=40), min_size=1, max_size=20))
def test_any_text_has_the_tokens_that_the_library_gives_it(texts: list[str]) -> None:
    own = Tokenizer.from_str(FILE.decode())
    tokens, met = OPENED.encode(texts, 8)
    for text, row, what in zip(texts, tokens.tolist(), met.tolist(), strict=True):
        whole = own.encode(text).ids
        assert row == (whole + [0] * 8)[:8] and what == (Met.CUT if len(whole) > 8 else Met.WHOLE)


@pytest.fixture(autouse=True, scope="module")
def opened() -> Any:
    """One process for all generated texts."""
    global OPENED
    with open_tokenizer(FILE) as OPENED:
        yield


OPENED: tokenizing.Tokenizer


def test_a_zero_byte_in_a_text_is_one_of_its_characters() -> None:
    tokens, met = OPENED.encode(["ill \0 ill", "\0"], 4)
    assert tokens.tolist() == [[6, 1, 6, 0], [1, 0, 0, 0]] and not met.any()


def test_missing_texts_are_the_empty_one_and_said_beside(tmp_path: Path) -> None:
    table = read(tmp_path, ["ill", "", "NA", "  ", *NOTES], AROUND_FILE)
    assert table.arrays["note is missing"].tolist()[:4] == [False, True, True, True]
    assert table.arrays["note"][1].tolist() == [10, 11, 0, 0, 0, 0]
    kept = read(tmp_path, ["ill", "NA", *NOTES], AROUND_FILE, keep=("NA",))
    assert "note is missing" not in kept.arrays
    with pytest.raises(InputRefused, match="no record has a value"):
        read(tmp_path, [""] * 30)


def test_texts_of_a_megabyte_are_read_and_larger_ones_refused_by_line(tmp_path: Path) -> None:
    megabyte = "fever " * (1 << 18)
    assert read(tmp_path, [megabyte, *NOTES]).cut == {"note": 11}
    with pytest.raises(InputRefused, match=r"line 3, column 'note': the text has more than 4 MiB"):
        read(tmp_path, ["ill", "x" * (MOST_TEXT_BYTES + 1), *NOTES])


def test_texts_without_tokens_are_refused_by_line_and_never_shown(tmp_path: Path) -> None:
    silent = tokenizer("[PAD]", "ill")
    with pytest.raises(InputRefused, match=r"lines 3 and 5, column 'note': the tokenizer has no tokens") as no:
        read(tmp_path, ["ill", "Smith", "ill", "Jones"], file_of(silent))
    assert "Smith" not in str(no.value) + no.value.hint
    half = tmp_path / "t.jsonl"
    half.write_text('{"note": "ill", "outcome": 0}\n{"note": "\\ud800", "outcome": 1}\n')
    with pytest.raises(InputRefused, match=r"line 2"):
        Table.read(half, terms())


def test_several_columns_share_a_tokenizer_and_json_lines_have_texts_too(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text("".join(f'{{"note": "ill", "other": "the well", "outcome": {n % 2}}}\n' for n in range(30)))
    both = replace(terms(), kinds={"note": Kind.TOKENS, "#2": Kind.TOKENS})
    table = Table.read(path, both)
    assert table.arrays["note"][0].tolist() == [6, 0, 0, 0, 0, 0] and table.arrays["other"][0, :3].tolist() == [2, 5, 0]


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"tokenizing": None}, "no tokenizer is named"),
        ({"kinds": {}}, "no column of free text"),
        ({"target": "note"}, "is the target"),
        ({"categories": {"note": ("a", "b")}}, "its categories are named, and a tokens has none of these"),
        ({"drop": ("note",)}, "left out|dropped"),
        ({"tokenizing": Tokenizing(AROUND_FILE, 2)}, "puts 2 tokens around each text"),
        ({"tokenizing": Tokenizing(FILE, 6, "[MASK]")}, "has not the token"),
    ],
)
def test_what_is_said_of_texts_is_done_or_refused(tmp_path: Path, change: dict[str, Any], match: str) -> None:
    with pytest.raises(InputRefused, match=match):
        Table.read(written(tmp_path, NOTES), replace(terms(), **change))


@pytest.mark.parametrize("length", [0, MOST_TOKENS + 1])
def test_a_text_has_a_token_and_not_too_many(length: int) -> None:
    with pytest.raises(InputRefused, match="it has 1 to"):
        Tokenizing(FILE, length)


# Read again


def test_a_table_is_read_again_by_the_same_tokenizer_alone(tmp_path: Path) -> None:
    path = written(tmp_path, NOTES)
    table = Table.read(path, terms())
    assert table.reading is not None
    reading = Reading.from_json(table.reading.json())
    assert (Table.read_as(path, reading, tokenizer=FILE).arrays["note"] == table.arrays["note"]).all()
    assert (
        Table.read_as(path, Reading(None, reading.schema), tokenizer=FILE).arrays["note"] == table.arrays["note"]
    ).all()
    with pytest.raises(DigestMismatch, match="the tokenizer is the file"):
        Table.read_as(path, reading, tokenizer=FILE + b" ")
    with pytest.raises(InputRefused, match="which is not here"):
        Table.read_as(path, Reading(None, reading.schema))
    assert reading.schema.tokenizer is not None
    older = replace(reading.schema, tokenizer=replace(reading.schema.tokenizer, library="0.13.1"))
    with pytest.raises(EnvironmentRefused, match=r"read with tokenizers 0\.13\.1") as no:
        Table.read_as(path, replace(reading, schema=older), tokenizer=FILE)
    assert "tokenizers==0.13.1" in no.value.hint


def test_a_note_that_changed_is_another_dataset(tmp_path: Path) -> None:
    before, after = read(tmp_path, NOTES), read(tmp_path, [*NOTES[:-1], "unheard fever"])
    made = register(before, KEY, "notes", tokenizer=CID)
    check_unchanged(before, KEY, made.root, made.leaves)
    with pytest.raises(DatasetChanged):
        check_unchanged(after, KEY, made.root, made.leaves)


def test_tokens_of_all_texts_have_room_in_a_table(tmp_path: Path) -> None:
    path = written(tmp_path, NOTES)
    room = 8 * 60 * len(NOTES)
    assert Table.read(path, terms(length=60), limit_bytes=room).count == len(NOTES)
    with pytest.raises(InputRefused, match="more room than a table may"):
        Table.read(path, terms(length=61), limit_bytes=room)


def test_a_card_binds_its_tokenizer_and_reads_other_tables(tmp_path: Path) -> None:
    path = written(tmp_path, NOTES)
    table = Table.read(path, terms())
    card = register(table, KEY, "notes", tokenizer=CID).card
    assert Card.parse(card.encode()) == card and card.tokenizer is not None
    assert card.tokenizer.terms.json() == {
        "digest": str(sha256(FILE)),
        "library": table.reading and table.reading.schema.tokenizer and table.reading.schema.tokenizer.library,
        "vocabulary": len(WORDS),
        "pad": 0,
    }
    again = Table.read_as(path, Reading(None, Schema.from_json(card.schema.json())), tokenizer=FILE)
    assert again.schema == table.schema
    recovered = read_table(path, _reading_of(card), tokenizer=FILE)
    assert (recovered.arrays["note"] == table.arrays["note"]).all() and recovered.schema == table.schema
    other = {"digest": str(sha256(b"another"))}
    with pytest.raises(InputRefused, match="its columns of tokens"):
        Card.from_json(card.json() | {"tokenizer": (card.json()["tokenizer"] | other)})
    with pytest.raises(InputRefused, match="its columns of tokens"):
        Card.from_json(card.json() | {"tokenizer": None})
    renamed = replace(
        table,
        columns=tuple(
            replace(each, unit=str(sha256(b"another"))) if each.kind is Kind.TOKENS else each for each in table.columns
        ),
    )
    assert renamed.schema != table.schema, "the root says by which tokenizer the texts were read"


# Tokenizers are strangers' files

MODEL: dict[str, Any] = tokenizer()["model"]
CHANCE = {
    "type": "BPE",
    "dropout": 0.5,
    "unk_token": None,
    "continuing_subword_prefix": None,
    "end_of_word_suffix": None,
    "fuse_unk": False,
    "byte_fallback": False,
    "vocab": {"[PAD]": 0, "a": 1, "b": 2, "ab": 3},
    "merges": [["a", "b"]],
}
DEEP: dict[str, Any] = {"type": "NFC"}
for _ in range(200):
    DEEP = {"type": "Sequence", "normalizers": [DEEP]}


@pytest.mark.parametrize(
    ("file", "match"),
    [
        (b"", "it is none"),
        (b"\xff\xfe", "it is none"),
        (b"[" * 100_000, "it is none"),
        (b'{"a":' * 100_000, "it is none"),
        (b"{}", "it is none"),
        (tokenizer(version="2.0"), "it is none"),
        (tokenizer(model=MODEL | {"vocab": {"a": -1}}), "it is none"),
        (tokenizer(model=MODEL | {"vocab": {"a": 1.5}}), "it is none"),
        (tokenizer(model=MODEL | {"vocab": ["a"]}), "it is none"),
        (tokenizer(model={"type": "Python", "import": "os"}), "it is none"),
        (tokenizer(normalizer=DEEP), "it is none"),
        (tokenizer(model=MODEL | {"vocab": {}}), "its vocabulary is empty"),
        (tokenizer(model=MODEL | {"vocab": {"[PAD]": 0, "[UNK]": 4_000_000_000}}), "numbered up to 4000000000"),
        (tokenizer(added_tokens=[added("[MASK]", 900)]), "has the number 900 in the file, and tokenizers gives it 10"),
        (tokenizer(model=CHANCE), "draws its tokens by chance"),
        (tokenizer("[UNK]", "ill"), "does not say which token fills"),
        (b" " * (TOKENIZER_BYTES + 1), "more than 33554432 bytes"),
    ],
)
def test_files_that_are_no_tokenizer_are_refused(file: Any, match: str) -> None:
    with pytest.raises(InputRefused, match=match), open_tokenizer(file_of(file)):
        pass


def test_a_file_that_is_none_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(InputRefused, match="there is no tokenizer"):
        Tokenizing.read(tmp_path, 8)


def test_what_the_file_says_of_cutting_and_filling_up_is_ours_to_say() -> None:
    cuts = {"max_length": 2, "strategy": "LongestFirst", "stride": 1, "direction": "Left"}
    fills = {
        "strategy": {"Fixed": 1_000_000_000},
        "direction": "Left",
        "pad_to_multiple_of": 64,
        "pad_id": 999_999,
        "pad_type_id": 0,
        "pad_token": "well",
    }
    with open_tokenizer(file_of(tokenizer(truncation=cuts, padding=fills))) as own:
        assert own.terms.pad == 5, "the token that the file names, by the number that it has"
        assert own.encode(["the patient is ill"], 6)[0].tolist() == [[2, 3, 4, 6, 5, 5]]


def test_tokens_beyond_the_vocabulary_are_refused(tmp_path: Path) -> None:
    beyond = AROUND | {
        "special_tokens": {name: {"id": name, "ids": [99_999_999], "tokens": [name]} for name in ("[CLS]", "[SEP]")}
    }
    with pytest.raises(
        InputRefused, match=r"lines 2, 3, 4, 5 and 36 more, column 'note': the tokenizer gives it tokens beyond its 10"
    ):
        read(tmp_path, NOTES, file_of(tokenizer(post_processor=beyond)))


BACKTRACKING = {
    "type": "Split",
    "pattern": {"Regex": "(a|a|aa)+$"},
    "behavior": "Isolated",
    "invert": False,
}
"""Of which the library's native code gives up, in a way that Python catches as no error."""
SWELLING = {
    "type": "Sequence",
    "normalizers": [{"type": "Replace", "pattern": {"String": "a"}, "content": "a" * 1000}] * 3,
}


@pytest.mark.parametrize("change", [{"pre_tokenizer": BACKTRACKING}, {"normalizer": SWELLING}])
def test_a_text_at_which_the_tokenizer_ends_is_named_and_ends_nothing_else(
    tmp_path: Path, change: dict[str, Any]
) -> None:
    with pytest.raises(InputRefused, match=r"line 4, column 'note': the tokenizer takes more memory or time") as no:
        read(tmp_path, ["ill", "well", "a" * 40 + "!", "ill"], file_of(tokenizer(**change)))
    assert "aaa" not in str(no.value)


def test_processor_time_is_bounded_batch_by_batch() -> None:
    with open_tokenizer(FILE, cpu_s=1) as own:
        for _ in range(3):
            own.encode(["fever " * 60_000], 4)
        with pytest.raises(TextFailed):
            for _ in range(3):
                own.encode(["fever " * 600_000] * 50, 4)


@pytest.mark.nightly
def test_mutated_tokenizers_are_used_or_refused(tmp_path: Path) -> None:
    """Apart from the other parsers: each starts a process."""
    specials = [added("[CLS]", 10), added("[SEP]", 11)]
    around = tokenizer(*WORDS, "[CLS]", "[SEP]", post_processor=AROUND, added_tokens=specials)

    def use(data: bytes, _: Path) -> None:
        with open_tokenizer(data) as own, suppress(TextFailed):
            own.encode(["the patient is ill", "a\0b \U0001f600", ""], 5)

    assert fuzz(Parser(use, lambda _: [FILE, file_of(around)]), 200, "tokenizer", tmp_path) > 0


@pytest.mark.landlock
def test_process_of_a_tokenizer_has_given_up_files_and_network() -> None:
    """What it would do for a file that took it over is tried in its own Python."""
    if not can_confine():
        pytest.skip("this kernel has no Landlock")
    code = (
        "from fitchain.pod.compute.dataset import tokenizer_process as own\n"
        "import os, socket\n"
        "assert len(os.listdir('/proc/self/task')) == 1\n"
        "own._confine()\n"
        "for act in (lambda: open('/etc/passwd'), lambda: open('/tmp/x', 'w'), socket.socket, os.fork):\n"
        "    try: act()\n"
        "    except OSError: print('refused')\n"
    )
    environment = {"PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert done.stdout.split() == ["refused"] * 4
    status = Path(f"/proc/{OPENED.process.pid}/status").read_text()
    assert re.search(r"^Seccomp:\s2$", status, re.MULTILINE)


# Rehearsals


@given(st.integers(1, 300), st.integers(1, 9), st.integers(1, 40), st.booleans())
def test_mock_texts_have_the_largest_token_and_the_pad_and_none_beyond(
    vocabulary: int, length: int, count: int, misses: bool
) -> None:
    table = read_of(length, misses)
    card = register(table, KEY, "notes", tokenizer=CID).card
    assert card.tokenizer is not None
    many = replace(card, tokenizer=replace(card.tokenizer, terms=replace(card.tokenizer.terms, vocabulary=vocabulary)))
    drawn = mock_table(many, table, count, KEY)
    tokens = drawn.arrays["note"]
    assert tokens.max() == vocabulary - 1 and (tokens == 0).any() and tokens.min() >= 0
    present = ~drawn.arrays.get("note is missing", np.zeros(len(tokens), np.bool_))
    if length > 1:
        assert (tokens[present, 0] == vocabulary - 1).all(), "whichever batch a rehearsal takes has it"
    assert tokens.shape == (max(count, 3), length) and drawn.schema == table.schema
    if misses:
        gone = drawn.arrays["note is missing"]
        assert gone.any() and not tokens[gone].any(), "a missing text is the empty one there, too"


def read_of(length: int, misses: bool) -> Table:
    if (table := TABLES.get((length, misses))) is None:
        with TemporaryDirectory() as folder:
            notes = [""] * misses + NOTES
            table = TABLES[length, misses] = read(Path(folder), notes, FILE, length)
    return table


def test_texts_beside_a_privacy_budget_are_drawn_of_the_card_alone(tmp_path: Path) -> None:
    table = read(tmp_path, NOTES)
    private = register(
        table, KEY, "notes", tokenizer=CID, transform="none", classes=(0, 1), privacy=CardPrivacy(1e-5)
    ).card
    assert "note" not in private.transform, "no statistic of a text is published"
    drawn = mock_table(private, table, 64, KEY, of_card_alone=True).arrays["note"]
    other = mock_table(private, read(tmp_path, NOTES[::-1]), 64, KEY, of_card_alone=True).arrays["note"]
    assert (drawn == other).all() and drawn.max() == len(WORDS) - 1


@pytest.mark.parametrize("privacy", [None, CardPrivacy(1e-5)])
def test_vocabulary_is_warned_of_before_it_is_published(
    tmp_path: Path, privacy: CardPrivacy | None, capsys: pytest.CaptureFixture[str]
) -> None:
    offer = DatasetOffer(written(tmp_path, NOTES), "notes", "outcome", open_policy(), reading=terms())
    prepared = PreparedDataset(offer, read(tmp_path, NOTES), {}, privacy, None, 0, ())
    print_views(publication_views(prepared, None, "nobody"), stderr=True)
    told = " ".join(capsys.readouterr().err.split())
    assert "WARNING: the tokenizer becomes public with all of its 10 tokens" in told
    assert ("The privacy budget does not cover it" in told) == (privacy is not None)
    assert "note: 10 texts of 40 are cut" in told and str(sha256(FILE)) in told and "tokens of 6" in told


TABLES: dict[tuple[int, bool], Table] = {}
