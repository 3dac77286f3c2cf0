"""Laws and examples of digests, canonical JSON and RFC 6962 trees."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fitchain.pod.values.digest import (
    Digest,
    bag,
    blake3_digest,
    canonical_json,
    inclusion_path,
    leaf_hash,
    node_hash,
    parse_json,
    peaks,
    published_root,
    root_from_path,
    sha256,
    sha256_file,
    tagged,
    tree_root,
)
from fitchain.pod.values.errors import InputRefused
from fitchain.pod.values.limits import JsonLimits


def entries(count: int) -> list[Digest]:
    return [sha256(index.to_bytes(4, "big")) for index in range(count)]


def rfc_6962_root(items: list[Digest]) -> Digest:
    """The recursive definition of RFC 6962 section 2.1, kept apart from the code under test."""
    if not items:
        return sha256(b"")
    if len(items) == 1:
        return leaf_hash(items[0])
    half = 1
    while half * 2 < len(items):
        half *= 2
    return node_hash(rfc_6962_root(items[:half]), rfc_6962_root(items[half:]))


@given(st.integers(0, 300))
def test_tree_root_is_that_of_rfc_6962(count: int) -> None:
    assert tree_root(entries(count)) == rfc_6962_root(entries(count))


def test_tree_root_matches_a_published_vector() -> None:
    # The one-entry and two-entry roots over SHA-256 by hand: the prefixes are what RFC 6962 adds.
    one, two = entries(2)
    assert tree_root([one]).value == hashlib.sha256(b"\x00" + one.value).digest()
    assert tree_root([]).value.hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert tree_root([one, two]) == sha256(b"\x01" + leaf_hash(one).value + leaf_hash(two).value)


@given(st.integers(1, 200), st.data())
def test_inclusion_path_leads_to_the_root(count: int, data: st.DataObject) -> None:
    items, index = entries(count), data.draw(st.integers(0, count - 1))
    assert root_from_path(items[index], index, count, inclusion_path(items, index)) == tree_root(items)


@given(st.integers(2, 100), st.data())
def test_an_altered_path_leads_elsewhere(count: int, data: st.DataObject) -> None:
    items, index = entries(count), data.draw(st.integers(0, count - 1))
    path = inclusion_path(items, index)
    place = data.draw(st.integers(0, len(path) - 1))
    path[place] = sha256(path[place].value)
    assert root_from_path(items[index], index, count, path) != tree_root(items)


@given(st.integers(1, 64), st.integers(0, 63), st.integers(-2, 2))
def test_a_path_of_the_wrong_length_is_refused(count: int, index: int, change: int) -> None:
    if index >= count or change == 0:
        return
    path = inclusion_path(entries(count), index)
    altered = path[:change] if change < 0 else path + entries(change)
    if len(altered) == len(path):
        return
    with pytest.raises(InputRefused):
        root_from_path(entries(count)[index], index, count, altered)


def test_peaks_are_the_powers_of_two_in_the_count_and_bag_into_the_root() -> None:
    found = peaks(entries(13))
    assert [size for _, size in found] == [8, 4, 1]
    assert bag([root for root, _ in found]) == tree_root(entries(13))


def test_published_root_binds_the_count() -> None:
    assert published_root("fitchain/x/v2", entries(2)) == tagged("fitchain/x/v2", 2, tree_root(entries(2)))


def test_tagged_is_sha256_of_tag_hash_and_words() -> None:
    tag = hashlib.sha256(b"fitchain/x/v2").digest()
    expected = hashlib.sha256(tag + (7).to_bytes(32, "big") + b"\x01" * 32).digest()
    assert tagged("fitchain/x/v2", 7, Digest(b"\x01" * 32)).value == expected


def test_blake3_is_the_published_one_whatever_the_threads() -> None:
    # The test vector of the BLAKE3 paper's reference: input of length 0.
    assert blake3_digest(b"").value.hex() == "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"
    assert blake3_digest(b"x" * 300_000, threads=2) == blake3_digest(b"x" * 300_000)


def test_files_are_digested_as_their_bytes(tmp_path: Path) -> None:
    file = tmp_path / "bytes"
    file.write_bytes(b"y" * 3_000_000)
    assert sha256_file(file) == sha256(file.read_bytes())


@given(st.binary(min_size=32, max_size=32))
def test_a_digest_survives_its_text(value: bytes) -> None:
    assert Digest.parse(str(Digest(value))) == Digest(value)


@pytest.mark.parametrize("text", ["", "0x", "0x12", "f" * 66, "0x" + "g" * 64, "0x" + "0" * 65])
def test_text_that_is_no_digest_is_refused(text: str) -> None:
    with pytest.raises(InputRefused, match="64 hex digits"):
        Digest.parse(text)


def test_canonical_json_sorts_and_keeps_numbers_exact() -> None:
    assert canonical_json({"b": 0.1, "a": [1e21, 1.0, True]}) == b'{"a":[1e+21,1,true],"b":0.1}'


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 2**53 + 1, {1: 2}, b"x"])
def test_a_value_without_canonical_form_is_refused(value: object) -> None:
    with pytest.raises(InputRefused, match="canonical"):
        canonical_json(value)  # type: ignore[arg-type]


def test_pairs_of_surrogates_are_text_and_halves_have_no_canonical_form() -> None:
    assert parse_json(rb'["\ud83d\ude00"]') == ["\U0001f600"]
    with pytest.raises(InputRefused, match="canonical"):
        canonical_json(["\ud800"])


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b'{"a": 1, "a": 2}', "twice"),
        (b'{"a": NaN}', "NaN"),
        (b'{"a": 1e999}', "beyond a double"),
        (b"[" * 100_000, "not JSON"),
        (b"\xff", "not JSON"),
        (b"{", "not JSON"),
        ("[1]".encode("utf-16"), "not JSON"),
        (rb'{"\ud800": 1}', "not JSON"),
        (rb'["\uDFFF\uD800"]', "not JSON"),
    ],
)
def test_json_that_two_readers_could_understand_differently_is_refused(text: bytes, reason: str) -> None:
    with pytest.raises(InputRefused, match=reason):
        parse_json(text)


@pytest.mark.parametrize(
    "text", [b"[" * 200_000, b'{"a":' * 100_000, b'["]]]]",' * 100_000, b"[" + rb'"\\\"]",' * 1000 + b"[" * 200_000]
)
def test_deep_json_is_refused_whatever_recursion_limit_a_library_has_set(text: bytes) -> None:
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(1_000_000)
    try:
        with pytest.raises(InputRefused, match="nested deeper than 100 levels"):
            parse_json(text, JsonLimits(1 << 21, 1 << 20, 100))
    finally:
        sys.setrecursionlimit(limit)


def test_brackets_in_texts_are_no_nesting() -> None:
    value = {"a": "[" * 1000 + '\\"' + "{" * 1000, "b": [[]] * 1000}
    assert parse_json(json.dumps(value).encode()) == value


def test_json_over_the_limit_is_refused() -> None:
    with pytest.raises(InputRefused, match="limit is 3"):
        parse_json(b"[1, 2]", JsonLimits(3, 10, 10))
