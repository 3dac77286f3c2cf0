"""Evidence: what an owner discloses of a training so that a stranger can replay the audited
segments. Writing it, reading it.

A folder, sealed file by file to the drawn verifiers:

    evidence.json                                   leaves, opened; noise keys; the job's identity
    recipe.json graph.json initial.safetensors      the offer, which no verifier has seen
    <j>.safetensors                                 the state before audited segment j > 0
    records.bin                                     the records that they use (see `records`)
    reference.safetensors                           the state before the segment of a risk report's
                                                    reference training that is opened, too; empty
                                                    where none is, or it is the first
"""

from __future__ import annotations

import os
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from fitchain.pod.compute.checkpoint.files import state_path
from fitchain.pod.compute.dataset import Leaves, Table, batches, drawn_batches, held_out_rows, open_records
from fitchain.pod.compute.dataset.references import ReferenceTraining
from fitchain.pod.proof.audit.chain_record import ChainRecord
from fitchain.pod.proof.audit.records import OpenedRecords, write_opened
from fitchain.pod.proof.transcript import Transcript
from fitchain.pod.values.digest import Digest, canonical_json, parse_json, path_in, tree_levels
from fitchain.pod.values.errors import InputRefused, NotFound, Unusable
from fitchain.pod.values.ids import AgreementId, AuditRef
from fitchain.pod.values.job_folder import EVIDENCE, OFFER_FILES, RECIPE, REFERENCE_STATE, state_name
from fitchain.pod.values.job_folder import EVIDENCE_RECORDS as RECORDS
from fitchain.pod.values.job_folder import EVIDENCE_REFERENCE as REFERENCE
from fitchain.pod.values.leaf import Checkpoint, Indices
from fitchain.pod.values.limits import MOST_EVIDENCE_LEAVES, MOST_PATH, evidence_document
from fitchain.pod.values.privacy.keys import NO_SECRET, OpenedKey, opened_keys
from fitchain.pod.values.recipe import Recipe
from fitchain.pod.values.risk.references import OpenedReference
from fitchain.pod.values.versions import require_version

VERSION = "fitchain/evidence/v2"
MOST_ROWS, MOST_INDICES = 1 << 26, 1 << 28
"""The rows of a recipe, and the records that a segment takes, up to which an audit recomputes the
order."""
SECRET_DRAWS = 4
"""Of units that each step of private training draws from, this many powers of two cost as much as a
record of a public order."""
_FIELDS = ("version", "agreement", "ordinal", "round", "segments", "leaves", "noise", "reference", "identity")


@dataclass(frozen=True)
class EvidenceLeaf:
    """A leaf with what opens it, and its path to the transcript's root."""

    checkpoint: Checkpoint
    path: tuple[Digest, ...]

    def to_json(self) -> dict[str, Any]:
        """The form that stands in `evidence.json`."""
        return {**self.checkpoint.to_json(), "path": [str(node) for node in self.path]}

    @classmethod
    def from_json(cls, value: Any) -> EvidenceLeaf:
        """Read the JSON form.

        Raises:
            InputRefused: it is none.
        """
        if (
            not isinstance(value, dict)
            or not isinstance(path := value.pop("path", None), list)
            or len(path) > MOST_PATH
        ):
            raise InputRefused("an opened leaf is a checkpoint with its path")
        return cls(Checkpoint.from_json(value), tuple(Digest.parse(node) for node in path))


