"""Free text the whole way: from `data register` with a tokenizer to a certificate that a stranger
with an empty home verifies, each party in a terminal of its own."""

from __future__ import annotations

import csv
import json
import random
import shlex
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fitchain
from fitchain.pod.compute.dataset import held_out_rows
from fitchain.pod.proof.certificate import Statement
from fitchain.pod.proof.certificate.envelope import unseal
from fitchain.pod.values.digest import sha256
from fitchain.pod.values.held_out import Classes
from tests.source_text import ROOT, blocks_of
from tests.terminals import Walkers, terminals_at
from tests.texts import WORDS, file_of, tokenizer

SECRET = "Zacharias Ungewoehnlich"
"""Stands in notes and in no vocabulary: it must come to nobody."""
LENGTH = 6

MODULE = '''
from torch import nn


class Notes(nn.Module):
    """Whether a note is missing, and the mean of its words' vectors, to two classes."""

    def __init__(self, rows={rows}):
        super().__init__()
        self.words, self.last = nn.Embedding(rows, 8), nn.Linear(9, 2)

    def forward(self, missing, tokens):
        there = (tokens != 0).unsqueeze(2).float()
        mean = (self.words(tokens) * there).sum(1) / there.sum(1).clamp(min=1)
        return self.last(torch.cat([missing, mean], 1))


def short():
    return Notes({rows} - 1)
'''.replace("from torch", "import torch\nfrom torch", 1).replace("{rows}", str(len(WORDS)))

HOME = "export FITCHAIN_HOME=walk/{0} FITCHAIN_PASSPHRASE_FILE=walk/{0}/passphrase"
SECRET_FILE = "mkdir -p walk/{0} && (umask 077; head -c 18 /dev/urandom | base64 > walk/{0}/passphrase)"
REGISTER = (
    "fitchain data register walk/owner/notes.csv --target outcome --text note --tokenizer walk/owner/tokenizer.json "
    f"--length {LENGTH} --scientist SCIENTIST"
)

SET_UP = [
    ("owner", HOME.format("owner")),
    ("owner", SECRET_FILE.format("owner")),
    ("owner", "fitchain devnet up"),
    ("owner", "fitchain deploy"),
    ("owner", "fitchain keys new"),
    ("owner", "fitchain devnet fund"),
    ("scientist", HOME.format("scientist")),
    ("scientist", SECRET_FILE.format("scientist")),
    ("scientist", "fitchain keys new"),
    ("scientist", "fitchain devnet fund"),
    ("owner", f"! {REGISTER} < /dev/null"),
    ("owner", f"{REGISTER} --yes"),
    ("owner", "fitchain pod owner > walk/owner/log 2>&1 &"),
    ("scientist", "fitchain data show DATASET"),
]
REFUSED = [
    (
        "scientist",
        "fitchain model publish walk/scientist/notes.py:short --dataset DATASET --json > walk/scientist/short",
    ),
    (
        "scientist",
        "! fitchain job request --dataset DATASET --recipe walk/scientist/recipe.toml --model "
        "$(python -c \"import json; print(json.load(open('walk/scientist/short'))['model'])\")",
    ),
]
TRAINED = [
    ("scientist", "fitchain model publish walk/scientist/notes.py:Notes --dataset DATASET"),
    ("scientist", "fitchain job request --dataset DATASET --model MODEL --recipe walk/scientist/recipe.toml"),
    ("owner", "fitchain job approve JOB --yes"),
    ("scientist", "fitchain job watch JOB"),
    ("scientist", "fitchain model fetch JOB --to result"),
    ("owner", "fitchain proof replay JOB --segments 2"),
    ("scientist", "fitchain job accept JOB"),
    ("owner", "kill %1"),
    ("stranger", "export FITCHAIN_HOME=$PWD/nowhere HOME=$PWD/nowhere"),
    ("stranger", "fitchain proof verify result/model.safetensors result/certificate.json"),
]


