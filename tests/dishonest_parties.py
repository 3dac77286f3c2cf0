"""Dishonest parties for attacks and faults: a scientist who forges offers, an owner who forges
notes and deliveries.

Neither trains anything. What they send is made of honest parts, any of which can be replaced before
it is sent.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from fitchain.pod.compute.dataset.preprocessing import preprocessing_metadata, preprocessing_of
from fitchain.pod.jobs.exchange import Note, send_folder, send_key, send_note
from fitchain.pod.jobs.home import Home
from fitchain.pod.jobs.metering import measured_work
from fitchain.pod.parties.scientist import JobRequest, draft_recipe
from fitchain.pod.parties.scientist.publish import MODEL_FILES
from fitchain.pod.parties.scientist.request import terms_of
from fitchain.pod.ports.agreement import Terms, commit_key
from fitchain.pod.ports.sealed import new_identity
from fitchain.pod.ports.store import Cid
from fitchain.pod.proof.certificate import issue
from fitchain.pod.proof.certificate.early_end import EarlyEnd
from fitchain.pod.proof.transcript import Transcript
from fitchain.pod.values.digest import ZERO, Digest, sha256
from fitchain.pod.values.graph import Graph
from fitchain.pod.values.ids import AgreementId
from fitchain.pod.values.leaf import Leaf, StateRoots, leaf_salt, metrics_digest, records_digest
from fitchain.pod.values.recipe import Recipe
from fitchain.pod.values.state import optimizer_root, read_safetensors, write_safetensors
from tests.pods import BOND, HOUR_S, PRICE, RECIPE, Workshop


@dataclass
class Offer:
    """A request as a dishonest scientist may make one: every part can be replaced before it is
    sent.

    Args:
        home: the scientist's.
        recipe: what it says it wants.
        terms: what it writes on the chain.
        files: the offer's plain files by name.
        recipients: to whom the offer is sealed.
    """

    home: Home
    recipe: Recipe
    terms: Terms
    files: dict[str, bytes]
    recipients: list[str]

    @classmethod
    def honest(cls, workshop: Workshop, **overrides: Any) -> Offer:
        """What `request_job` would send."""
        home, dataset = workshop.scientist.home, workshop.dataset
        row = home.journal.model(workshop.model.id)
        recipe = draft_recipe(home, dataset.card, row.graph, row.initial_model, RECIPE | overrides)
        owner = workshop.owner
        request = JobRequest(dataset.id, row.id, bond=BOND, windows=(HOUR_S,) * 3)
        terms = terms_of(owner.address, request, recipe, PRICE, measured_work(home, recipe, row.folder))
        files = {name: (row.folder / name).read_bytes() for name in MODEL_FILES}
        return cls(home, recipe, terms, files | {"recipe.json": recipe.encode()}, [owner.home.keys.recipient])

    def with_recipe(self, **changes: Any) -> Offer:
        """Ask for another recipe, on the chain too."""
        self.recipe = replace(self.recipe, **changes)
        self.files["recipe.json"] = self.recipe.encode()
        self.terms = replace(self.terms, recipe=self.recipe.digest, environment=self.recipe.environment.digest)
        return self

    def send(self) -> AgreementId:
        """Seal and send it; the agreement's id."""
        with tempfile.TemporaryDirectory() as folder:
            for name, data in self.files.items():
                (Path(folder) / name).write_bytes(data)
            cid = send_folder(self.home.store, Path(folder), list(self.files), self.recipients)
        return self.home.agreements.request(Digest(os.urandom(32)), self.terms, cid)


@dataclass
class Forger:
    """An owner who ends a job at its first leaf by hand, and delivers what it likes.

    The chain takes that: a training may diverge at once. So every part of the delivery can be
    forged without training anything.
    """

    workshop: Workshop
    id: AgreementId
    recipe: Recipe
    start: StateRoots
    transcript: Transcript
    files: dict[str, bytes]
    secret: str
    key_of: AgreementId
    key_for: str
    delivery_for: str

    @classmethod
    def begun(cls, workshop: Workshop, asked: Mapping[str, Any] = RECIPE) -> Forger:
        """Accept a job, begin it, and make an honest delivery of its untrained model.

        Args:
            workshop: where.
            asked: the recipe's terms.
        """
        owner, scientist = workshop.owner.home, workshop.scientist.home
        id, nonce = workshop.request(recipe_overrides={**asked, "group_leaves": 1}), sha256(b"nonce")
        owner.agreements.accept(id, commit_key(nonce))
        owner.chain.node.request("evm_mine")  # the seed block has a successor at once
        owner.agreements.begin(id, nonce)
        run, folder = owner.agreements.run_record(id), scientist.job_folder(id).path
        recipe = Recipe.parse((folder / "recipe.json").read_bytes())
        start = StateRoots(recipe.initial_model, optimizer_root({}))
        leaf = Leaf(
            index=0,
            step=0,
            state=start.digest,
            records=records_digest(np.empty(0, np.uint64)),
            metrics=metrics_digest({}, leaf_salt(bytes(32), 0)),
            held_out=ZERO,
            previous=ZERO,
        )
        transcript = Transcript(run.ctx, run.seed, (leaf,))
        card, model = workshop.dataset.card, folder / "untrained.safetensors"
        graph = (folder / "graph.json").read_bytes()
        preprocessing = preprocessing_of(recipe, card, Graph.parse(graph).inputs)
        untrained = read_safetensors(folder / "initial.safetensors")[0]
        write_safetensors(model, untrained, preprocessing_metadata(preprocessing))
        ended = EarlyEnd(0, "the loss is nan")
        certificate = issue(owner.chain, owner.keys, id, recipe, card, transcript, {0: start}, model, ended=ended)
        files = {
            "model.safetensors": model.read_bytes(),
            "certificate.json": certificate,
            "graph.json": graph,
            "preprocessing.json": preprocessing,
        }
        secret, recipient = new_identity()
        return cls(workshop, id, recipe, start, transcript, files, secret, id, scientist.keys.recipient, recipient)

    def anchor(self, note: Note) -> None:
        """Anchor the one leaf, with a note of one's own making."""
        owner = self.workshop.owner.home
        cid = send_note(owner.store, note, self.workshop.scientist.home.keys.recipient)
        root = self.transcript.groups(1)[0].root
        owner.chain.wait(owner.agreements.submit_anchor(self.id, self.transcript.seed, (), root, cid))

    def note(self) -> Note:
        """The honest note."""
        return Note(self.id, 0, 0, self.transcript.digests)

    def deliver(self) -> AgreementId:
        """Seal, store and end the job on chain; its id."""
        owner = self.workshop.owner.home
        with tempfile.TemporaryDirectory() as folder:
            for name, data in self.files.items():
                (Path(folder) / name).write_bytes(data)
            weights = send_folder(owner.store, Path(folder), list(self.files), [self.delivery_for])
        key = send_key(owner.store, self.key_of, self.secret, self.key_for)
        return self.end(weights, key)

    def end(self, weights: Cid, key: Cid) -> AgreementId:
        """End the job on chain."""
        if not self.workshop.owner.home.agreements.run_record(self.id).anchors:
            self.anchor(self.note())
        ending = self.transcript.ending(1, self.start, weights, key)
        self.workshop.owner.home.agreements.diverge(self.id, ending)
        return self.id