@dataclass(frozen=True)
class Evidence:
    """A folder of evidence whose `evidence.json` and head of `records.bin` have been read; nothing
    of it is checked yet.

    Args:
        folder: where it lies, opened.
        audit, segments: what it says that it is about.
        round: of the audit, for which it was sealed.
        leaves: by their index.
        records: the opened records.
        identity: the job's age identity, which opens the delivery; a secret. None in an audit that
            was asked for again, which does not open it.
        noise: by segment the key of its noise, where the training was private; a secret.
        reference: the opened segment of a reference training; None where none is.
    """

    folder: Path
    audit: AuditRef
    round: int
    segments: tuple[int, ...]
    leaves: Mapping[int, EvidenceLeaf]
    records: OpenedRecords
    identity: str | None = field(repr=False)
    noise: Mapping[int, OpenedKey] = field(default_factory=dict, repr=False)
    reference: OpenedReference | None = None

    @classmethod
    def read(cls, folder: Path, leaves: int = MOST_EVIDENCE_LEAVES) -> Evidence:
        """Read an opened folder.

        Args:
            folder: where it lies.
            leaves: how many the challenge asks for, where that is known: it bounds what is read.

        Raises:
            NotFound: a file is missing.
            InputRefused: one is malformed or beyond a limit.
        """
        limits = evidence_document(leaves)
        value = parse_json(_bytes_of(folder / EVIDENCE, limits.text_bytes), limits)
        require_version(EVIDENCE, value, VERSION)
        if not isinstance(value, dict) or value.keys() != set(_FIELDS) or value["version"] != VERSION:
            raise InputRefused(f"{EVIDENCE} is a {VERSION} with the fields {', '.join(_FIELDS)}")
        if not isinstance(value["leaves"], list) or not isinstance(value["identity"], str | None):
            raise InputRefused(f"{EVIDENCE} has a list of leaves, and a text or null as identity")
        segments = _counts(value["segments"])
        for name in files_of(segments):
            if not (folder / name).is_file():
                raise NotFound(f"the evidence lacks {name}")
        opened = {leaf.checkpoint.leaf.index: leaf for leaf in map(EvidenceLeaf.from_json, value["leaves"])}
        if len(opened) < len(value["leaves"]):
            raise InputRefused(f"{EVIDENCE} opens a leaf twice")
        noise = _noise(value["noise"], segments)
        ordinal, round = _counts([value["ordinal"], value["round"]])
        audit = AuditRef(AgreementId(Digest.parse(value["agreement"])), ordinal)
        records = OpenedRecords.read(folder / RECORDS)
        reference = None if value["reference"] is None else OpenedReference.from_json(value["reference"])
        return cls(folder, audit, round, segments, opened, records, value["identity"], noise, reference)

    def checkpoint(self, index: int) -> Checkpoint:
        """An opened leaf's checkpoint.

        Raises:
            NotFound: the evidence does not open that leaf.
        """
        if index not in self.leaves:
            raise NotFound(f"the evidence does not open leaf {index}")
        return self.leaves[index].checkpoint

    def noise_key(self, segment: int) -> OpenedKey:
        """The key of a segment's noise.

        Raises:
            NotFound: the evidence has none.
        """
        if segment not in self.noise:
            raise NotFound(f"the evidence has no noise key of segment {segment}")
        return self.noise[segment]

    def state_file(self, segment: int) -> Path:
        """The file of the state before a segment other than the first."""
        return self.folder / state_name(segment)

    @property
    def reference_file(self) -> Path:
        """The file of the state before the opened segment of a reference training."""
        return self.folder / REFERENCE


def files_of(segments: Sequence[int]) -> tuple[str, ...]:
    """The names of the files of evidence about these segments."""
    return (EVIDENCE, *OFFER_FILES, RECORDS, REFERENCE, *(state_name(segment) for segment in segments if segment > 0))


def segment_records(recipe: Recipe, seed: Digest, segment: int, key: bytes | None = None) -> Indices:
    """The records of a segment in the order of training, `[n]`: a function of the order seed, and
    in private training of the segment's key.

    Raises:
        Unusable: they are more than an audit looks at.
    """
    start = segment * recipe.segment_steps
    steps, rows = min(recipe.segment_steps, recipe.steps - start), recipe.row_count
    draws = steps * (recipe.batch_size if recipe.privacy is None else recipe.unit_count >> SECRET_DRAWS)
    if rows > MOST_ROWS or max(draws, recipe.most_records(steps)) > MOST_INDICES:
        raise Unusable(
            f"the order of {rows} rows in segments of {recipe.segment_steps} steps is more than an audit looks at"
        )
    if recipe.privacy is None:
        order = batches(recipe, seed, start)
    else:
        assert key is not None
        order = drawn_batches(recipe, seed, lambda _: key, start)
    return np.concatenate(list(islice(order, steps)))


def reference_records(recipe: Recipe, seed: Digest, reference: OpenedReference | None) -> Indices:
    """The records of the opened segment of a reference training, in the order of training; none
    where none is opened."""
    if reference is None:
        return np.empty(0, np.uint64)
    return ReferenceTraining.of(recipe, seed, reference.number).segment_records(reference.segment)


def evaluates(recipe: Recipe, segments: Iterable[int], leaves: Container[int]) -> bool:
    """Whether at the end of one of these segments the model is evaluated on held-out records, and a
    leaf ends it."""
    return any(recipe.evaluates_at(segment + 1) and segment + 1 in leaves for segment in segments)


def most_records(recipe: Recipe, segments: Sequence[int], leaves: Container[int]) -> int:
    """How many records segments use at most: as many as their steps take, and the held-out ones.

    Args:
        recipe: what is trained.
        segments: which.
        leaves: which are there.
    """
    lengths = (min(recipe.segment_steps, recipe.steps - segment * recipe.segment_steps) for segment in segments)
    held_out = recipe.held_out_count * recipe.unit_records if evaluates(recipe, segments, leaves) else 0
    return recipe.most_records(sum(lengths)) + held_out