@pytest.fixture
def walkers(tmp_path: Path) -> Iterator[Walkers]:
    for name in ("walk/owner", "walk/scientist", "devnet", "result", "nowhere"):
        (tmp_path / name).mkdir(parents=True)
    draw = random.Random(14)
    with (tmp_path / "walk/owner/notes.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["note", "outcome"])
        for number in range(120):
            words = draw.choices(WORDS[2:6] if number % 2 else WORDS[6:], k=draw.randint(1, 9))
            table.writerow(["" if number % 10 == 7 else " ".join([*words, SECRET]), number % 2])
    (tmp_path / "walk/owner/tokenizer.json").write_bytes(file_of(tokenizer()))
    (tmp_path / "walk/scientist/notes.py").write_text(MODULE)
    (tmp_path / "walk/scientist/recipe.toml").write_text(
        'epochs = 20\nbatch_size = 16\nlearning_rate = 0.05\nheld_out = 0.2\nsegment_steps = 20\noptimizer = "Adam"\n'
    )
    with terminals_at(tmp_path, SET_UP + REFUSED + TRAINED) as opened:
        yield opened


@pytest.mark.long
def test_notes_become_a_certificate_that_a_stranger_verifies(walkers: Walkers, tmp_path: Path) -> None:
    walkers.walk(SET_UP)
    owner, scientist = (walkers.terminals[name] for name in ("owner", "scientist"))
    digest = str(sha256(file_of(tokenizer())))
    assert "WARNING: the tokenizer becomes public with all of its 10 tokens" in " ".join(owner.log.split())
    assert "nothing was published" in owner.log and "of 120 are cut" in owner.log
    assert digest in scientist.log and "10 tokens, 0 fills up" in scientist.log
    walkers.walk(REFUSED)
    assert "index 9" in scientist.log or "out of range" in scientist.log, scientist.log[-2000:]
    walkers.walk(TRAINED)
    code, printed = scientist.run("fitchain data show " + walkers.words["DATASET"] + " --json")
    card = json.loads(printed.splitlines()[-1])["card"]
    for cid, name in ((card["tokenizer"]["cid"], "tokenizer.json"), (card["mock"]["cid"], "mock.npz")):
        assert scientist.run(f"fitchain store get {cid} walk/scientist/{name}")[0] == 0
    assert sha256((tmp_path / "walk/scientist/tokenizer.json").read_bytes()) == sha256(file_of(tokenizer()))
    with np.load(tmp_path / "walk/scientist/mock.npz") as mock:
        assert mock["note"].shape[1:] == (LENGTH,) and mock["note"].max() == len(WORDS) - 1
    assert "model = fitchain.load(" in scientist.log
    verifying = blocks_of((ROOT / "docs/using-a-model.md").read_text(), "python")[-1]
    code, printed = walkers.terminals["stranger"].run(f"python -c {shlex.quote(f'import fitchain; {verifying}')}")
    assert code == 0, printed
    assert_predicts_as_certified(tmp_path / "result", tmp_path / "walk/owner/notes.csv")
    said = [terminal.log.encode() for terminal in walkers.terminals.values()]
    places = ("devnet", "walk/scientist", "result")
    kept = [path.read_bytes() for place in places for path in (tmp_path / place).rglob("*") if path.is_file()]
    assert code == 0 and len(kept) > 20 and not [data for data in said + kept if SECRET.encode() in data]


def assert_predicts_as_certified(folder: Path, source: Path) -> None:
    """Whoever has the delivery alone gets of the held-out notes what the certificate counts."""
    statement = Statement.parse(unseal((folder / "certificate.json").read_bytes())[0])
    with source.open(newline="") as file:
        notes = list(csv.DictReader(file))
    rows = [notes[place] for place in held_out_rows(statement.recipe, statement.seed).tolist()]
    model = fitchain.load(folder)
    taken: Counter[tuple[Any, Any]] = Counter(
        zip((int(row["outcome"]) for row in rows), model.predict(rows), strict=True)
    )
    assert statement.held_out is not None and isinstance(statement.held_out.result.outcome, Classes)
    confusion = tuple(taken[true, other] for true in model.classes for other in model.classes)
    assert confusion == statement.held_out.result.outcome.confusion
