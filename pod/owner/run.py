"""One job from the owner's side, top to bottom: begin, train and anchor, deliver, end.

Every step asks first what is done already (on chain, in the job's folder, in the journal), so that whatever was cut off is taken up
again and nothing is sent, trained or paid twice.

    <job folder>/recipe.json graph.json initial.safetensors         the opened offer
                 records.npz                                        the records, while the job trains
                 order.json leaves.jsonl states/ final.safetensors  the worker's (see `worker`)
                 identity.age                                       the job's own age identity, sealed to this pod; gone once settled
                 model.safetensors certificate.json                 what is delivered
"""

from __future__ import annotations

import os
import threading
from uuid import uuid4

from pod.agreement import Proof, State
from pod.certificate import issue
from pod.dataset import Card
from pod.digest import Digest
from pod.errors import Unusable
from pod.home import Home
from pod.owner.anchors import Anchors, LeafFile, read_checkpoints
from pod.owner.data import read_registered
from pod.parcel import DELIVERY_FILES, send_folder, send_key
from pod.recipe import Recipe
from pod.sealed import new_identity, open_sealed, recipient_of, seal
from pod.store import Cid
from pod.transcript import Transcript
from pod.worker import Event, Order, Worker

LEAVES, RECORDS, IDENTITY = "leaves.jsonl", "records.npz", "identity.age"
ENDINGS = ("finished", "diverged")


class Stopped(Unusable):
    """The pod was asked to stop; the job goes on when it starts again."""