# Many parameters: what was drawn, and what is there of it.
def records_of(
    recipe: Recipe,
    seed: Digest,
    segments: Sequence[int],
    noise: Mapping[int, OpenedKey] = MappingProxyType({}),
    leaves: Container[int] = (),
) -> Indices:
    """The records that segments use, each once, rising.

    Args:
        recipe, seed: what is trained, and in which order.
        segments: which.
        noise: in private training the keys of their noise.
        leaves: which are there: a segment at whose end the model is evaluated also uses the
            held-out records, where a leaf ends it.
    """
    used = held_out_rows(recipe, seed) if evaluates(recipe, segments, leaves) else np.empty(0, np.uint64)
    for segment in segments:
        key = noise[segment].key if recipe.privacy is not None else None
        used = np.union1d(used, segment_records(recipe, seed, segment, key))
    return used


# Many parameters: the folder, the chain's word, and what of the records only their owner has.
def write_evidence(
    job: Path,
    target: Path,
    chain_record: ChainRecord,
    checkpoints: Sequence[Checkpoint],
    table: Table,
    key: bytes,
    record_leaves: Leaves,
    identity: str | None,
    noise: bytes = NO_SECRET,
    reference: OpenedReference | None = None,
) -> tuple[str, ...]:
    """Write the evidence for a challenge.

    Args:
        job: the folder of the training: its offer, and a state before each audited segment but the
            first, that of a reference training among them.
        target: a folder for the plain evidence, on the same file system.
        chain_record: what the chain says.
        checkpoints: all of the training, whose transcript the chain has.
        table, key, record_leaves: the registered records, their registration's key, and the leaves
            of their tree.
        identity: the job's age identity; None where the audit does not open the delivery.
        noise: the secret that the noise of a private training follows from.
        reference: what is opened of a reference training; None where nothing is.

    Returns:
        The names of the files written.

    Raises:
        NotFound: a file or a state is missing.
    """
    names = files_of(chain_record.audited)
    for name in OFFER_FILES:
        _link(job / name, target / name)
    for segment in chain_record.audited[1:]:
        _link(state_path(job, chain_record.step_of(segment)), target / state_name(segment))
    recipe = Recipe.parse((job / RECIPE).read_bytes())
    audited = chain_record.audited
    opened = opened_keys(noise, recipe.segment_count, audited) if recipe.privacy is not None else {}
    if reference is not None and reference.segment:
        _link(job / REFERENCE_STATE, target / REFERENCE)
    else:
        (target / REFERENCE).touch()
    of_reference = reference_records(recipe, chain_record.seed, reference)
    of_segments = records_of(recipe, chain_record.seed, audited, opened, chain_record.leaves)
    used = np.union1d(of_segments, of_reference).tolist()
    openings = open_records(table, key, record_leaves, used)
    write_opened(target / RECORDS, table.columns, table.count, openings, len(used))
    (target / EVIDENCE).write_bytes(canonical_json(_document(chain_record, checkpoints, identity, opened, reference)))
    return names


def _document(
    chain_record: ChainRecord,
    checkpoints: Sequence[Checkpoint],
    identity: str | None,
    noise: Mapping[int, OpenedKey],
    reference: OpenedReference | None,
) -> dict[str, Any]:
    transcript = Transcript(chain_record.ctx, chain_record.seed, tuple(checkpoint.leaf for checkpoint in checkpoints))
    levels = tree_levels([bytes(digest) for digest in transcript.digests])
    leaves = [EvidenceLeaf(checkpoints[index], path_in(levels, index)).to_json() for index in chain_record.leaves]
    return {
        "version": VERSION,
        "agreement": str(chain_record.agreement),
        "ordinal": chain_record.ref.ordinal,
        "round": chain_record.evidence_round,
        "segments": list(chain_record.audited),
        "leaves": leaves,
        "noise": [noise[segment].to_json() for segment in sorted(noise)],
        "reference": None if reference is None else reference.json(),
        "identity": identity,
    }


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise NotFound(f"there is no file {source}") from None


def _bytes_of(path: Path, limit_bytes: int) -> bytes:
    """A file's bytes, and one more than may be where there are more."""
    try:
        with path.open("rb") as file:
            return file.read(limit_bytes + 1)
    except FileNotFoundError:
        raise NotFound(f"the evidence lacks {path.name}") from None


def _noise(value: Any, segments: tuple[int, ...]) -> dict[int, OpenedKey]:
    """Noise keys: none, or one for each of the segments."""
    if not isinstance(value, list) or (value and len(value) != len(segments)):
        raise InputRefused(f"{EVIDENCE} has a list of as many noise keys as segments, or of none")
    return dict(zip(segments, map(OpenedKey.from_json, value), strict=False))


def _counts(value: Any) -> tuple[int, ...]:
    if not isinstance(value, list) or not all(type(item) is int and 0 <= item < 1 << 32 for item in value):
        raise InputRefused(f"ordinal, round and segments are counts below 2**32, not {value!r:.80}")
    return tuple(value)
