"""The batch order against its definition, and assembling."""

from __future__ import annotations

import hashlib
from itertools import islice
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fitchain.pod.compute.dataset import Table, assemble, batches, held_out_rows, training_rows
from fitchain.pod.compute.dataset.order import epoch_draws, permutation
from fitchain.pod.values.digest import Digest, sha256, tagged
from fitchain.pod.values.errors import InputRefused
from fitchain.pod.values.recipe import Choice, Recipe
from fitchain.pod.values.recipe.terms import held_out_count
from tests.batch_plans import Plan

SEED = sha256(b"order seed")


def recipe(**terms: Any) -> Recipe:
    return cast(Recipe, Plan(**terms))


def order_as_defined(count: int, draws: list[int]) -> list[int]:
    """Step 3 of the definition, word by word."""
    order, stream = list(range(count)), iter(draws)
    for i in range(count - 1, 0, -1):
        x = next(x for x in stream if x < 2**64 - 2**64 % (i + 1))
        order[i], order[x % (i + 1)] = order[x % (i + 1)], order[i]
    return order


def draws_as_defined(seed: Digest, epoch: int, blocks: int) -> list[int]:
    """Steps 1 and 2 of the definition, word by word."""
    key = bytes(tagged("fitchain/epoch/v2", seed, epoch))
    stream = b"".join(hashlib.sha256(key + c.to_bytes(8, "big")).digest() for c in range(blocks))
    return [int.from_bytes(stream[place : place + 8], "big") for place in range(0, len(stream), 8)]


@given(st.integers(1, 200), st.integers(0, 50))
def test_a_permutation_is_as_defined(count: int, epoch: int) -> None:
    expected = order_as_defined(count, draws_as_defined(SEED, epoch, count))
    assert permutation(count, epoch_draws(SEED, epoch)).tolist() == expected


@given(
    st.integers(2, 12), st.lists(st.sampled_from([0, 5, 2**63, *range(2**64 - 12, 2**64)]), min_size=12, max_size=12)
)
def test_draws_that_would_favour_a_place_are_rejected(count: int, start: list[int]) -> None:
    stream = start + [7, 11, 13, 1, 2, 3] * 5

    def draws(first: int, how_many: int) -> Any:
        return np.array(stream[first : first + how_many], np.uint64)

    assert permutation(count, draws).tolist() == order_as_defined(count, stream)


def test_the_order_is_pinned() -> None:
    assert permutation(10, epoch_draws(SEED, 0)).tolist() == [1, 7, 3, 4, 9, 0, 6, 5, 2, 8]
    digest = hashlib.sha256(permutation(5000, epoch_draws(SEED, 3)).tobytes()).hexdigest()
    assert digest == "592e02304fb3e88bb640f957f2b60f324550a329e3ac3650fc7388eb10c32d53"


@given(st.integers(0, 30), st.integers(1, 40), st.integers(1, 12))
def test_every_epoch_uses_each_row_at_most_once_and_only_its_rows(low: int, count: int, size: int) -> None:
    size = min(size, count)
    per_epoch = count // size
    plan = recipe(rows=(low, low + count), batch_size=size, steps=2 * per_epoch)
    taken = [batch.tolist() for batch in batches(plan, SEED)]
    for epoch in (taken[:per_epoch], taken[per_epoch:]):
        rows = [row for batch in epoch for row in batch]
        assert len(rows) == len(set(rows)) == per_epoch * size
        assert all(low <= row < low + count for row in rows)


@given(st.integers(0, 9))
def test_a_later_start_continues_the_same_order(start: int) -> None:
    whole = [batch.tolist() for batch in batches(recipe(), SEED)]
    assert [batch.tolist() for batch in batches(recipe(), SEED, start)] == whole[start:]


def test_another_seed_and_another_epoch_give_another_order() -> None:
    plan = recipe(rows=(0, 100), batch_size=100, steps=2)
    first, second = (batch.tolist() for batch in batches(plan, SEED))
    other = next(iter(batches(plan, sha256(b"another")))).tolist()
    assert first != second
    assert first != other


def test_a_batch_larger_than_the_rows_is_refused() -> None:
    with pytest.raises(InputRefused, match="a batch of 11 cannot be taken from 10 rows"):
        next(batches(recipe(batch_size=11), SEED))


@given(st.integers(0, 30), st.integers(2, 60), st.sampled_from([0.01, 0.1, 0.2, 1 / 3, 0.5]), st.integers(0, 9))
def test_held_out_rows_are_a_share_of_the_rows_and_never_in_a_batch(low: int, count: int, share: float, n: int) -> None:
    seed = sha256(bytes([n]))
    plan = recipe(
        rows=(low, low + count), held_out=share, batch_size=1, steps=2 * (count - held_out_count(share, count))
    )
    held, trained = held_out_rows(plan, seed).tolist(), training_rows(plan, seed).tolist()
    assert 0 <= len(held) - share * count < 1
    assert sorted(held + trained) == list(range(low, low + count)) and held == sorted(held)
    assert sorted(row for (row,) in batches(plan, seed)) == sorted(2 * trained)


