"""Odd states and odd evidence: what an owner may keep, and seal, to break whoever trains it again.

A state is made odd before its leaf names it, so that the checks have nothing to say of it and the
replay has to; a file of evidence after it was written.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

from fitchain.pod.compute.checkpoint import KeptState, read_leaves, read_state_file
from fitchain.pod.jobs.worker import Context
from fitchain.pod.jobs.worker.events import LINE_BYTES, SegmentAudited, parse_event
from fitchain.pod.jobs.worker.task import Audit
from fitchain.pod.proof.audit.chain_record import ChainRecord
from fitchain.pod.proof.audit.checking import check
from fitchain.pod.proof.audit.evidence import Evidence
from fitchain.pod.proof.audit.vote import Outcome
from fitchain.pod.values.errors import ClaimMismatch, InputRefused, NotFound
from fitchain.pod.values.job_folder import OFFER_FILES
from fitchain.pod.values.state import ITEM_BYTES, TensorBytes, model_root
from tests.attacks.cheats import put_state, state_at
from tests.audits import Case, Tamper, work_here
from tests.parser_fuzz import Mutator
from tests.training_jobs import CTX, PRIVACY, SEED, PrivateNet

JOBS: Mapping[str, Mapping[str, Any]] = {
    "AdamW": {},
    "SGD": {"optimizer": {"name": "SGD", "arguments": {"momentum": 0.9}}},
    "RMSprop": {"optimizer": {"name": "RMSprop", "arguments": {"momentum": 0.9, "centered": True}}},
    "Adafactor": {"optimizer": {"name": "Adafactor", "arguments": {}}},
    "Lion": {"optimizer": {"name": "Lion", "arguments": {}}},
    "LAMB": {"optimizer": {"name": "LAMB", "arguments": {}}},
    "averaged Adam": {"optimizer": {"name": "Adam", "arguments": {"amsgrad": True}}, "ema": 0.9},
    "pulled AdamW": {"proximal": 0.1, "held_out": 0.25, "evaluate": "segment"},
    "private AdamW": {"net": PrivateNet, "privacy": PRIVACY, "metrics": []},
}
"""What the recipes of the jobs differ in: each optimizer keeps other tensors."""
NUMBERS = (float("nan"), float("inf"), float("-inf"), -0.0, -1.0, -5.0, 0.5, 3e38, -3e38, 1e-45, -1e-45, 2.0**24 + 2)
NAMES = (
    "/",
    "/step",
    "x/step",
    "allocate memory/step",
    "first.weight/",
    "first.weight/x/exp_avg",
    "é" * 300,
    "a\u2028b",
)
MANY, LONG_NAME = 200, "n" * 450
EMPTY_SHAPES = ((0,), (0, 1 << 52), (1 << 40, 0, 1 << 40))
Tensors = dict[str, TensorBytes]
Oddity = Callable[[Random, Tensors, str], None]
"""Makes tensors odd at a name that they have."""


def numbers(pick: Random, tensors: Tensors, name: str) -> None:
    """Put odd numbers in some places, or in all."""
    tensor = tensors[name]
    if tensor.dtype == "F32" and tensor.data.nbytes:
        count = tensor.data.nbytes // 4
        values = list(struct.unpack(f"<{count}f", tensor.data))
        for at in range(count) if pick.random() < 0.5 else [pick.randrange(count)]:
            values[at] = pick.choice(NUMBERS)
        tensors[name] = replace(tensor, data=memoryview(struct.pack(f"<{count}f", *values)))


def same_bytes_of_another_dtype(pick: Random, tensors: Tensors, name: str) -> None:
    tensor = tensors[name]
    size = ITEM_BYTES[tensor.dtype]
    dtype = pick.choice([dtype for dtype, item in ITEM_BYTES.items() if item == size and dtype != "BOOL"])
    tensors[name] = replace(tensor, dtype=dtype)


def another_dtype(pick: Random, tensors: Tensors, name: str) -> None:
    tensor, dtype = tensors[name], pick.choice(list(ITEM_BYTES))
    count = tensor.data.nbytes // ITEM_BYTES[tensor.dtype]
    tensors[name] = replace(tensor, dtype=dtype, data=memoryview(bytes(count * ITEM_BYTES[dtype])))


def another_shape(pick: Random, tensors: Tensors, name: str) -> None:
    tensor = tensors[name]
    count = tensor.data.nbytes // ITEM_BYTES[tensor.dtype]
    shape = pick.choice([(count,), (1, *tensor.shape), (*tensor.shape, 1), tuple(reversed(tensor.shape))])
    tensors[name] = replace(tensor, shape=shape)


def of_no_number(pick: Random, tensors: Tensors, name: str) -> None:
    tensors[name] = replace(tensors[name], shape=pick.choice(EMPTY_SHAPES), data=memoryview(b""))


def one_number(pick: Random, tensors: Tensors, name: str) -> None:
    shape = pick.choice([(), (1,), (1, 1, 1, 1, 1, 1, 1, 1)])
    tensors[name] = replace(tensors[name], dtype="F32", shape=shape, data=memoryview(struct.pack("<f", 1.0)))


def left_out(_: Random, tensors: Tensors, name: str) -> None:
    del tensors[name]


def all_left_out(_: Random, tensors: Tensors, name: str) -> None:
    tensors.clear()


def another_name(pick: Random, tensors: Tensors, name: str) -> None:
    tensors[pick.choice([*NAMES, name + "x", name.replace("/", ".")])] = tensors.pop(name)


def further(pick: Random, tensors: Tensors, name: str) -> None:
    tensors[pick.choice(NAMES)] = tensors[name]


def many_further(_: Random, tensors: Tensors, name: str) -> None:
    """So many of such names that a message that lists them is longer than a worker's line may be."""
    parameter = name.rpartition("/")[0]
    tensors |= {f"{parameter}/{LONG_NAME}{number}": tensors[name] for number in range(MANY)}


