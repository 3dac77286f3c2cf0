"""A job's folder: every name in it, and every name of what a pod has on its way there.

    recipe.json graph.json initial.safetensors   the offer
    base.safetensors                             the base of the offered model, where it has one: a
                                                 link to the home's
    records.npz                                  the records while the job trains; an evaluation's;
                                                 record by record where they are very many
    task.json                                    which training the folder holds
    worker.log .worker.lock                      of the workers
    run/leaves.jsonl                             one checkpoint a line, growing
    run/states/<step>.safetensors                kept states
    run/final.safetensors                        the trained model
    run/outputs.bin evaluation.json              what an evaluation yields
    run/state-digests.jsonl                      what an explanation yields
    run/risk-report.json                         what an assessment yields
    run/.scratch/                                in place of a home and of /tmp
    model.safetensors certificate.json           what is delivered, beside graph.json
    preprocessing.json                           how raw cells enter the delivered model
    tokenizer.json                               by which its free texts are read
    risk-report.json                             what an attack on the trained model found
    identity.age                                 the job's own identity, sealed to its owner's pod
    aside-<seed>/                                a run whose beginning the chain took back
    evidence-<round>.car                         sealed evidence for a person to hand over
    evidence.json records.bin <j>.safetensors    opened evidence, in a folder of its own
    seat.age job.age                             a verifier's identities, sealed to its pod
    audit-<n>/                                   of the n-th audit that was asked for again
    .<kind>-*/ .*.part                           on the way; left behind by a killed process

A worker writes to `run/` alone and reads what it is given beside it; who was taken over may leave
anything there, so the pod goes in without following links.

It knows where things lie, and nothing of what is in them.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from uuid import uuid4

from fitchain.pod.values.digest import Digest, Root
from fitchain.pod.values.files import Usage, remove_tree, sync_folder, usage_of

RECIPE, GRAPH, INITIAL = "recipe.json", "graph.json", "initial.safetensors"
OFFER_FILES = (RECIPE, GRAPH, INITIAL)
BASE, BASES = "base.safetensors", "bases"
"""Beside an offer; and the folder of a home in which each base lies once."""
MODEL, CERTIFICATE, PREPROCESSING = "model.safetensors", "certificate.json", "preprocessing.json"
RISK_REPORT = "risk-report.json"
TOKENIZER = "tokenizer.json"
DELIVERY_FILES = (MODEL, CERTIFICATE, GRAPH, PREPROCESSING)
RECORDS, TASK, LOG, WORKER_LOCK = "records.npz", "task.json", "worker.log", ".worker.lock"
RUN = "run"
LEAVES, STATES, FINAL = f"{RUN}/leaves.jsonl", f"{RUN}/states", f"{RUN}/final.safetensors"
OUTPUTS, EVALUATION = f"{RUN}/outputs.bin", f"{RUN}/evaluation.json"
STATE_DIGESTS, WORKER_SCRATCH = f"{RUN}/state-digests.jsonl", f"{RUN}/.scratch"
WORKER_RISK_REPORT = f"{RUN}/{RISK_REPORT}"
IDENTITY, SEAT_IDENTITY, RELEASED_IDENTITY = "identity.age", "seat.age", "job.age"
EVIDENCE, EVIDENCE_RECORDS, EVIDENCE_REFERENCE = "evidence.json", "records.bin", "reference.safetensors"
REFERENCE_STATE, REFERENCE_LEAVES = f"{RUN}/reference.safetensors", f"{RUN}/reference.leaves"

TENSORS = ".safetensors"
"""With which the names of files of tensors end."""
_OF_EVIDENCE = (EVIDENCE, EVIDENCE_RECORDS, EVIDENCE_REFERENCE)
MOST_ASIDE = 2
"""Runs that are kept aside; reorganisations go back to no more than one of the newest."""
_ASIDE, _HANDED_OVER, _AUDIT = "aside-", "evidence-", "audit-"


class Scratch(StrEnum):
    """What a folder of a pod's own work in progress is for."""

    SEALED = "sealed"
    OPENED = "opened"
    REHEARSAL = "rehearsal"
    METERING = "metering"
    EVALUATION = "evaluation"
    REPLAY = "replay"
    ASSESSMENT = "assessment"
    EVIDENCE = "evidence"
    AUDIT = "audit"

    @property
    def prefix(self) -> str:
        """With which the names of such folders begin."""
        return f".{self}-"


