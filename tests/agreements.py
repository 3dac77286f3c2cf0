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
    AuditTerms,
    Terms,
    commit_nonce,
)
from fitchain.pod.ports.registry import Registry
from fitchain.pod.ports.store.base import RAW, Cid
from fitchain.pod.proof.transcript import Transcript
from fitchain.pod.values.digest import ZERO, Digest, Root, sha256
from fitchain.pod.values.ids import AgreementId
from fitchain.pod.values.leaf import Leaf
from tests.chain_fixtures import ETHER, Account

PRICE, BOND = 10 * ETHER, 4 * ETHER
WINDOW = 600
NONCE = sha256(b"the owner's nonce")
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
    dataset_root: Root
    initial_root: Root

    @property
    def by_owner(self) -> Agreements:
        return Agreements(self.owner.chain)

    @property
    def by_scientist(self) -> Agreements:
        return Agreements(self.scientist.chain)

    def request(self, **changes: object) -> AgreementId:
        salt = sha256(str(next(SALTS)).encode())
        return self.by_scientist.request(salt, replace(self.terms, **changes), OFFER)  # type: ignore[arg-type]

    def accepted(self, **changes: object) -> AgreementId:
        id = self.request(**changes)
        self.by_owner.accept(id, commit_nonce(NONCE))
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
    windows = (WINDOW, WINDOW, WINDOW)
    terms = Terms(
        owner.address, dataset, model, sha256(b"recipe"), STEPS, SEGMENT, GROUP, PRICE, BOND, *windows, AuditTerms()
    )
    return Parties(owner, scientist, terms, dataset_root, initial_root)


def transcript(ctx: Digest, seed: Digest, leaves: int) -> Transcript:
    """Made-up leaves, chained as real ones are."""
    found: list[Leaf] = []
    for index in range(leaves):
        made = {name: sha256(f"{name} {index}".encode()) for name in ("model", "optimizer", "records", "metrics")}
        previous = found[-1].digest(ctx, seed) if found else ZERO
        roots = Root(made["model"]), Root(made["optimizer"])
        found.append(Leaf(index, min(index * SEGMENT, STEPS), *roots, made["records"], made["metrics"], previous))
    return Transcript(ctx, seed, tuple(found))


def anchored(parties: Parties, id: AgreementId, leaves: int) -> Transcript:
    """Anchor what full groups these leaves have, one after another without waiting."""
    calls = parties.by_owner
    proof = calls.run_record(id)
    made = transcript(proof.ctx, proof.seed, leaves)
    groups = made.groups(GROUP)
    pending = [calls.submit_anchor(id, group.peaks, group.root, NOTE if group.index else None) for group in groups]
    for one in pending:
        calls.chain.wait(one)
    return made


def finished(parties: Parties) -> tuple[AgreementId, Transcript]:
    id = parties.begun()
    made = anchored(parties, id, 9)
    parties.by_owner.finish(id, made.ending(GROUP, WEIGHTS, KEY))
    return id, made
