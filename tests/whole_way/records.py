"""What the owner has, and how it registers it: small data of scikit-learn, which are real, and a
made-up list of passengers."""

from __future__ import annotations

import csv
import re
import subprocess
import sys
from collections import Counter
from itertools import chain
from pathlib import Path

import numpy as np

from tests.source_text import ROOT
from tests.texts import file_of, tokenizer
from tests.whole_way.models import LENGTH, WORDS


def masks(folder: Path, records: int = 160) -> str:
    """Digits of 16 x 16 pixels under noise, and where the digit is; an NPZ file."""
    from sklearn.datasets import load_digits

    images = load_digits().images[:records].repeat(2, axis=1).repeat(2, axis=2)[:, None] / 16
    noise = np.random.default_rng(1).normal(scale=0.3, size=images.shape)
    np.savez(folder / "scans.npz", image=(images + noise).astype(np.float32), mask=(images > 0.5).astype(np.float32))
    return "scans.npz --target mask"


def images(folder: Path, records: int = 240) -> str:
    """Digits of 8 x 8 pixels, a folder a class."""
    from PIL import Image
    from sklearn.datasets import load_digits

    digits = load_digits()
    for number, (pixels, digit) in enumerate(zip(digits.images[:records], digits.target, strict=False)):
        path = folder / "digits" / str(digit) / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((pixels * 15.9).astype(np.uint8)).save(path)
    return "digits --target label --transform ranges --range image=0:255"


def notes(folder: Path) -> str:
    """Pieces of what scikit-learn says of its data sets, of medicine or not, and the tokenizer of
    the words that are common in all of it."""
    from sklearn import datasets

    told = {
        name: re.findall(r"[a-z]+", getattr(datasets, f"load_{name}")().DESCR.lower())
        for name in ("breast_cancer", "diabetes", "digits", "iris", "linnerud", "wine")
    }
    common = [word for word, _ in Counter(chain.from_iterable(told.values())).most_common(WORDS - 2)]
    (folder / "tokenizer.json").write_bytes(file_of(tokenizer("[PAD]", "[UNK]", *common)))
    with (folder / "notes.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["note", "field"])
        for name, words in told.items():
            field = "medicine" if name in ("breast_cancer", "diabetes", "linnerud") else "other"
            table.writerows([" ".join(words[at : at + LENGTH]), field] for at in range(0, len(words), 8))
    return f"notes.csv --target field --text note --tokenizer {folder}/tokenizer.json --length {LENGTH}"


def passengers(folder: Path) -> str:
    """Numbers, categories, codes, dates and holes."""
    subprocess.run([sys.executable, ROOT / "examples" / "voyage_table.py", folder / "voyage.csv"], check=True)
    return "voyage.csv --target survived --drop id --drop name --kind class=category"