class Kept(StrEnum):
    """What a pod keeps of a job and removes, by kind.

    Members: copies of records; a job's own identity; those of a verifier's seat; states, those of
    runs that were set aside among them; evidence, opened or to be handed over; the rest of the
    training (leaves, the salts that open them, what workers wrote), without which neither evidence
    nor a replay comes about; the trained model; what an attack on it found, which names records.
    """

    RECORDS = "records"
    KEYS = "keys"
    SEAT_KEYS = "seat_keys"
    STATES = "states"
    EVIDENCE = "evidence"
    TRAINING = "training"
    MODEL = "model"
    RISK_REPORT = "risk_report"


SECRETS = (Kept.RECORDS, Kept.KEYS, Kept.SEAT_KEYS)
"""What must not outlive a job; files, each of them."""


@contextmanager
def scratch(folder: Path, kind: Scratch) -> Iterator[Path]:
    """A folder for the time of a block, inside one that is there. It is locked meanwhile, and the
    kernel lets go when the process dies: `sweep_left` knows by that what was left behind."""
    path = Path(tempfile.mkdtemp(dir=folder, prefix=kind.prefix))
    lock = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_SH)
        yield path
    finally:
        remove_tree(path)
        os.close(lock)


def sweep_left(folder: Path) -> None:
    """Remove the scratch inside a folder whose makers are gone, whoever they were; what somebody
    works with stays."""
    for path in (path for kind in Scratch for path in folder.glob(f"{kind.prefix}*")):
        try:
            lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except (FileNotFoundError, NotADirectoryError):
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            remove_tree(path)
        except BlockingIOError:
            continue
        finally:
            os.close(lock)


def part_of(folder: Path, name: str = "") -> Path:
    """The name of a file that is not whole yet, beside the one of that name; one of its own for
    each call unless it is given."""
    whole = folder / (name or uuid4().hex)
    return whole.with_name(f".{whole.name}.part")


def state_name(number: int) -> str:
    """The name of a state's file: of a training by its step, of evidence by its segment."""
    return f"{number}{TENSORS}"


def base_name(root: Root) -> str:
    """The name of a base's file in its home, by its model root."""
    return f"{root}{TENSORS}"


