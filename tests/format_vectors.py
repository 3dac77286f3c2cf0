"""The test vectors of docs/format.md, section 9: how each is parsed out of the document and
computed by the code.

A vector is a fenced JSON block `{"vector": NAME, "given": {...}, "gives": {...}}`. `COMPUTE[NAME]`
is a function from what is given to what the code gives for it; tests/test_format.py compares that
with what the document says. `python -m tests.format_vectors` writes the document's vectors anew,
for review as a diff.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import numpy as np
from eth_abi.abi import encode
from eth_utils.crypto import keccak

from fitchain.pod.compute.dataset import Table, UnitColumn, batches, dataset_root, open_records, record_leaves
from fitchain.pod.compute.dataset import salt as record_salt
from fitchain.pod.compute.dataset.assembly import assemble
from fitchain.pod.compute.dataset.columns import schema_bytes
from fitchain.pod.compute.dataset.order import epoch_draws
from fitchain.pod.compute.dataset.units import unit_word
from fitchain.pod.jobs.links import PURPOSE
from fitchain.pod.ports.agreement import agreement_id, audit_id, commit_key, commit_nonce, context, order_seed
from fitchain.pod.ports.keys import Keys
from fitchain.pod.ports.store.base import Cid
from fitchain.pod.ports.store.unixfs import add_file, chunks
from fitchain.pod.proof.audit.challenge import NOBODY_JOINED, audited_segments, segment_seed
from fitchain.pod.proof.audit.records import write_opened
from fitchain.pod.proof.audit.vote import Outcome, commitment, trace_digest
from fitchain.pod.proof.certificate.envelope import PAYLOAD_TYPE, recover, signed_digest
from fitchain.pod.proof.certificate.envelope import seal as seal_envelope
from fitchain.pod.proof.transcript import grow
from fitchain.pod.values.digest import (
    ZERO,
    Digest,
    Root,
    blake3_digest,
    canonical_json,
    inclusion_path,
    parse_json,
    peaks,
    published_root,
    sha256,
    tagged,
    tree_root,
)
from fitchain.pod.values.hash_chain import link_at
from fitchain.pod.values.ids import AgreementId, AuditRef
from fitchain.pod.values.leaf import (
    Checkpoint,
    Leaf,
    SaltKeys,
    StateRoots,
    leaf_salt,
    metrics_digest,
    records_digest,
    state_word,
)
from fitchain.pod.values.recipe import Choice, Recipe
from fitchain.pod.values.recipe.terms import held_out_count
from fitchain.pod.values.state import (
    TensorBytes,
    model_root,
    optimizer_root,
    safetensors_pieces,
    state_digest,
    tensor_entry,
)

DOCUMENT = Path(__file__).parent.parent / "docs" / "format.md"
BLOCK = re.compile(r'```json\n(\{"vector": .*?\})\n```', re.DOTALL)

Values = dict[str, Any]


def read_vectors(text: str) -> dict[str, Values]:
    """The vectors that stand in the document, by name."""
    found = [parse_json(block.encode()) for block in BLOCK.findall(text)]
    return {vector["vector"]: vector for vector in found}


# Digests


def _tagged(given: Values) -> Values:
    words = [word if isinstance(word, int) else Digest.parse(word) for word in given["words"]]
    return {"sha256 of the tag": sha256(given["tag"].encode()), "H": tagged(given["tag"], *words)}


def _tree(given: Values) -> Values:
    """Entry i is the integer i as 32 bytes, big-endian."""
    return {str(count): tree_root(_entries(count)) for count in given["counts"]}


def _json(given: Values) -> Values:
    canonical = canonical_json(parse_json(given["text"].encode()))
    return {"canonical": canonical.decode(), "sha256": sha256(canonical)}


def _entries(count: int) -> list[Digest]:
    return [Digest(i.to_bytes(32, "big")) for i in range(count)]


# States


def _state(given: Values) -> Values:
    tensors = _tensors(given)
    model = {name: tensor for name, tensor in tensors.items() if tensor.kind != "optimizer"}
    optimizer = {name: tensor for name, tensor in tensors.items() if tensor.kind == "optimizer"}
    roots = model_root(model), optimizer_root(optimizer)
    return {
        "entries": {name: tensor_entry(name, tensor) for name, tensor in sorted({**model, **optimizer}.items())},
        "model root": roots[0],
        "optimizer root": roots[1],
        "optimizer root before the first step": optimizer_root({}),
        "state digest": state_digest(*roots),
    }


def _safetensors(given: Values) -> Values:
    file = b"".join(safetensors_pieces(_tensors(given)))
    length = int.from_bytes(file[:8], "little")
    return {"header": file[8 : 8 + length].decode(), "bytes": len(file), "sha256": sha256(file)}


def _tensors(given: Values) -> dict[str, TensorBytes]:
    return {
        name: TensorBytes(kind, dtype, tuple(shape), memoryview(bytes.fromhex(data)))
        for name, (kind, dtype, shape, data) in given["tensors"].items()
    }


# Datasets


def _dataset(given: Values) -> Values:
    table = Table.of({name: np.array(cells, dtype) for name, (dtype, cells) in given["columns"].items()})
    key = bytes.fromhex(given["key"])
    leaves = record_leaves(table, key)
    return {
        "schema": schema_bytes(table.columns).decode(),
        "record 0": table.record(0).hex(),
        "salt 0": record_salt(key, 0).hex(),
        "leaf 0": Digest(leaves[0]),
        "leaf 1": Digest(leaves[1]),
        "dataset root": dataset_root(leaves),
    }


def _units(given: Values) -> Values:
    """The same of units: `whose` says whose record each is."""
    table = Table.of({name: np.array(cells, dtype) for name, (dtype, cells) in given["columns"].items()})
    by_unit = table.by_unit(np.array(given["whose"]), UnitColumn("patient", given["most_records"]))
    leaves = record_leaves(by_unit, bytes.fromhex(given["key"]))
    return {
        "schema": schema_bytes(by_unit.columns).decode(),
        "rows": {name: array.tolist() for name, array in by_unit.arrays.items()},
        "word of unit 1": unit_word(given["most_records"], given["most_records"]).hex(),
        "record 3": by_unit.record(3).hex(),
        "leaf 3": Digest(leaves[3]),
        "dataset root": dataset_root(leaves),
    }


class _Taking:
    """A recipe as far as assembling reads it."""

    inputs, target, loss = (("a", "b"),), "t", Choice("cross_entropy", {})

    def __init__(self, transform: Values) -> None:
        self.transform = transform


def _transform(given: Values) -> Values:
    arrays = {name: np.array([given["record"][name]], dtype) for name, dtype in (("a", "f8"), ("b", "f4"), ("t", "i8"))}
    (inputs,), target = assemble(cast(Recipe, _Taking(given["transform"])), Table.of(arrays))(np.zeros(1, np.uint64))
    return {"input": inputs.astype("<f4").tobytes().hex(), "class": int(target[0])}


class _Order:
    """A recipe as far as the batch order reads it."""

    def __init__(self, given: Values) -> None:
        self.rows, self.batch_size, self.steps = tuple(given["rows"]), given["batch_size"], given["steps"]
        self.held_out = given.get("held_out")
        self.row_count = self.unit_count = self.rows[1] - self.rows[0]
        self.unit_records = 1
        self.held_out_count = held_out_count(self.held_out, self.row_count)
        self.training_count = self.row_count - self.held_out_count

    def held_out_seed(self, seed: Digest) -> Digest:
        """The job's own: it keeps no other's rows."""
        return seed


def _order(given: Values) -> Values:
    from fitchain.pod.compute.training import step_seed

    seed = Digest.parse(given["seed"])
    return {
        "key of epoch 0": tagged("fitchain/epoch/v2", seed, 0),
        "first draws of epoch 0": [str(draw) for draw in epoch_draws(seed, 0)(0, 2)],
        "batches": [batch.tolist() for batch in batches(cast(Recipe, _Order(given)), seed)],
        "generator seeds": [str(step_seed(seed, step)) for step in range(2)],
    }


# Agreements and transcripts


_ID_WORDS = ("salt", "recipe", "dataset_root", "graph", "initial_model", "base", "derivation")


def _ids(given: Values) -> Values:
    chain, at, owner, scientist = given["chain_id"], given["contracts"], given["owner"], given["scientist"]
    words = {name: Digest.parse(given[name]) for name in _ID_WORDS}
    card, nonce, seed_block = Cid.parse(given["card"]), Digest.parse(given["nonce"]), Digest.parse(given["seed_block"])
    dataset = _keccak(
        ("uint256", chain),
        ("address", at["Registry"]),
        ("address", owner),
        ("bytes32", words["dataset_root"]),
        ("uint64", given["count"]),
        ("uint16", given["ledger"]),
        ("bytes32", keccak(bytes(card))),
    )
    model = _keccak(
        ("uint256", chain),
        ("address", at["Registry"]),
        ("address", scientist),
        ("bytes32", words["graph"]),
        ("bytes32", words["initial_model"]),
        ("bytes32", words["base"]),
        ("bytes32", keccak(b"".join(bytes(Digest.parse(parent)) for parent in given["parents"]))),
        ("bytes32", words["derivation"]),
    )
    id = agreement_id(chain, at["Agreements"], scientist, words["salt"])
    ctx = context(
        chain,
        at["Agreements"],
        at["ProofOfTrain"],
        id,
        owner,
        scientist,
        words["recipe"],
        Root(words["dataset_root"]),
        Root(words["initial_model"]),
        given["steps"],
        given["segment_steps"],
        given["group_leaves"],
    )
    return {
        "dataset id": dataset,
        "model id": model,
        "agreement id": id,
        "ctx": ctx,
        "key commitment": commit_key(nonce),
        "nonce commitment": commit_nonce(nonce),
        "order seed": order_seed(ctx, seed_block, nonce),
    }


def _keccak(*typed: tuple[str, Any]) -> Digest:
    return Digest(keccak(encode([kind for kind, _ in typed], [_plain(value) for _, value in typed])))


def _plain(value: Any) -> Any:
    return bytes(value) if isinstance(value, Digest) else value


def _leaf(given: Values) -> Values:
    keys = SaltKeys(*(bytes.fromhex(given[name]) for name in ("metrics_key", "state_key")))
    salt, state_salt = (leaf_salt(key, given["index"]) for key in (keys.metrics, keys.states))
    records = records_digest(np.array(given["record_indices"], np.uint64))
    metrics = metrics_digest(given["metrics"], salt)
    ctx, seed, previous = (Digest.parse(given[name]) for name in ("ctx", "seed", "previous"))
    roots = StateRoots.from_json({name: given[name] for name in ("model", "optimizer")})
    leaf = Leaf(given["index"], given["step"], roots.digest, records, metrics, ZERO, previous)
    salted = replace(leaf, state=state_word(roots.digest, state_salt))
    checkpoint = Checkpoint(salted, roots.model, roots.optimizer, given["metrics"], salt, state_salt)
    return {
        "salt of the metrics": salt,
        "salt of the state": state_salt,
        "records digest": records,
        "metrics digest": metrics,
        "state digest": roots.digest,
        "leaf, unsalted": leaf.digest(ctx, seed),
        "leaf, salted": salted.digest(ctx, seed),
        "line of leaves.jsonl": checkpoint.to_line().decode(),
    }


def _transcript(given: Values) -> Values:
    """Leaf digest i is the integer i as 32 bytes, big-endian."""
    leaves, group, delivered = _entries(given["leaves"]), given["group_leaves"], given["delivered"]
    full = len(leaves) // group
    standing: list[Digest] = []
    anchors = []
    for index in range(full):
        root = tree_root(leaves[index * group : (index + 1) * group])
        anchors.append({"peaks before": standing, "root": root})
        standing = grow(standing, root, index)
    smallest = peaks(leaves)[-1][1]
    return {
        "anchors": anchors,
        "peaks": standing,
        "tail": [root for root, _ in peaks(leaves[full * group :])],
        "path": inclusion_path(leaves[-smallest:], smallest - 1),
        "path of the delivered leaf": inclusion_path(leaves, delivered),
        "transcript root": published_root("fitchain/transcript/v2", leaves),
    }


# What travels, and who signs


def _cid(given: Values) -> Values:
    """The content is the bytes 0 to 250, again and again, up to the length."""
    block = bytes(range(251))
    found = {}
    for length in given["lengths"]:
        content = (block * (length // 251 + 1))[:length]
        found[str(length)] = str(add_file(chunks(BytesIO(content)), lambda cid, block: None).cid)
    return found


def _keys(given: Values) -> Values:
    keys = _open(given)
    words = [Digest.parse(word) for word in given["words"]]
    return {
        "address": keys.address,
        "identity": keys.identity,
        "recipient": keys.recipient,
        "derived": keys.derive(given["purpose"], *words).hex(),
    }


def _challenge(given: Values) -> Values:
    """Links are hex, without those of seats that nobody had joined."""
    seed = segment_seed(Digest.parse(given["seed"]), [bytes.fromhex(link) or NOBODY_JOINED for link in given["links"]])
    count, delivered, drawn = (given[name] for name in ("leaves", "delivered", "drawn_segments"))
    return {
        "segment seed": seed,
        "key": tagged("fitchain/challenge/v2", seed),
        "segments": audited_segments(seed, count, delivered, False, drawn),
        "segments of a run that diverged": audited_segments(seed, count, count - 1, True, drawn),
        "segments of a run of three": audited_segments(seed, 4, 3, False, drawn),
    }


def _chain(given: Values) -> Values:
    """The last link and those before it."""
    secret = _open(given).derive(PURPOSE, given["chain_id"], int(given["audits"], 16), given["number"])
    return {str(offset): link_at(secret, offset).hex() for offset in given["links"]}


def _opened(given: Values) -> Values:
    table = Table.of({name: np.array(cells, dtype) for name, (dtype, cells) in given["columns"].items()})
    key = bytes.fromhex(given["key"])
    openings = open_records(table, key, record_leaves(table, key), given["open"])
    with TemporaryDirectory() as folder:
        path = Path(folder) / "records.bin"
        write_opened(path, table.columns, table.count, openings, len(given["open"]))
        return {"file": path.read_bytes().hex()}


def _vote(given: Values) -> Values:
    audit = audit_id(AuditRef(AgreementId(Digest.parse(given["agreement"])), given["ordinal"]))
    round, voter, outcome = given["round"], given["voter"], Outcome(given["outcome"])
    trace = trace_digest(audit, round, [Digest.parse(state) for state in given["states"]])
    return {
        "audit id": audit,
        "trace": trace,
        "commitment": commitment(audit, round, voter, outcome, trace, Digest.parse(given["salt"])),
    }


def _envelope(given: Values) -> Values:
    payload = given["payload"].encode()
    envelope = json.loads(seal_envelope(payload, _open(given)))
    signed = signed_digest(PAYLOAD_TYPE, payload)
    (signature,) = envelope["signatures"]
    assert recover(signed, base64.b64decode(signature["sig"])) == signature["keyid"]
    return {"signed digest": signed, "envelope": envelope}


def _open(given: Values) -> Keys:
    return Keys("vector", bytes.fromhex(given["private_key"]), bytes.fromhex(given["scalar"]))


def _bulk(given: Values) -> Values:
    data = bytes.fromhex(given["data"])
    return {"blake3": blake3_digest(data), "sha256": Digest(hashlib.sha256(data).digest())}


COMPUTE: dict[str, Callable[[Values], Values]] = {
    "bulk": _bulk,
    "tagged": _tagged,
    "tree": _tree,
    "json": _json,
    "state": _state,
    "safetensors": _safetensors,
    "dataset": _dataset,
    "units": _units,
    "transform": _transform,
    "order": _order,
    "ids": _ids,
    "leaf": _leaf,
    "transcript": _transcript,
    "cid": _cid,
    "keys": _keys,
    "challenge": _challenge,
    "chain": _chain,
    "vote": _vote,
    "opened": _opened,
    "envelope": _envelope,
}


def compute(vector: Values) -> Values:
    """What the code gives for a vector, as JSON values."""
    plain: Values = json.loads(json.dumps(COMPUTE[vector["vector"]](vector["given"]), default=str))
    return plain


# Writing them anew


def shown(vector: Values) -> str:
    """A vector as it stands in the document: one line for each value."""

    def lines(values: Values) -> str:
        return ",\n".join(
            f"    {json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}" for key, value in values.items()
        )

    head = f'{{"vector": {json.dumps(vector["vector"])},'
    return f'{head}\n  "given": {{\n{lines(vector["given"])}}},\n  "gives": {{\n{lines(vector["gives"])}}}}}'


def rewritten(text: str) -> str:
    """The document with what the code gives now."""

    def renew(block: re.Match[str]) -> str:
        vector = json.loads(block[1])
        return f"```json\n{shown({**vector, 'gives': compute(vector)})}\n```"

    return BLOCK.sub(renew, text)


if __name__ == "__main__":
    DOCUMENT.write_text(rewritten(DOCUMENT.read_text()))
