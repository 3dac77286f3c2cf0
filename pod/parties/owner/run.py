"""One training from the owner's side, top to bottom: begin, train and anchor, deliver, end.

Every step asks first what is done already (on chain, in the job's folder, in the journal), so that
whatever was cut off is taken up again and nothing is sent, trained or paid twice. What lies in the
job's folder is said by `pod/values/job_folder.py`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

from fitchain.pod.compute.checkpoint import read_leaves
from fitchain.pod.compute.dataset import Card
from fitchain.pod.compute.dataset.preprocessing import preprocessing_metadata, preprocessing_of
from fitchain.pod.jobs import history
from fitchain.pod.jobs.exchange import send_folder, send_key
from fitchain.pod.jobs.home import Home
from fitchain.pod.jobs.removal import remove
from fitchain.pod.jobs.worker import Context, Ending, Event, Limits, Worker
from fitchain.pod.jobs.worker.events import TAKEN_OVER, Diverged, Finished, LeafRecorded, Resumed, Skipped, Started
from fitchain.pod.jobs.worker.task import Train, read_task
from fitchain.pod.jobs.worker.trap import end_at_traps
from fitchain.pod.parties.owner.anchors import Anchors, LeafFile, require_same_run
from fitchain.pod.parties.owner.data import read_registered
from fitchain.pod.parties.owner.disclosed import OLDER
from fitchain.pod.parties.owner.examine import RECIPIENT, choose_kept, dataset_of, read_recipe
from fitchain.pod.parties.owner.risk import assess_run, bind_report, forget_hold, hold, keep_left, why_held, why_twice
from fitchain.pod.ports.agreement import RunRecord, State, commit_key
from fitchain.pod.ports.chain import Receipt
from fitchain.pod.ports.chain.base import write_file
from fitchain.pod.ports.keys import Keys
from fitchain.pod.ports.sealed import recipient_of
from fitchain.pod.ports.store import Cid
from fitchain.pod.proof.audit.storage import fewest_states
from fitchain.pod.proof.certificate import HeldOutClaim, issue
from fitchain.pod.proof.certificate.claims import read_graph
from fitchain.pod.proof.certificate.early_end import EarlyEnd
from fitchain.pod.proof.certificate.risk import RiskClaim
from fitchain.pod.proof.transcript import Transcript
from fitchain.pod.values.best import delivered_of
from fitchain.pod.values.delta import ModelFile
from fitchain.pod.values.digest import ZERO, Digest, Root
from fitchain.pod.values.errors import HostUnusable, NotFound, Unusable
from fitchain.pod.values.ids import AgreementId
from fitchain.pod.values.job_folder import DELIVERY_FILES, JobFolder, Kept, part_of
from fitchain.pod.values.leaf import Checkpoint, SaltKeys
from fitchain.pod.values.privacy.keys import noise_root
from fitchain.pod.values.recipe import Recipe

COMPARE_S = 5.0
"""How often the chain is asked whether it still has the run that is trained."""


def begin(home: Home, id: AgreementId) -> None:
    """Reveal the nonce of an accepted job; its seed is fixed from then on."""
    receipt = home.agreements.begin(id, order_nonce(home, id), committed_noise(home, id))
    seed: Digest = receipt.event("Begun").args["seed"]
    home.journal.record(id, history.Begun(seed, **history.paid(receipt)), once=str(seed))


class TrainingSession:
    """One begun job on its way to delivery.

    Args:
        home: the owner's.
        id: the agreement.
        stop: set when the pod shall end.
        keep_every: which states stay on disk: every a-th leaf's, the best, and the last; None
            keeps as many as it holds.

    Raises:
        NotFound: the job was not accepted from this home.
    """

    def __init__(self, home: Home, id: AgreementId, stop: threading.Event, keep_every: int | None = None) -> None:
        self.home, self.id, self.stop = home, id, stop
        self.folder, agreement = home.job_folder(id), home.agreements.read(id)
        _, self.card = dataset_of(home, agreement)
        self.recipe = Recipe.parse(self.folder.recipe.read_bytes())
        self.graph = read_graph(self.folder.graph, self.recipe)
        try:
            self.keeping = choose_kept(home, agreement, self.recipe, self.graph, self.card, keep_every)
        except HostUnusable:  # there was room when the bond was locked, and it is lost if nothing is tried now
            self.keeping = fewest_states(self.recipe, self.graph)
        if (recipient := home.journal.fact(id, RECIPIENT)) is None:
            raise NotFound(f"the journal does not know the request {id}", OLDER)
        self.recipient = recipient

    def __call__(self) -> str:
        """Bring the job from where it stands to its end.

        Returns:
            how it went: `trained`, `diverged`, `held` with the reason where a person has to decide,
            `stopped` where the pod was asked to stop, `ended before` or `too late` where there was
            nothing to be done any more.

        Raises:
            FitchainError: what stopped it; calling again goes on from there.
        """
        self.home.chain.catch_up()  # else what was sent and is not mined yet would be sent again
        agreement = self.home.agreements.read(self.id)
        if agreement.state != State.TRAINING:
            return "ended before"
        if self.home.chain.block("latest").timestamp > agreement.training_deadline:
            return "too late"  # it waited its turn for too long, and what it trained now nobody would take
        run = self.home.agreements.run_record(self.id)
        leave = self.card.policy.metrics_leave
        anchors = Anchors(self.home, self.id, run, self.recipe.group_leaves, self.recipient, leave)
        ended = self.train(run, anchors)
        if ended is None:
            return "stopped"
        risk: RiskClaim | None = None
        if isinstance(ended, Finished) and self.card.policy.risk is not None:
            context = Context(run.ctx, run.seed, noise_secret(self.home.keys, self.id))
            anchors.wait()  # one that was refused is told before an attack that takes its time
            try:
                report = assess_run(self.home, self.id, context, run, self.card, self.stop)
            except Unusable:
                if self.stop.is_set():
                    return "stopped"
                raise
            if (reason := why_held(report, self.card)) and hold(self.home, self.id, run.seed, reason):
                return f"held: {reason}"
            risk = bind_report(self.home, self.id, context, report, self.card)
        anchors.end(read_leaves(self.folder.path)[-1])
        anchors.wait()
        reason = "" if self.recipe.privacy is None else why_twice(self.home, self.id, run.seed)
        if reason and hold(self.home, self.id, run.seed, reason):
            return f"held: {reason}"
        self.end(run, ended, risk)
        return "diverged" if isinstance(ended, Diverged) else "trained"

    def train(self, run: RunRecord, anchors: Anchors) -> Finished | Diverged | None:
        """Train in a worker, anchoring each group of leaves as it is complete, but for that which
        the last leaf completes: it waits for the risk report.

        Args:
            run: as the chain has it.
            anchors: of the run, which have taken no leaf yet.

        Returns:
            the event with which the training ended; None if the pod was asked to stop.
        """
        self.folder.sweep()
        if set_aside(self.folder, run):
            self.home.journal.keep_fact(self.id, "weights", "")  # they were of the other run
            self.home.journal.record(self.id, history.SetAside(run.seed))
            forget_hold(self.home, self.id)
        task = prepare(self.home, self.id, run, self.folder, self.keeping.every)
        self.folder.take_back(run.seed)
        leaves = LeafFile(self.folder)
        ended = end_at_traps(task, lambda each: self._work(each, anchors, leaves))
        if ended is None:
            return None
        if not isinstance(ended, Finished | Diverged):
            raise Unusable(f"a worker that trains ended with {ended.name!r}", TAKEN_OVER)
        return ended

    def _work(self, task: Train, anchors: Anchors, leaves: LeafFile) -> Ending | None:
        """Run a worker, and anchor what it records; None if the pod was asked to stop."""
        ended: Ending | None = None
        compared_at = time.monotonic()
        with Worker(self.folder.path, task, self.home.launcher) as worker:
            for event in worker:
                if self.stop.is_set():
                    return None
                if not isinstance(event, Started):  # before it goes on, a worker drops what a power cut left of a line
                    for checkpoint in leaves.more():
                        anchors.take(checkpoint)
                if time.monotonic() - compared_at > COMPARE_S:
                    require_same_run(self.home, self.id, anchors.run)
                    compared_at = time.monotonic()
                self._record(event)
                ended = event if isinstance(event, Ending) else ended
        return ended

    def end(self, run: RunRecord, ended: Finished | Diverged, risk: RiskClaim | None = None) -> None:
        """Deliver what was trained and end the run on chain.

        Args:
            run: as the chain has it.
            ended: how the training ended.
            risk: what the certificate says of an attack on the model; None where it says nothing.
        """
        checkpoints = read_leaves(self.folder.path)
        transcript = Transcript(run.ctx, run.seed, tuple(checkpoint.leaf for checkpoint in checkpoints))
        transcript.verify(self.recipe.steps, self.recipe.segment_steps)
        delivered = delivered_of(self.recipe, checkpoints)
        if (result := checkpoints[delivered].held_out) is not None:
            entry = history.HeldOutTold.of(self.recipe, self.card, result)
            self.home.journal.record(self.id, entry, once=str(transcript.root))
        early = EarlyEnd.of(ended.at, ended.reason) if isinstance(ended, Diverged) else None
        weights, key = self._deliver(transcript, checkpoints, delivered, risk, early)
        other = None if delivered == transcript.count - 1 else (delivered, checkpoints[delivered].roots)
        ending = transcript.ending(self.recipe.group_leaves, checkpoints[-1].roots, weights, key, other)
        calls = self.home.agreements
        require_same_run(self.home, self.id, run)
        receipt = (calls.diverge if isinstance(ended, Diverged) else calls.finish)(self.id, ending)
        self._record_end(ended, receipt)
        remove(self.home, self.id, [Kept.RECORDS])

    def _record_end(self, ended: Finished | Diverged, receipt: Receipt) -> None:
        """Put the end of the training into the job's history, as the chain has it."""
        args = receipt.event("DivergedAt" if isinstance(ended, Diverged) else "Finished").args
        roots: tuple[Root, Root] = args["transcriptRoot"], args["modelRoot"]
        sent = history.paid(receipt)
        entry: history.Entry = history.Finished(*roots, **sent)
        if isinstance(ended, Diverged):
            entry = history.Diverged(ended.reason, *roots, **sent)
        self.home.journal.record(self.id, entry, once=str(roots[0]))

    # Many parameters: what was trained, and what of it is delivered and said.
    def _deliver(
        self,
        transcript: Transcript,
        checkpoints: Sequence[Checkpoint],
        delivered: int,
        risk: RiskClaim | None,
        ended: EarlyEnd | None,
    ) -> tuple[Cid, Cid | None]:
        """Seal weights and certificate to the job's identity, and that identity to the scientist
        unless an audit comes first; once."""
        audited = bool(self.home.agreements.terms(self.id).audit.verifiers)
        journal, sent = self.home.journal, ("weights",) if audited else ("weights", "key")
        if not all(journal.fact(self.id, name) for name in sent):
            self._seal(transcript, checkpoints, delivered, audited, risk, ended)
        cids = {name: journal.fact(self.id, name) for name in sent}
        weights, key = (Cid.parse(cid) if (cid := cids.get(name)) else None for name in ("weights", "key"))
        assert weights is not None
        if key is not None:
            keep_left(self.home, self.id, transcript.seed)  # before the scientist can open it
        # Not where it is sealed: a pod may have been cut off before this line, and seals once.
        journal.record(self.id, history.Delivered(**{name: str(cid) for name, cid in cids.items()}), once=str(weights))
        return weights, key

    # Likewise.
    def _seal(
        self,
        transcript: Transcript,
        checkpoints: Sequence[Checkpoint],
        delivered: int,
        audited: bool,
        risk: RiskClaim | None,
        ended: EarlyEnd | None,
    ) -> None:
        journal, model = self.home.journal, self.folder.model
        preprocessing = preprocessing_of(self.recipe, self.card, self.graph.inputs)
        write_file(self.folder.preprocessing, preprocessing)
        if not model.exists():
            ModelFile.read(self.folder.final).write(model, preprocessing_metadata(preprocessing))
        states = {index: checkpoints[index].roots for index in (0, delivered, transcript.count - 1)}
        certificate = issue(
            *(self.home.chain, self.home.keys, self.id, self.recipe, self.card, transcript, states, model),
            delivered=delivered,
            risk=risk,
            held_out=HeldOutClaim.of(self.recipe, self.card, checkpoints[delivered]),
            evaluations=HeldOutClaim.of_each(self.recipe, self.card, checkpoints),
            ended=ended,
        )
        write_file(self.folder.certificate, certificate)
        secret = self.home.kept_identity(self.folder.identity)
        sent = {"weights": send_folder(self.home.store, self.folder.path, DELIVERY_FILES, [recipient_of(secret)])}
        if not audited:
            sent["key"] = send_key(self.home.store, self.id, secret, self.recipient)
        for name, cid in sent.items():
            journal.keep_fact(self.id, name, str(cid))

    def _record(self, event: Event) -> None:
        """Put the worker's events into the job's history.

        Raises:
            Unusable: it tells of a leaf that the run cannot have.
        """
        journal = self.home.journal
        match event:
            case Started(pid=pid, sandbox=sandbox):
                journal.record(self.id, history.Training(0, self.recipe.steps, pid, sandbox))
            case LeafRecorded(index, step, digest, metrics, kept):
                if index >= self.recipe.leaf_count or step != self.recipe.step_of(index):
                    raise Unusable(
                        f"the worker tells of a leaf {index} at step {step}, which the run has not", TAKEN_OVER
                    )
                if self.card.policy.risk is None or index < self.recipe.leaf_count - 1:  # it is not what it will be
                    entry = history.CheckpointRecorded(index, step, digest, metrics, kept)
                    journal.record(self.id, entry, once=str(index))
            case Resumed(step, leaves, dropped_bytes):
                journal.record(self.id, history.Resumed(step, leaves, dropped_bytes))
            case Skipped(step, reason):
                journal.record(self.id, history.Skipped(step, reason))


