"""Agreements on a real node whose parties call by hand: registered parties, their terms, made-up
transcripts, endings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import count
from typing import NamedTuple

import pytest

from fitchain.pod.ports.agreement import (
    Agreements,
    Ending,
    Terms,
    commit_key,
    commit_nonce,
)
from fitchain.pod.ports.registry import Registry
from fitchain.pod.ports.store.base import RAW, Cid
from fitchain.pod.proof.transcript import Transcript
from fitchain.pod.values.digest import ZERO, Digest, Root, sha256
from fitchain.pod.values.ids import AgreementId
from fitchain.pod.values.leaf import Leaf, StateRoots
from tests.chain_fixtures import ETHER, Account

PRICE, BOND = 10 * ETHER, 4 * ETHER
WINDOW = 600
NONCE, ASKER_NONCE = sha256(b"the owner's nonce"), sha256(b"the scientist's nonce")
STEPS, SEGMENT, GROUP = 30, 4, 4  # leaves 0..8: two groups and one leaf over
SALTS = count()


def cid(text: str) -> Cid:
    return Cid.of(RAW, bytes(sha256(text.encode())))


WEIGHTS, KEY, OFFER, NOTE = cid("weights"), cid("key"), cid("offer"), cid("note")


class Parties(NamedTuple):
    """An owner with a dataset, a scientist with a model, and the terms they would agree on."""

    owner: Account
    scientist: Account
    terms: Terms

    @property
    def by_owner(self) -> Agreements:
        return Agreements(self.owner.chain)

    @property
    def by_scientist(self) -> Agreements:
        return Agreements(self.scientist.chain)

    def request(self, **changes: object) -> AgreementId:
        """Ask by the terms with changes; where there are seats, with a commitment to `ASKER_NONCE`."""
        terms = replace(self.terms, **changes)  # type: ignore[arg-type]
        if terms.audit.seats and terms.nonce_commitment == ZERO:
            terms = replace(terms, nonce_commitment=commit_nonce(ASKER_NONCE))
        return self.by_scientist.request(sha256(str(next(SALTS)).encode()), terms, OFFER)

    def accepted(self, **changes: object) -> AgreementId:
        id = self.request(**changes)
        self.by_owner.accept(id, commit_key(NONCE))
        return id

    def begun(self, **changes: object) -> AgreementId:
        id = self.accepted(**changes)
        self.by_owner.begin(id, NONCE)
        return id


@pytest.fixture(scope="module")
def parties(open_account: Callable[..., Account]) -> Parties:
    return registered(open_account(), open_account())


def registered(owner: Account, scientist: Account) -> Parties:
    dataset_root, initial_root = Root(sha256(b"dataset")), Root(sha256(b"initial model"))
    dataset = Registry(owner.chain).register_dataset(dataset_root, 455, cid("card"))
    model = Registry(scientist.chain).register_model(sha256(b"graph"), initial_root)
    terms = Terms(
        owner=owner.address,
        dataset=dataset,
        dataset_root=dataset_root,
        model=model,
        model_root=initial_root,
        recipe=sha256(b"recipe"),
        environment=sha256(b"environment"),
        steps=STEPS,
        segment_steps=SEGMENT,
        group_leaves=GROUP,
        step_bytes=1 << 20,
        step_calls=12,
        step_operations=10**6,
        price=PRICE,
        bond=BOND,
        acceptance_window=WINDOW,
        training_window=WINDOW,
        dispute_window=WINDOW,
    )
    return Parties(owner, scientist, terms)


def roots_of(index: int) -> StateRoots:
    """Made-up roots of the state at a leaf."""
    return StateRoots(*(Root(sha256(f"{name} {index}".encode())) for name in ("model", "optimizer")))


def transcript(ctx: Digest, seed: Digest, leaves: int) -> Transcript:
    """Made-up leaves, chained as real ones are, their states unsalted."""
    made: list[Leaf] = []
    for index in range(leaves):
        records, metrics = (sha256(f"{name} {index}".encode()) for name in ("records", "metrics"))
        previous = made[-1].digest(ctx, seed) if made else ZERO
        step = min(index * SEGMENT, STEPS)
        made.append(Leaf(index, step, roots_of(index).digest, records, metrics, ZERO, previous))
    return Transcript(ctx, seed, tuple(made))


def ending(made: Transcript, identity: Cid | None = KEY, delivered: int | None = None) -> Ending:
    """The end of made-up leaves: at the last of them, delivering it or the one named."""
    chosen = None if delivered is None else (delivered, roots_of(delivered))
    return made.ending(GROUP, roots_of(made.count - 1), WEIGHTS, identity, chosen)


def anchored(parties: Parties, id: AgreementId, leaves: int) -> Transcript:
    """Anchor what full groups these leaves have, one after another without waiting."""
    calls = parties.by_owner
    run = calls.run_record(id)
    made = transcript(run.ctx, run.seed, leaves)
    groups = made.groups(GROUP)
    pending = [
        calls.submit_anchor(id, run.seed, group.peaks, group.root, NOTE if group.index else None) for group in groups
    ]
    for one in pending:
        calls.chain.wait(one)
    return made


def finished(parties: Parties) -> tuple[AgreementId, Transcript]:
    id = parties.begun()
    made = anchored(parties, id, 9)
    parties.by_owner.finish(id, ending(made))
    return id, made
