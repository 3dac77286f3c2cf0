"""The terminals of an owner, a scientist, five verifiers and a stranger, on one chain and one
panel: the commands that each of them gives."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from shutil import copyfile

from fitchain.pod.jobs.home import Home
from fitchain.pod.ports import settings
from tests.terminals import Walk, Walkers, terminals_at

MODELS = Path(__file__).with_name("models.py")
SECRET = "(umask 077; head -c 18 /dev/urandom | base64 > {})"
HOME = "export FITCHAIN_HOME=walk/{0} FITCHAIN_PASSPHRASE_FILE=walk/{0}/passphrase"
EACH = "for v in 1 2 3 4 5; do {} --home walk/verifier$v; done"

ARRIVALS: Walk = [
    ("owner", HOME.format("owner")),
    ("owner", SECRET.format("walk/owner/passphrase")),
    ("owner", "fitchain devnet up"),
    ("owner", "fitchain deploy"),
    ("owner", "fitchain keys new"),
    ("owner", "fitchain devnet fund"),
    ("owner", "fitchain pod owner > walk/owner/log 2>&1 &"),
    ("scientist", HOME.format("scientist")),
    ("scientist", SECRET.format("walk/scientist/passphrase")),
    ("scientist", "fitchain keys new"),
    ("scientist", "fitchain devnet fund"),
    ("scientist", "python walk/scientist/models.py"),
    ("verifiers", "export FITCHAIN_PASSPHRASE_FILE=walk/passphrase"),
    ("verifiers", SECRET.format("walk/passphrase")),
    ("verifiers", EACH.format("fitchain keys new")),
    ("verifiers", EACH.format("fitchain devnet fund")),
    ("verifiers", EACH.format("fitchain verifier stake")),
    ("scientist", "fitchain panel create neighbours VERIFIER1 VERIFIER2 VERIFIER3 VERIFIER4 VERIFIER5"),
    ("verifiers", EACH.format("fitchain panel join PANEL")),
    ("verifiers", "for v in 1 2 3 4 5; do fitchain pod verifier --home walk/verifier$v > walk/log$v 2>&1 & done"),
    ("stranger", "export FITCHAIN_HOME=$PWD/nowhere HOME=$PWD/nowhere"),
]


@dataclass(frozen=True)
class Parties:
    """Everybody, where their folders are.

    Args:
        folder: in which all terminals stand.
        walkers: the terminals.
    """

    folder: Path
    walkers: Walkers

    @property
    def sources(self) -> Path:
        """The owner's records."""
        return self.folder / "walk" / "owner" / "data"

    def opened(self, name: str) -> Home:
        """The home of one of them, for reading what the command line does not print."""
        home = self.folder / "walk" / name
        place = settings.load(home=home, devnet=self.folder / "devnet", environ={})
        return Home.open(place, lambda: (home / "passphrase").read_text().strip())

    def whole_way(self, registered: str, published: str, recipe: str) -> Path:
        """Go from the owner's records to a certificate that a stranger verifies, audited by three
        verifiers.

        Args:
            registered: what `data register` is given: a file of `sources`, and options.
            published: what `model publish` is given: a module, and options.
            recipe: what stands in the recipe's file.

        Returns:
            the folder of the model and its certificate; where the model is published over a base,
            `whole.safetensors` lies beside, in which the scientist merged both.
        """
        for word in ("DATASET", "MODEL", "JOB"):
            self.walkers.words.pop(word, None)
        (self.folder / "walk" / "scientist" / "recipe.toml").write_text(recipe)
        result = self.folder / f"result{len(list(self.folder.glob('result*')))}"
        self.walkers.walk(_way(registered, published, result.name))
        return result


def _way(registered: str, published: str, result: str) -> Walk:
    register = f"fitchain data register walk/owner/data/{registered} --scientist SCIENTIST --disclose sampled --yes"
    verify = f"fitchain proof verify {result}/model.safetensors {result}/certificate.json"
    request = "fitchain job request --dataset DATASET --model MODEL --recipe walk/scientist/recipe.toml"
    merged = [("scientist", f"fitchain model merge JOB --to {result}/whole.safetensors")]
    return [
        ("owner", register),
        ("scientist", f"fitchain model publish {published} --dataset DATASET"),
        ("scientist", f"{request} --verifiers 3 --segments 2 --panel PANEL --mode sampled"),
        ("owner", "fitchain job approve JOB --yes"),
        ("scientist", "fitchain job watch JOB --until-settled"),
        ("scientist", f"fitchain model fetch JOB --to {result}"),
        ("scientist", f"{verify} --require vouched"),
        ("stranger", f"{verify} --require vouched"),
        *(merged if "--base" in published else []),
        ("scientist", "fitchain job accept JOB"),
    ]


@contextmanager
def everybody(folder: Path) -> Iterator[Parties]:
    """Open the terminals, and let everybody arrive; at the end all that runs is ended."""
    for name in ("walk/owner/data", "walk/scientist", "devnet", "nowhere"):
        (folder / name).mkdir(parents=True)
    copyfile(MODELS, folder / "walk" / "scientist" / MODELS.name)
    with terminals_at(folder, ARRIVALS) as walkers:
        walkers.walk(ARRIVALS)
        yield Parties(folder, walkers)