def set_aside(folder: JobFolder, run: RunRecord) -> bool:
    """Put away what a job's folder has of a run with another context or seed: a reorganisation of
    the chain undid that one's beginning, and its leaves prove nothing now.

    Returns:
        whether there was such a run.
    """
    if not folder.leaves.exists():
        return False
    context = read_task(folder.path).context
    if context.is_of(run.ctx, run.seed):
        return False
    folder.set_aside(context.seed)
    return True


def prepare(home: Home, id: AgreementId, run: RunRecord, folder: JobFolder, keep_every: int = 1) -> Train:
    """Give a worker's folder its model's base, its records and its task; the records are read again
    and must still be the registered ones.

    Returns:
        the task, which lies in the folder, too.

    Raises:
        DatasetChanged: they are not.
    """
    home.bases.lay(folder, read_recipe(folder).base)
    row = home.journal.dataset(home.agreements.read(id).terms.dataset)
    table = read_registered(home, row)
    part = part_of(folder.path)
    part.touch(mode=0o600)
    table.write_for_worker(part)
    part.replace(folder.records)
    limits = Limits.around(Card.parse(row.card).policy.most_memory_bytes, folder.records)
    context = Context(run.ctx, run.seed, noise_secret(home.keys, id))
    task = Train(context, salt_keys(home.keys, id), keep_every, limits=limits)
    task.write(folder.path)
    return task