@given(st.integers(2, 60), st.integers(0, 9))
def test_held_out_rows_are_as_defined(count: int, n: int) -> None:
    seed = sha256(bytes([n]))
    key = bytes(tagged("fitchain/held-out/v2", seed))
    stream = b"".join(hashlib.sha256(key + c.to_bytes(8, "big")).digest() for c in range(count))
    draws = [int.from_bytes(stream[place : place + 8], "big") for place in range(0, len(stream), 8)]
    wanted = -(-count // 4)
    expected = sorted(7 + place for place in order_as_defined(count, draws)[-wanted:])
    assert held_out_rows(recipe(rows=(7, 7 + count), held_out=0.25), seed).tolist() == expected


def test_the_held_out_rows_are_pinned_and_another_seed_holds_out_others() -> None:
    plan = recipe(rows=(0, 20), held_out=0.2)
    assert held_out_rows(plan, SEED).tolist() == [3, 7, 16, 18]
    assert held_out_rows(plan, SEED).tolist() != held_out_rows(plan, sha256(b"another")).tolist()


def test_a_share_is_taken_as_the_decimal_that_it_is_written_as() -> None:
    assert [held_out_count(0.2, rows) for rows in (5, 455, 456)] == [1, 91, 92]
    assert held_out_count(None, 455) == 0


# --- assembling -------------------------------------------------------------------------------

TABLE = Table.of(
    {
        "a": np.array([1.0, 2.0, 3.0]),
        "b": np.array([10, 20, 30], np.int32),
        "image": np.arange(12, dtype=np.uint8).reshape(3, 2, 2),
        "y": np.array([2.0, 5.0, 2.0]),
    },
    target="y",
)
CLASSES = {"y": {"categories": [2, 5]}}


def test_scalar_columns_are_stacked_and_transformed_in_float64() -> None:
    constants = {"a": {"mean": 0.1, "scale": 0.3}}
    (x,), y = assemble(recipe(transform=constants | CLASSES), TABLE)(np.array([2, 0], np.uint64))
    expected = [[np.float32((3.0 - 0.1) / 0.3), 30.0], [np.float32((1.0 - 0.1) / 0.3), 10.0]]
    assert x.dtype == np.float32 and x.tolist() == expected
    assert y.dtype == np.int64 and y.tolist() == [0, 0]


def test_an_array_column_keeps_its_shape() -> None:
    plan = recipe(inputs=(("image",), ("a",)), transform={"image": {"mean": 0.0, "scale": 16.0}} | CLASSES)
    (image, a), _ = assemble(plan, TABLE)(np.array([1], np.uint64))
    assert image.tolist() == [[[4 / 16, 5 / 16], [6 / 16, 7 / 16]]]
    assert a.shape == (1, 1)


def test_a_batch_holds_the_same_numbers_whatever_stands_beside_it() -> None:
    plan = recipe(transform={"a": {"mean": 0.7, "scale": 0.11}} | CLASSES)
    kept = assemble(plan, TABLE)(np.array([0, 1, 2], np.uint64))[0][0]
    fresh = assemble(plan, TABLE, kept_bytes=0)(np.array([1], np.uint64))[0][0]
    assert fresh.tobytes() == kept[1:2].tobytes()


def test_class_and_token_numbers_enter_as_int64() -> None:
    (tokens,), _ = assemble(recipe(inputs=(("b",),), transform=CLASSES), TABLE, ["int64"])(np.array([1], np.uint64))
    assert tokens.dtype == np.int64 and tokens.tolist() == [[20]]


@pytest.mark.parametrize(
    ("transform", "expected"),
    [({}, [5.0]), (CLASSES, [5.0]), ({"y": {"mean": 3.0, "scale": 2.0}}, [1.0])],
)
def test_a_regressions_target_is_float32(transform: dict[str, Any], expected: list[float]) -> None:
    plan = recipe(transform=transform, loss=Choice("mse_loss", {}))
    _, y = assemble(plan, TABLE)(np.array([1], np.uint64))
    assert y.dtype == np.float32 and y.tolist() == expected


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        (recipe(inputs=(("a", "image"),), transform=CLASSES), "mixes arrays"),
        (recipe(inputs=(("aa",),), transform=CLASSES), "'aa' is not in the table"),
        (recipe(target="z"), "'z' is not in the table"),
        (recipe(), "wants class numbers"),
        (recipe(transform={"y": {"categories": [2, 4]}}), "record 1: its 'y' is none of the 2 categories"),
        (
            recipe(transform=CLASSES | {"a": {"categories": [1]}}),
            "its 'a' is none of the 1 categories",
        ),
    ],
)
def test_what_cannot_be_assembled_is_refused(plan: Recipe, message: str) -> None:
    with pytest.raises(InputRefused, match=message):
        assemble(plan, TABLE)


def test_a_model_that_takes_another_number_of_inputs_is_refused() -> None:
    with pytest.raises(InputRefused, match="the recipe has 1 inputs and the model takes 2"):
        assemble(recipe(transform=CLASSES), TABLE, ["float32", "float32"])


def test_batches_end_with_the_last_step() -> None:
    assert len(list(islice(batches(recipe(steps=4), SEED), 10))) == 4
