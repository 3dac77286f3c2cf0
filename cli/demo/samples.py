"""Real tables to try things on: the breast-cancer and the digits data that scikit-learn ships.

Each is split, always in the same way, into what an owner registers and what a scientist keeps as
its own test table. The patients' codes are made up: they are there so that one sees them stay at
home (`--drop patient`).

    python -m fitchain.cli.demo.samples breast-cancer OWNER_FOLDER SCIENTIST_FOLDER
"""

from __future__ import annotations

import csv
import random
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fitchain.cli.views.output import report_error
from fitchain.pod.values.errors import FitchainError, NotFound

SPLIT_SEED = 2026
TEST_SHARE = 0.2
RANGES: Mapping[str, tuple[float, float]] = {
    "mean_radius": (0, 30),
    "mean_texture": (0, 40),
    "mean_perimeter": (0, 200),
    "mean_area": (0, 3000),
    "mean_smoothness": (0, 0.2),
    "mean_compactness": (0, 0.4),
    "mean_concavity": (0, 0.5),
    "mean_concave_points": (0, 0.2),
    "mean_symmetry": (0, 0.3),
    "mean_fractal_dimension": (0, 0.1),
    "radius_error": (0, 3),
    "texture_error": (0, 5),
    "perimeter_error": (0, 20),
    "area_error": (0, 600),
    "smoothness_error": (0, 0.03),
    "compactness_error": (0, 0.1),
    "concavity_error": (0, 0.4),
    "concave_points_error": (0, 0.06),
    "symmetry_error": (0, 0.09),
    "fractal_dimension_error": (0, 0.03),
    "worst_radius": (0, 40),
    "worst_texture": (0, 50),
    "worst_perimeter": (0, 300),
    "worst_area": (0, 5000),
    "worst_smoothness": (0, 0.2),
    "worst_compactness": (0, 1),
    "worst_concavity": (0, 1),
    "worst_concave_points": (0, 0.3),
    "worst_symmetry": (0, 0.7),
    "worst_fractal_dimension": (0, 0.2),
}
"""What a pathologist would expect of these measurements, lowest and highest: nothing of the records
is in it, so it may be published beside a privacy budget."""
DIAGNOSES = ("benign", "malignant")
DIGITS = tuple(range(10))


@dataclass(frozen=True)
class Sample:
    """A table in two parts, and how it is registered.

    Args:
        name: the dataset's name.
        private: file of the records that the owner registers.
        test: file of the records that the scientist keeps.
        target: the column to predict.
        drop: columns that are not registered.
        ranges: of its columns of numbers, for a card that publishes nothing of the records.
        classes: what the target may be, for the same.
    """

    name: str
    private: Path
    test: Path
    target: str
    drop: tuple[str, ...]
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    classes: tuple[str | int, ...] = ()


def describe_sample(name: str, owner: Path, scientist: Path) -> Sample:
    """Where a sample's files lie and how its table is registered."""
    if name == "digits":
        return Sample(
            "handwritten digits", owner / "digits.npz", scientist / "digits_test.npz", "digit", (), classes=DIGITS
        )
    private, test = owner / "breast_cancer.csv", scientist / "breast_cancer_test.csv"
    return Sample("breast cancer", private, test, "diagnosis", ("patient",), RANGES, DIAGNOSES)


def breast_cancer(owner: Path, scientist: Path) -> Sample:
    """Write 569 real records of breast cancer as CSV: 455 for the owner, 114 for the scientist.

    Source: Wolberg, Mangasarian, Street, Street (1993), Breast Cancer Wisconsin (Diagnostic),
    through scikit-learn.
    """
    data = _load("load_breast_cancer")
    header = ["patient", *(name.replace(" ", "_") for name in data.feature_names), "diagnosis"]
    rows = [
        [f"P-{number:04d}", *(repr(float(value)) for value in features), data.target_names[target]]
        for number, (features, target) in enumerate(zip(data.data, data.target, strict=True))
    ]
    sample = describe_sample("breast-cancer", owner, scientist)
    for path, chosen in zip((sample.private, sample.test), _split(len(rows)), strict=True):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", newline="") as file:
            csv.writer(file).writerows([header, *(rows[i] for i in chosen)])
    return sample


def digits(owner: Path, scientist: Path) -> Sample:
    """Write 1,797 images of digits, 8 x 8 pixels, as NPZ: a fifth of them for the scientist.

    Source: Alpaydin, Kaynak (1998), Optical Recognition of Handwritten Digits, through
    scikit-learn.
    """
    import numpy as np

    data = _load("load_digits")
    image_N1HW = data.images.astype(np.float32)[:, None]
    digit_N = data.target.astype(np.int64)
    sample = describe_sample("digits", owner, scientist)
    for path, chosen in zip((sample.private, sample.test), _split(len(digit_N)), strict=True):
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, image=image_N1HW[chosen], digit=digit_N[chosen])
    return sample


SAMPLES = {"breast-cancer": breast_cancer, "digits": digits}


def _load(name: str) -> Any:
    try:
        import sklearn.datasets
    except ImportError:
        raise NotFound("scikit-learn, which ships the tables, is not installed", "run `make setup`") from None
    return getattr(sklearn.datasets, name)()


def _split(count: int) -> tuple[list[int], list[int]]:
    """Row numbers of the two parts, each in the order of the table."""
    test = set(random.Random(SPLIT_SEED).sample(range(count), round(count * TEST_SHARE)))
    return [i for i in range(count) if i not in test], sorted(test)


def main(arguments: list[str]) -> int:
    """Write one sample's two files and name them."""
    if len(arguments) != 3 or arguments[0] not in SAMPLES:
        print(
            f"usage: python -m fitchain.cli.demo.samples {'|'.join(SAMPLES)} OWNER_FOLDER SCIENTIST_FOLDER",
            file=sys.stderr,
        )
        return 2
    try:
        sample = SAMPLES[arguments[0]](Path(arguments[1]), Path(arguments[2]))
    except FitchainError as error:
        return report_error(error, arguments)
    print(f"{sample.private}\n{sample.test}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
