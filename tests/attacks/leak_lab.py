"""How many records come home in a delivered model: modules of `leaks`, exported as `model publish`
does it, trained by our own loops on the breast-cancer table without and with differential privacy,
and decoded.

Half of the table's records are trained on (members), the others never are. Which is which is drawn,
so whoever learnt nothing of a single record finds members and others alike: given how many of both
are found, the members among them are hypergeometric. That is what *chance* is here, exactly; beyond
it is what chance finds once in a thousand such tables at most.

A record is *recovered* where all of its numbers are within 1 % of their column's range. That chance
recovers next to none; so members and others are compared where they are *near* a candidate, by 5 %
of the range on average, too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial
from math import comb
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fitchain.pod.compute.dataset import Assemble, assemble, batches, drawn_batches
from fitchain.pod.compute.environment import installed_torch
from fitchain.pod.compute.model.export import export
from fitchain.pod.compute.model.program import Program
from fitchain.pod.compute.model.tensors import new_tensor
from fitchain.pod.compute.private_training import train_privately
from fitchain.pod.compute.training import fresh_optimizer, train
from fitchain.pod.values.digest import sha256
from fitchain.pod.values.errors import InputRefused
from fitchain.pod.values.graph import Graph, Input
from fitchain.pod.values.privacy.keys import segment_key
from fitchain.pod.values.recipe import Recipe, draft
from fitchain.pod.values.state import Tensors, model_root
from scripts.bench.bench_privacy import Trial, prepare
from tests.attacks.leaks import FEATURES, MEMBERS, Leak

EPSILON = 3.0
RECOVERED, NEAR = 0.01, 0.05
BEYOND_CHANCE = 1e-3
SEED = sha256(b"order of the leaks")


@dataclass(frozen=True)
class Found:
    """Records that candidates lead to.

    Args:
        recovered, others_recovered: members, and records that were never trained on.
        near, others_near: likewise, of those that are near a candidate.
    """

    recovered: int
    others_recovered: int
    near: int
    others_near: int

    @property
    def most_recovered(self) -> int:
        """As many of the recovered as are members by chance, but once in 1,000 times."""
        return most_by_chance(self.recovered + self.others_recovered)

    @property
    def most_near(self) -> int:
        """The same of those that are near."""
        return most_by_chance(self.near + self.others_near)

    @property
    def beyond_chance(self) -> bool:
        """Whether more members are found, in either way, than chance would find."""
        return self.recovered > self.most_recovered or self.near > self.most_near


@dataclass(frozen=True)
class Measured:
    """What became of a module.

    Args:
        leak: which.
        refused: why it is not published; empty where it is.
        plain: what it brings home without differential privacy.
        private: with it; None where private training refuses it, as `refused_in_private` says.
    """

    leak: Leak
    refused: str = ""
    plain: Found | None = None
    private: Found | None = None
    refused_in_private: str = ""

    @property
    def holds(self) -> bool:
        """Whether it is refused as the corpus says, or brings home what it says where nothing is
        noised, and nothing beyond chance where something is."""
        if self.plain is None:
            return bool(self.leak.refusal) and self.leak.refusal in self.refused
        if self.private is None:
            private = bool(self.leak.refusal) and self.leak.refusal in self.refused_in_private
        else:
            private = not self.private.beyond_chance
        return private and self.plain.recovered >= self.leak.least

    def json(self) -> dict[str, Any]:
        """For `--json`."""
        found = {"plain": self.plain, "private": self.private}
        told = {name: each and asdict(each) | {"beyond_chance": each.beyond_chance} for name, each in found.items()}
        refusals = {"refused": self.refused, "refused_in_private": self.refused_in_private}
        return {"name": self.leak.name, "holds": self.holds} | refusals | told


def most_by_chance(found: int, members: int = MEMBERS, records: int = 455) -> int:
    """How many of the records that are found are members in all but 1 of 1,000 draws of who is
    one."""
    ways, tail = comb(records, found), 0
    for count in range(min(found, members), -1, -1):
        tail += comb(members, count) * comb(records - members, found - count)
        if tail > BEYOND_CHANCE * ways:
            return count
    return 0


class LeakLab:
    """The table, and who of it is trained on.

    Args:
        folder: for the table's files.
    """

    def __init__(self, folder: Path) -> None:
        self.trial: Trial = prepare(folder)
        self.order_N = np.random.default_rng(2026).permutation(self.trial.private.count)

    def measured(self, leak: Leak) -> Measured:
        """Publish a module; where it may be, train and decode it without and with noise."""
        torch.manual_seed(0)
        try:
            graph, tensors = export(leak.module(), [Input("x", "F32", (FEATURES,))], 16)
        except InputRefused as refusal:
            return Measured(leak, refusal.message)
        plain = self.found(leak, graph, tensors, None)
        try:
            return Measured(leak, "", plain, self.found(leak, graph, tensors, EPSILON))
        except InputRefused as refusal:
            return Measured(leak, "", plain, None, refusal.message)

    def found(self, leak: Leak, graph: Graph, tensors: Tensors, epsilon: float | None) -> Found:
        """Train, decode, and compare with who was trained on, and who was not."""
        recipe = self.recipe(leak, graph, tensors, epsilon)
        take = self.assembled(recipe)
        program = Program(graph, tensors)
        for _ in steps_of(program, recipe, take):
            pass
        assert leak.decode is not None
        candidates_CF = leak.decode(program, {name: new_tensor(each) for name, each in tensors.items()})
        (records_NF,), _ = take(np.arange(len(self.order_N), dtype=np.uint64))
        return compared(candidates_CF.numpy(), records_NF)

    def recipe(self, leak: Leak, graph: Graph, tensors: Tensors, epsilon: float | None) -> Recipe:
        """The recipe that serves the module best, within an epsilon or plain."""
        card = self.trial.card if epsilon is None else self.trial.budgeted
        terms: dict[str, Any] = {"learning_rate": 1.0, **leak.terms, "rows": [0, MEMBERS]}
        if epsilon is not None:
            terms["privacy"] = {"epsilon": epsilon}
        recipe = draft(graph.digest, model_root(tensors), card.json(), installed_torch(), terms)
        return replace(recipe, learning_rates=leak.rates) if leak.rates else recipe

    def assembled(self, recipe: Recipe) -> Assemble:
        """The records in the order in which the first of them are members."""
        take = assemble(recipe, self.trial.private, ["float32"])
        return lambda indices: take(self.order_N[indices.astype(np.int64)].astype(np.uint64))


def steps_of(program: Program, recipe: Recipe, take: Assemble) -> Iterator[object]:
    """Train, by the loop that the recipe asks for."""
    optimizer = fresh_optimizer(program, recipe)
    if recipe.privacy is None:
        return train(program, recipe, batches(recipe, SEED), take, SEED, 0, optimizer)
    keys = partial(segment_key, bytes(range(32)))
    return train_privately(program, recipe, drawn_batches(recipe, SEED, keys), take, SEED, 0, optimizer, keys)


def compared(candidates_CF: np.ndarray, records_NF: np.ndarray) -> Found:
    """Count the records that some candidate is.

    Args:
        candidates_CF: what was decoded.
        records_NF: as the model takes them, the members first.
    """
    finite_CF = candidates_CF[np.isfinite(candidates_CF).all(1)].astype(np.float32)
    recovered, near = [], []
    for record_F in records_NF:
        apart_CF = np.abs(finite_CF - record_F)
        recovered.append(bool((apart_CF.max(1) <= RECOVERED).any()))
        near.append(bool((apart_CF.mean(1) <= NEAR).any()))
    parts = (recovered[:MEMBERS], recovered[MEMBERS:], near[:MEMBERS], near[MEMBERS:])
    return Found(*map(sum, parts))