class Run:
    """One job on its way from acceptance to delivery.

    Args:
        home: the owner's.
        id: the agreement.
        stop: set when the pod shall end.
        keep_every: which states stay on disk: every a-th leaf's, and the last.
    """

    def __init__(self, home: Home, id: Digest, stop: threading.Event, keep_every: int = 1) -> None:
        self.home, self.id, self.stop, self.keep_every = home, id, stop, keep_every
        self.folder = home.job_folder(id)
        self.agreement = home.agreements.read(id)
        self.card = Card.parse(home.journal.dataset(self.agreement.terms.dataset).card)
        self.recipe = Recipe.parse((self.folder / "recipe.json").read_bytes())
        self.recipient = home.registry.pod(self.agreement.scientist).recipient

    def __call__(self) -> None:
        """Bring the job from where it stands to its end.

        Raises:
            Stopped: the pod was asked to stop.
            FitchainError: what stopped it; calling again goes on from there.
        """
        if self.agreement.state in (State.ACCEPTED, State.TRAINING):
            proof = self.begin()
            ended = self.train(proof)
            self.end(proof, ended)

    def begin(self) -> Proof:
        """Reveal the nonce, unless that is done."""
        if self.agreement.state == State.ACCEPTED:
            receipt = self.home.agreements.begin(self.id, order_nonce(self.home, self.id))
            self.home.journal.record(
                self.id, "begun", once="", transaction=str(receipt.transaction), gas=receipt.gas_used
            )
        return self.home.agreements.proof(self.id)

    def train(self, proof: Proof) -> Event:
        """Train in a worker, anchoring each group of leaves as it is complete; the event with which the training ended."""
        prepare(self.home, self.id, proof, self.keep_every)
        leave = self.card.policy.metrics_leave
        anchors = Anchors(self.home, self.id, proof, self.recipe.group, self.recipient, leave)
        leaves = LeafFile(self.folder / LEAVES)
        ended: Event | None = None
        with Worker(self.folder, self.recipe.environment) as worker:
            for event in worker:
                if self.stop.is_set():
                    raise Stopped("the pod was asked to stop", "start it again: the job goes on")
                for checkpoint in leaves.more():
                    anchors.take(checkpoint)
                self._tell(event)
                ended = event if event["event"] in ENDINGS else ended
        assert ended is not None  # a worker that ends otherwise raises
        anchors.wait()
        return ended

    def end(self, proof: Proof, ended: Event) -> None:
        """Deliver what was trained and end the run on chain."""
        checkpoints = read_checkpoints(self.folder / LEAVES)
        transcript = Transcript(proof.ctx, proof.seed, tuple(each.leaf for each in checkpoints))
        transcript.verify(self.recipe.steps, self.recipe.segment)
        weights, key = self._deliver(transcript)
        ending = transcript.ending(self.recipe.group, weights, key)
        calls = self.home.agreements
        receipt = (calls.finish if ended["event"] == "finished" else calls.diverge)(self.id, ending)
        self.home.journal.record(
            self.id,
            ended["event"],
            once="",
            step=transcript.leaves[-1].step,
            reason=ended.get("reason", ""),
            transcript_root=str(transcript.root),
            model_root=str(transcript.leaves[-1].model),
            transaction=str(receipt.transaction),
            gas=receipt.gas_used,
        )
        (self.folder / RECORDS).unlink(missing_ok=True)

    def _deliver(self, transcript: Transcript) -> tuple[Cid, Cid]:
        """Seal weights and certificate to the job's identity and that identity to the scientist; once."""
        journal, sent = self.home.journal, ("weights", "key")
        known = [journal.fact(self.id, name) for name in sent]
        if all(known):
            weights, key = (Cid.parse(str(cid)) for cid in known)
            return weights, key
        model = self.folder / "model.safetensors"
        if not model.exists():
            os.link(self.folder / "final.safetensors", model)
        certificate = issue(self.home.chain, self.home.keys, self.id, self.recipe, self.card, transcript, model)
        (self.folder / "certificate.json").write_bytes(certificate)
        secret = self._identity()
        weights = send_folder(self.home.store, self.folder, DELIVERY_FILES, [recipient_of(secret)])
        key = send_key(self.home.store, self.id, secret, self.recipient)
        for name, cid in zip(sent, (weights, key), strict=True):
            journal.keep_fact(self.id, name, str(cid))
        journal.record(self.id, "delivered", once="", weights=str(weights), key=str(key))
        return weights, key

    def _identity(self) -> str:
        """The job's own age identity, made once and kept sealed to this pod until the job is settled."""
        path = self.folder / IDENTITY
        if not path.exists():
            secret, _ = new_identity()
            part = self.folder / f".{uuid4().hex}.part"
            part.write_bytes(seal(secret.encode(), [self.home.keys.recipient]))
            part.replace(path)
        return open_sealed(path.read_bytes(), self.home.keys.identity).decode()

    def _tell(self, event: Event) -> None:
        """Put the worker's events into the job's history."""
        body = {name: value for name, value in event.items() if name != "event"}
        match event["event"]:
            case "started":
                self.home.journal.record(self.id, "training", **body)
            case "leaf":
                self.home.journal.record(self.id, "checkpoint", once=str(body["index"]), **body)
            case "resumed" | "skipped":
                self.home.journal.record(self.id, event["event"], **body)


def prepare(home: Home, id: Digest, proof: Proof, keep_every: int = 1) -> None:
    """Lay out the worker's folder of a job; the records are read again and must still be the registered ones.

    Raises:
        DatasetChanged: they are not.
    """
    folder = home.job_folder(id)
    table = read_registered(home, home.journal.dataset(home.agreements.read(id).terms.dataset))
    part = folder / f".{uuid4().hex}.part"
    part.touch(mode=0o600)
    table.write_npz(part)
    part.replace(folder / RECORDS)
    salt_key = home.keys.derive("fitchain/metrics/v1", id)
    Order("train", proof.ctx, proof.seed, salt_key, keep_every=keep_every).write(folder)


def order_nonce(home: Home, id: Digest) -> Digest:
    """The owner's nonce of a job: derived from the pod's secret, so that a restart finds it."""
    return Digest(home.keys.derive("fitchain/nonce/v1", id))
