"""Leaves, groups, peaks and endings: the same as the contract's algorithm, for any
count of leaves."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fitchain.pod.ports.agreement.terms import Anchor
from fitchain.pod.ports.store.base import Cid
from fitchain.pod.proof.transcript import Transcript, check_anchors, grow
from fitchain.pod.values.digest import (
    ZERO,
    Digest,
    Root,
    bag,
    leaf_hash,
    node_hash,
    root_from_path,
    sha256,
    tagged,
    tree_root,
)
from fitchain.pod.values.errors import ClaimMismatch, DigestMismatch, InputRefused
from fitchain.pod.values.leaf import (
    Checkpoint,
    Leaf,
    OpenedLeaf,
    SaltKeys,
    StateRoots,
    leaf_salt,
    metrics_digest,
    records_digest,
    state_word,
)
from tests.risk_reports import made_up_report

CTX, SEED = sha256(b"ctx"), sha256(b"seed")
WEIGHTS = Cid.parse("bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku")

counts = st.integers(1, 70)
groups = st.sampled_from([1, 2, 4, 8, 64])
digests = st.binary(min_size=32, max_size=32).map(Digest)


def roots_of(index: int) -> StateRoots:
    """Made-up roots of the state at a leaf."""
    return StateRoots(*(Root(sha256(f"{what} {index}".encode())) for what in ("model", "optimizer")))


def transcript(count: int, segment: int = 10, steps: int | None = None) -> Transcript:
    """A chain of leaves with made-up roots, every state unsalted."""
    leaves: list[Leaf] = []
    previous = ZERO
    for index in range(count):
        step = index * segment if steps is None else min(index * segment, steps)
        records, metrics = (sha256(f"{what} {index}".encode()) for what in ("records", "metrics"))
        leaves.append(Leaf(index, step, roots_of(index).digest, records, metrics, ZERO, previous))
        previous = leaves[-1].digest(CTX, SEED)
    return Transcript(CTX, SEED, tuple(leaves))


def changed(whole: Transcript, place: int, /, **fields: object) -> Transcript:
    """The transcript with one leaf altered and nothing else."""
    leaves = list(whole.leaves)
    leaves[place] = replace(leaves[place], **fields)  # type: ignore[arg-type]
    return replace(whole, leaves=tuple(leaves))


class Contract:
    """What ProofOfTrain does, written down a second time: peaks that carry like a
    binary counter."""

    def __init__(self, group: int) -> None:
        self.group, self.count, self.peaks = group, 0, tuple[Digest, ...]()

    def anchor(self, peaks: tuple[Digest, ...], root: Digest) -> None:
        assert peaks == self.peaks
        standing, groups = list(peaks), self.count // self.group
        while groups % 2:
            root, groups = node_hash(standing.pop(), root), groups // 2
        self.peaks, self.count = (*standing, root), self.count + self.group

    def finish(
        self, peaks: tuple[Digest, ...], tail: tuple[Digest, ...], last: OpenedLeaf, path: tuple[Digest, ...]
    ) -> Digest:
        assert peaks == self.peaks
        count, rest = last.index + 1, last.index + 1 - self.count
        assert len(tail) == rest.bit_count()
        node, smallest = leaf_hash(last.digest(CTX, SEED)), (*peaks, *tail)[-1]
        for left in path:
            node = node_hash(left, node)
        assert node == smallest
        assert 1 << len(path) == count & -count
        return tagged("fitchain/transcript/v2", count, bag((*peaks, *tail)))


@given(counts, groups)
def test_ending_opens_the_last_leaf_as_the_contract_does(count: int, group: int) -> None:
    whole, contract = transcript(count), Contract(group)
    for each in whole.groups(group):
        contract.anchor(each.peaks, each.root)
        assert contract.count == each.count
    ending = whole.ending(group, roots_of(count - 1), WEIGHTS)
    assert ending.last.leaf == whole.leaves[-1]
    assert ending.delivered is None
    assert contract.finish(ending.peaks, ending.tail, ending.last, ending.path) == whole.root


@given(st.integers(3, 70), groups, st.data())
def test_ending_proves_another_delivered_leaf(count: int, group: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(1, count - 2))
    whole = transcript(count)
    delivered = whole.ending(group, roots_of(count - 1), WEIGHTS, delivered=(index, roots_of(index))).delivered
    assert delivered is not None
    digest = delivered.leaf.digest(CTX, SEED)
    assert root_from_path(digest, index, count, delivered.path) == tree_root(whole.digests)


@pytest.mark.parametrize("index", [-1, 0, 6, 7])
def test_ending_refuses_to_deliver_the_first_the_last_and_none(index: int) -> None:
    with pytest.raises(InputRefused, match=f"leaf {index} cannot be delivered beside the last"):
        transcript(7).ending(4, roots_of(6), WEIGHTS, delivered=(index, roots_of(index)))


def test_ending_refuses_roots_of_another_state_and_a_salted_one() -> None:
    whole, other = transcript(7), sha256(b"other")
    with pytest.raises(DigestMismatch, match=r"leaf 6 names the state .*, and the roots beside it make up"):
        whole.ending(4, roots_of(5), WEIGHTS)
    salted = changed(whole, 6, state=state_word(roots_of(6).digest, other))
    with pytest.raises(DigestMismatch, match="leaf 6 names the state"):
        salted.ending(4, roots_of(6), WEIGHTS)


@given(counts)
def test_peaks_bag_into_the_tree(count: int) -> None:
    whole = transcript(count)
    assert bag(whole.peaks) == tree_root(whole.digests)


@given(st.integers(0, 40))
def test_grow_keeps_a_peak_for_each_one_in_the_count(count: int) -> None:
    peaks: list[Digest] = []
    for index in range(count):
        peaks = grow(peaks, sha256(bytes([index])), index)
    assert len(peaks) == count.bit_count()


@given(st.integers(1, 40), st.integers(2, 9))
def test_verify_accepts_an_undisturbed_chain(count: int, segment: int) -> None:
    transcript(count, segment).verify(steps=max(1, (count - 1) * segment), segment_steps=segment)


@pytest.mark.parametrize("field", ["state", "records", "metrics", "held_out"])
def test_verify_names_the_leaf_after_the_altered_one(field: str) -> None:
    with pytest.raises(ClaimMismatch, match=r"leaf 4 names .* as the leaf before it"):
        changed(transcript(9), 3, **{field: sha256(b"other")}).verify()


def test_every_field_changes_the_root() -> None:
    whole = transcript(9)
    last = {
        "index": 9,
        "step": 81,
        "state": ZERO,
        "records": ZERO,
        "metrics": ZERO,
        "held_out": sha256(b"held out"),
        "previous": ZERO,
    }
    roots = [changed(whole, 8, **{name: value}).root for name, value in last.items()]
    others = [Transcript(ZERO, SEED, whole.leaves).root, Transcript(CTX, ZERO, whole.leaves).root]
    assert len({whole.root, *roots, *others}) == len(last) + 3


def test_verify_refuses_swapped_leaves() -> None:
    whole = transcript(5)
    leaves = (*whole.leaves[:2], whole.leaves[3], whole.leaves[2], whole.leaves[4])
    with pytest.raises(ClaimMismatch, match="leaf 2 calls itself leaf 3"):
        replace(whole, leaves=leaves).verify()


def test_verify_refuses_a_first_leaf_that_does_not_stand_at_the_start() -> None:
    with pytest.raises(ClaimMismatch, match="leaf 0 stands after step 10"):
        changed(transcript(1), 0, step=10).verify()


def test_verify_compares_steps_with_the_terms() -> None:
    with pytest.raises(ClaimMismatch, match="leaf 3 stands after step 30, and the terms say 25"):
        transcript(4).verify(steps=25, segment_steps=10)


def test_verify_refuses_more_leaves_than_agreed() -> None:
    with pytest.raises(ClaimMismatch, match="has 6 leaves, and 40 steps by 10 give 5"):
        transcript(6).verify(steps=40, segment_steps=10)


def test_ending_of_no_leaf_is_refused() -> None:
    with pytest.raises(InputRefused):
        Transcript(CTX, SEED, ()).ending(4, roots_of(0), WEIGHTS)


@pytest.mark.parametrize("group", [0, -2, 3, 12])
def test_group_must_be_a_power_of_two(group: int) -> None:
    with pytest.raises(InputRefused, match="power of two"):
        transcript(4).groups(group)


# Anchors


def anchor(count: int, root: Digest) -> Anchor:
    return Anchor(count, root, note=None, block=0, transaction=ZERO)


def anchors(whole: Transcript, group: int) -> list[Anchor]:
    return [anchor(each.count, each.root) for each in whole.groups(group)]


def test_anchors_of_the_same_leaves_pass() -> None:
    whole = transcript(11)
    check_anchors(whole, anchors(whole, 4), 4)
    check_anchors(whole, anchors(whole, 4)[:1], 4)


def test_anchors_of_other_leaves_are_refuted_at_the_first_group_that_differs() -> None:
    with pytest.raises(ClaimMismatch, match="leaves 4 to 7 have the root"):
        check_anchors(changed(transcript(11), 6, state=ZERO), anchors(transcript(11), 4), 4)


def test_fewer_leaves_than_anchored_are_refuted() -> None:
    with pytest.raises(ClaimMismatch, match="the chain has 2 anchors"):
        check_anchors(transcript(7), anchors(transcript(8), 4), 4)


def test_an_anchor_of_another_size_is_refuted() -> None:
    whole = transcript(8)
    with pytest.raises(ClaimMismatch, match="anchor 0 ends with leaf 2"):
        check_anchors(whole, [anchor(3, whole.groups(4)[0].root)], 4)


# Leaves and checkpoints


metrics = st.dictionaries(st.sampled_from(["loss", "accuracy"]), st.floats(allow_nan=False, allow_infinity=False))


@given(
    st.integers(0, 2**32 - 1),
    st.integers(0, 2**32 - 1),
    st.lists(digests, min_size=7, max_size=7),
    st.none() | digests,
    metrics,
)
def test_checkpoint_is_read_back_from_its_line(
    index: int, step: int, parts: list[Digest], salt: Digest | None, values: dict[str, float]
) -> None:
    leaf = Leaf(index, step, parts[0], parts[1], parts[2], ZERO, parts[3])
    checkpoint = Checkpoint(leaf, Root(parts[4]), Root(parts[5]), values, parts[6], salt)
    assert Checkpoint.from_line(checkpoint.to_line()) == checkpoint


def checkpoint_of(index: int = 3, state_salt: Digest | None = None) -> Checkpoint:
    """A checkpoint that opens its leaf."""
    salt, roots = leaf_salt(bytes(32), index), roots_of(index)
    word = state_word(roots.digest, state_salt)
    leaf = Leaf(index, 10 * index, word, ZERO, metrics_digest({"loss": 0.5}, salt), ZERO, ZERO)
    return Checkpoint(leaf, roots.model, roots.optimizer, {"loss": 0.5}, salt, state_salt)


def test_checkpoint_refuses_metrics_that_do_not_open_its_leaf() -> None:
    checkpoint_of().verify()
    with pytest.raises(DigestMismatch, match="the metrics of leaf 3"):
        replace(checkpoint_of(), metrics={"loss": 0.4}).verify()


@pytest.mark.parametrize("salt", [None, sha256(b"salt")])
def test_checkpoint_refuses_a_state_that_does_not_open_its_leaf(salt: Digest | None) -> None:
    checkpoint_of(state_salt=salt).verify()
    other = Root(sha256(b"other"))
    for forged in ({"model": other}, {"optimizer": other}, {"state_salt": other}):
        with pytest.raises(DigestMismatch, match="the state of leaf 3 opens to"):
            replace(checkpoint_of(state_salt=salt), **forged).verify()  # type: ignore[arg-type]


def test_unsalted_checkpoint_shows_a_contract_what_it_hashes() -> None:
    salted = checkpoint_of(state_salt=sha256(b"salt"))
    with pytest.raises(DigestMismatch, match="leaf 3 names the state"):
        _ = salted.opened
    plain = salted.unsalted()
    plain.verify()
    opened = plain.opened
    assert (opened.index, opened.step, opened.model, opened.optimizer) == (3, 30, *astuple_of(roots_of(3)))
    assert (opened.leaf, opened.digest(CTX, SEED)) == (plain.leaf, plain.leaf.digest(CTX, SEED))


def astuple_of(roots: StateRoots) -> tuple[Root, Root]:
    return roots.model, roots.optimizer


def test_a_leaf_that_names_a_result_which_nothing_opens_is_refuted() -> None:
    checkpoint = checkpoint_of()
    spoilt = replace(checkpoint, leaf=Leaf.from_json(checkpoint.leaf.to_json() | {"held_out": str(sha256(b"results"))}))
    with pytest.raises(DigestMismatch, match=r"the results of leaf 3, .* digest to 0x0"):
        spoilt.verify()


def test_a_risk_report_stands_in_a_leaf_beside_the_held_out_result() -> None:
    for checkpoint in (checkpoint_of(), checkpoint_of().with_report(None)):
        assert checkpoint.leaf.held_out == checkpoint.held_out_digest == ZERO
    report = made_up_report().parts
    named = checkpoint_of().with_report(report)
    named.verify()
    assert named.leaf.held_out == tagged("fitchain/results/v2", ZERO, report.digest)
    assert Checkpoint.from_line(named.to_line()) == named and named.with_report(None) == checkpoint_of()
    for other in (None, made_up_report(auc=0.5).parts):
        with pytest.raises(DigestMismatch, match="the results of leaf 3"):
            replace(named, report=other).verify()


def test_state_roots_are_read_back() -> None:
    assert StateRoots.from_json(roots_of(1).to_json()) == roots_of(1)
    with pytest.raises(InputRefused, match="a state's roots has the fields"):
        StateRoots.from_json({"model": str(ZERO)})


def test_a_key_of_salts_has_32_bytes() -> None:
    with pytest.raises(InputRefused, match="32 bytes, not 31"):
        SaltKeys(bytes(32), bytes(31))


@pytest.mark.parametrize(
    "line",
    [
        b"{}",
        b"[]",
        b'{"leaf":{},"model":"0x","optimizer":"0x","metrics":{},"salt":"0x","state_salt":null}',
        b'{"leaf":',
        b'{"leaf":1,"model":1,"optimizer":1,"metrics":{"loss":true},"salt":2,"state_salt":3}',
    ],
)
def test_checkpoint_refuses_what_is_none(line: bytes) -> None:
    with pytest.raises(InputRefused):
        Checkpoint.from_line(line)


def test_leaf_is_hashed_as_written_down() -> None:
    state, records, metrics, held_out, previous = (sha256(bytes([place])) for place in range(5))
    leaf = Leaf(1, 10, state, records, metrics, held_out, previous)
    words = (CTX, SEED, 1, 10, state, records, metrics, held_out, previous)
    assert leaf.digest(CTX, SEED) == tagged("fitchain/leaf/v2", *words)


def test_a_state_is_hashed_as_written_down() -> None:
    roots, salt = roots_of(1), sha256(b"salt")
    assert roots.digest == tagged("fitchain/state/v2", roots.model, roots.optimizer)
    assert state_word(roots.digest, None) == roots.digest
    assert state_word(roots.digest, salt) == tagged("fitchain/salted-state/v2", salt, roots.digest)


def test_leaf_and_transcript_are_those_of_the_contracts() -> None:
    """tests/contracts/vectors.json is what the forge tests compare the contracts with."""
    vectors = json.loads((Path(__file__).parent / "contracts" / "vectors.json").read_text())
    words = ("model", "optimizer", "records", "metrics", "held-out", "previous", "ctx", "seed")
    model, optimizer, records, metrics, held_out, previous, ctx, seed = (sha256(word.encode()) for word in words)
    opened = OpenedLeaf(7, 14, Root(model), Root(optimizer), records, metrics, held_out, previous)
    assert str(opened.roots.digest) == vectors["state"]
    assert str(opened.digest(ctx, seed)) == vectors["leaf"]


def test_salts_differ_by_leaf_and_by_key() -> None:
    assert len({leaf_salt(key, index) for key in (bytes(32), bytes([1]) * 32) for index in range(3)}) == 6


def test_records_digest_depends_on_the_order() -> None:
    forth, back = (np.array(order, np.uint64) for order in ([1, 2, 3], [3, 2, 1]))
    assert records_digest(forth) != records_digest(back)
    assert records_digest(forth) == records_digest(np.array([9, 1, 9, 2, 9, 3, 9], np.uint64)[1::2])