def salt_keys(keys: Keys, id: AgreementId) -> SaltKeys:
    """The secrets from which the salts of a job's leaves derive; the same after every restart."""
    return SaltKeys(keys.derive("fitchain/metrics/v2", id), keys.derive("fitchain/state-salt/v2", id))


def noise_secret(keys: Keys, id: AgreementId) -> bytes:
    """The secret that the noise of a private training follows from; the same after every
    restart."""
    return keys.derive("fitchain/noise/v2", id)


def committed_noise(home: Home, id: AgreementId) -> Digest:
    """The root over the noise keys of a job, which the owner commits to; zero where none is
    charged for, since it is trained without.

    Raises:
        NotFound, ChainUnusable: as `Agreements.terms`.
    """
    terms = home.agreements.terms(id)
    segments = -(-terms.steps // terms.segment_steps)
    return noise_root(noise_secret(home.keys, id), segments) if terms.charge else ZERO


def key_commitment(home: Home, id: AgreementId) -> Digest:
    """What the owner commits to when it accepts a job: its nonce and its noise."""
    return commit_key(order_nonce(home, id), committed_noise(home, id))


def order_nonce(home: Home, id: AgreementId) -> Digest:
    """The owner's nonce of a job: derived from the pod's secret, so that a restart finds it."""
    return Digest(home.keys.derive("fitchain/nonce/v2", id))