def exchanged(pick: Random, tensors: Tensors, name: str) -> None:
    other = pick.choice(list(tensors))
    tensors[name], tensors[other] = tensors[other], tensors[name]


ODDITIES: tuple[Oddity, ...] = (
    *[numbers] * 6,
    same_bytes_of_another_dtype,
    another_dtype,
    another_shape,
    of_no_number,
    one_number,
    left_out,
    all_left_out,
    another_name,
    further,
    many_further,
    exchanged,
)


def odd_state(pick: Random, state: KeptState, oddity: Oddity | None = None) -> KeptState:
    """A state that no training comes to."""
    model, optimizer = dict(state.model), dict(state.optimizer)
    for _ in range(pick.choice([1, 1, 2])):
        tensors = optimizer if optimizer and pick.random() < 0.7 else model
        if tensors:
            (oddity or pick.choice(ODDITIES))(pick, tensors, pick.choice(sorted(tensors)))
    return KeptState(model, optimizer)


def keep_odd_state(case: Case, pick: Random, oddity: Oddity | None = None) -> bool:
    """Let a leaf of a job be of an odd state, which its owner keeps and shows.

    Returns:
        whether it is another than before.
    """
    index = pick.randrange(1, len(read_leaves(case.folder)) - 1)
    before = read_leaves(case.folder)[index].roots
    put_state(case.folder, index, odd_state(pick, state_at(case.folder, index), oddity))
    return read_leaves(case.folder)[index].roots != before


def odd_file(mutator: Mutator) -> Tamper:
    """Makes one file of evidence odd."""

    def tamper(place: Path) -> None:
        path = mutator.random.choice(sorted(path for path in place.iterdir() if path.stat().st_size))
        good = path.read_bytes()
        change = mutator.json
        if path.suffix == ".safetensors":
            change = mutator.tensors
        elif path.suffix == ".bin":
            change = mutator.records
        path.unlink()  # it may be a link to the job's own
        path.write_bytes(change(good))

    return tamper


@dataclass(frozen=True)
class Verdict:
    """What a verifier comes to.

    Args:
        outcome: Match, Mismatch or Withheld.
        content: what the evidence says that a Match stands for.
    """

    outcome: Outcome
    content: Any = None


def verdict(case: Case, facts: ChainRecord, tamper: Tamper | None = None) -> Verdict:
    """Check evidence and train it again, as `examine` does with a worker of its own, in this
    process.

    Raises:
        Exception: whatever would leave a verifier without a verdict.
    """
    try:
        evidence = case.evidence(facts, tamper)
    except (InputRefused, NotFound):
        return Verdict(Outcome.WITHHELD)
    checked = check(evidence, facts)
    if not checked.replayable:
        return Verdict(Outcome.WITHHELD)
    try:
        events = work_here(evidence.folder, Audit(Context(CTX, SEED), checked.replayable, facts.work))
    except (ClaimMismatch, InputRefused):
        return Verdict(Outcome.WITHHELD)
    lines = [event.encode() for event in events]
    assert max(map(len, lines)) <= LINE_BYTES
    audited = [event for event in map(parse_event, lines) if isinstance(event, SegmentAudited)]
    assert [each.index for each in audited] == list(checked.replayable)
    is_equal = not checked.problems and all(each.equal for each in audited)
    return Verdict(Outcome.MATCH, content_of(evidence)) if is_equal else Verdict(Outcome.MISMATCH)


def content_of(evidence: Evidence) -> Any:
    """What evidence says, however its files spell it."""
    states = [read_state_file(evidence.state_file(segment)) for segment in evidence.segments if segment]
    offer = [(evidence.folder / name).read_bytes() for name in OFFER_FILES if name.endswith(".json")]
    roots = [(model_root(state.model), sorted(state.optimizer.items(), key=lambda each: each[0])) for state in states]
    return evidence.leaves, list(evidence.records), dict(evidence.noise), roots, offer