class JobFolder:
    """The folder of one job, or of one audit of it.

    Looking makes nothing: the folder is there once `create` was called.

    Args:
        path: of the folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def __fspath__(self) -> str:
        return os.fspath(self.path)

    def __str__(self) -> str:
        return str(self.path)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, JobFolder) and self.path == other.path

    def __hash__(self) -> int:
        return hash(self.path)

    def create(self) -> JobFolder:
        """Make it when absent, for this pod's eyes alone."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        return self

    @property
    def exists(self) -> bool:
        """Whether it is there."""
        return self.path.is_dir()

    # What is agreed, and what is delivered

    @property
    def recipe(self) -> Path:
        """The offer's recipe, canonical."""
        return self.path / RECIPE

    @property
    def graph(self) -> Path:
        """The offer's graph, canonical."""
        return self.path / GRAPH

    @property
    def initial(self) -> Path:
        """The offer's initial weights."""
        return self.path / INITIAL

    @property
    def base(self) -> Path:
        """The base of the offered model, which came by itself."""
        return self.path / BASE

    def copy_offer(self, target: JobFolder) -> None:
        """Lay out in a folder beside this one what a worker reads of an offer."""
        for name in OFFER_FILES:
            shutil.copyfile(self.path / name, target.path / name)
        if self.base.exists():
            os.link(self.base, target.base)

    @property
    def model(self) -> Path:
        """The delivered model."""
        return self.path / MODEL

    @property
    def certificate(self) -> Path:
        """The delivered certificate."""
        return self.path / CERTIFICATE

    @property
    def preprocessing(self) -> Path:
        """How raw cells enter the delivered model."""
        return self.path / PREPROCESSING

    @property
    def tokenizer(self) -> Path:
        """By which free texts are read that enter it."""
        return self.path / TOKENIZER

    @property
    def is_delivered(self) -> bool:
        """Whether all that is delivered is there."""
        return all((self.path / name).exists() for name in DELIVERY_FILES)

    # What is trained

    @property
    def run(self) -> Path:
        """The one folder that a worker writes to."""
        return self.path / RUN

    @property
    def records(self) -> Path:
        """The records, as the worker reads them."""
        return self.path / RECORDS

    @property
    def task(self) -> Path:
        """Which training the folder holds."""
        return self.path / TASK

    @property
    def leaves(self) -> Path:
        """The checkpoints, one a line."""
        return self.path / LEAVES

    @property
    def states(self) -> Path:
        """The folder of kept states."""
        return self.path / STATES

    def state(self, step: int) -> Path:
        """The kept state after a step."""
        return self.states / state_name(step)

    @property
    def final(self) -> Path:
        """The trained model, as the worker wrote it."""
        return self.path / FINAL

    @property
    def outputs(self) -> Path:
        """The outputs of a model that is evaluated, record by record."""
        return self.path / OUTPUTS

    @property
    def evaluation(self) -> Path:
        """What a model does on a table, counted and added up."""
        return self.path / EVALUATION

    @property
    def risk_report(self) -> Path:
        """What an attack on the trained model found, for the owner."""
        return self.path / RISK_REPORT

    @property
    def worker_risk_report(self) -> Path:
        """The same, as the worker wrote it."""
        return self.path / WORKER_RISK_REPORT

    @property
    def log(self) -> Path:
        """What workers wrote to their standard error."""
        return self.path / LOG

    @property
    def worker_lock(self) -> Path:
        """Held by the worker that is at work."""
        return self.path / WORKER_LOCK

    @property
    def worker_scratch(self) -> Path:
        """What a worker has in place of a home and of /tmp."""
        return self.path / WORKER_SCRATCH

    def for_worker(self) -> list[Path]:
        """What a worker is given to read: the offer, its base, the records, opened evidence."""
        named = [self.path / name for name in (*OFFER_FILES, BASE, RECORDS, TASK, *_OF_EVIDENCE)]
        states = [path for path in self.path.glob(f"*{TENSORS}") if path.stem.isdecimal()]
        return [path for path in (*named, *states) if path.is_file() and not path.is_symlink()]

    def make_run(self) -> JobFolder:
        """Make what a worker writes to when absent, with an empty folder in place of its home.

        Raises:
            Unusable: a worker left something there that is neither a file nor a folder.
        """
        self.check_run()
        remove_tree(self.worker_scratch)
        self.worker_scratch.mkdir(parents=True)
        return self

    def check_run(self) -> Usage:
        """What a worker has written, which is files and folders alone.

        Raises:
            Unusable: there is something else, which no worker makes: a link, say.
        """
        return usage_of(self.run)

    # What a pod keeps sealed to itself

    @property
    def identity(self) -> Path:
        """The job's own age identity, of an owner."""
        return self.path / IDENTITY

    @property
    def seat_identity(self) -> Path:
        """The age identity that a verifier made for its seat."""
        return self.path / SEAT_IDENTITY

    @property
    def released_identity(self) -> Path:
        """The job's identity as a verifier keeps it, to release it."""
        return self.path / RELEASED_IDENTITY

    # Audits

    def audit(self, ordinal: int) -> JobFolder:
        """The folder of an audit: the job's own of the first, else one below it, so that two audits
        of a job do not meet."""
        return JobFolder(self.path / f"{_AUDIT}{ordinal}") if ordinal else self

    def audits(self) -> list[int]:
        """The ordinals of the audits that were asked for again and have a folder."""
        names = (path.name.removeprefix(_AUDIT) for path in self.path.glob(f"{_AUDIT}*"))
        return sorted(int(name) for name in names if name.isdecimal())

    def handed_over(self, round: int) -> Path:
        """Sealed evidence of a round, for a person to hand over."""
        return self.path / f"{_HANDED_OVER}{round}.car"

    # Clearing away

    def set_aside(self, seed: Digest) -> None:
        """Put away what belongs to a run under one context and order seed alone; what a worker
        wrote, whose leaves tell that there is a run, comes last and at once.

        Args:
            seed: of that run.
        """
        aside = self._aside(seed)
        aside.mkdir(exist_ok=True)
        remove_tree(aside / RUN)  # of the same seed, which the chain had taken back once before
        for path in (self.model, self.certificate, self.risk_report, self.run):
            if path.exists():
                path.replace(aside / path.name)
        os.utime(aside)
        older = sorted(self.path.glob(f"{_ASIDE}*"), key=lambda path: path.stat().st_mtime_ns)[:-MOST_ASIDE]
        for path in older:
            remove_tree(path)

    def take_back(self, seed: Digest) -> bool:
        """Take back what was set aside of a run, to which the chain has come back; nothing where
        the folder holds a run.

        Args:
            seed: of that run.

        Returns:
            whether there was something.
        """
        aside = self._aside(seed)
        if self.leaves.exists() or not (aside / LEAVES).exists():
            return False
        remove_tree(self.run)
        for path in (self.model, self.certificate, self.risk_report, self.run):
            if (aside / path.name).exists():
                (aside / path.name).replace(path)
        remove_tree(aside)
        return True

    def _aside(self, seed: Digest) -> Path:
        return self.path / f"{_ASIDE}{str(seed)[2:10]}"

    def kept(self, kind: Kept) -> list[Path]:
        """What there is of a kind, its own audit's included; those asked for again have folders of
        their own."""
        asides = [self.path / RUN, *self.path.glob(f"{_ASIDE}*")]
        paths = {
            Kept.RECORDS: [self.records],
            Kept.KEYS: [self.identity],
            Kept.SEAT_KEYS: [self.seat_identity, self.released_identity],
            Kept.STATES: [self.states, *asides[1:]],
            Kept.EVIDENCE: [
                *self.path.glob(f"{_HANDED_OVER}*.car"),
                *(path for of in (Scratch.EVIDENCE, Scratch.AUDIT) for path in self.path.glob(f"{of.prefix}*")),
            ],
            Kept.TRAINING: [*asides, self.task, self.log, self.base],
            Kept.MODEL: [self.final, self.model],
            Kept.RISK_REPORT: [self.risk_report, self.worker_risk_report],
        }
        return [path for path in paths[kind] if path.exists()]

    def secrets(self) -> list[Path]:
        """What there is of that which must not outlive the job."""
        return [path for kind in SECRETS for path in self.kept(kind)]

    def remove(self, kinds: Iterable[Kept]) -> None:
        """Remove what there is of some kinds, so that a power cut does not bring it back."""
        for kind in kinds:
            for path in self.kept(kind):
                if kind in SECRETS:
                    path.unlink(missing_ok=True)
                else:
                    remove_tree(path)
        for folder in (self.path, self.run):
            if folder.is_dir():
                sync_folder(folder)

    def sweep(self, kinds: Sequence[Scratch] = tuple(Scratch), parts: bool = True) -> None:
        """Remove what a killed process had on its way: half-written files, opened or sealed copies.

        Nobody else may be at work on them.

        Args:
            kinds: of folders.
            parts: whether half-written files go, too.
        """
        patterns = [f"{folder}.*.part" for folder in ("", f"{RUN}/", f"{STATES}/")] if parts else []
        for pattern in (*(f"{kind.prefix}*" for kind in kinds), *patterns):
            self._remove(pattern)

    def _remove(self, pattern: str) -> None:
        for path in self.path.glob(pattern):
            remove_tree(path)
