"""A whole job through `import fitchain` alone, and what notebooks have beyond the command line."""

from __future__ import annotations

import code
import linecache
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from torch import Tensor, nn

import fitchain
from fitchain.pod.compute.model import take_module
from fitchain.pod.jobs.history import Refused
from fitchain.pod.values.errors import AccessRefused, InputRefused, NotFound, Unusable
from tests.chain_fixtures import PASSPHRASE, Devnet, secret_file
from tests.limits import LIMIT_S
from tests.pods import Party, Workshop, module_file

ROOT = Path(__file__).parent.parent


class Pair(nn.Module):
    """Four numbers to two classes."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(4, width), nn.ReLU(), nn.Linear(width, 2))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layers(x)
        return y


# The example


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Where the notebook kept its files, and what it printed."""
    folder = tmp_path_factory.mktemp("notebook")
    variables = os.environ | {"TMPDIR": str(folder), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / "notebook.py")],
        cwd=folder,
        env=variables,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    (kept,) = folder.glob("fitchain-*")
    return kept, done.stdout


def test_the_notebook_plays_a_whole_job(played: tuple[Path, str]) -> None:
    found = re.search(r"the certificate holds, unaudited: .*\n(\S+)% right on 114 unseen records\n", played[1])
    assert found and float(found[1]) > 75
    assert "the owner has 1010 FIT" in played[1]


def test_watching_ends_when_the_training_has(played: tuple[Path, str]) -> None:
    lines = re.findall(r"^(?:Requested|Accepted|Training|Trained), \d+ of \d+ checkpoints.*", played[1], re.M)
    assert lines[0].startswith("Requested, 0 of ")
    assert lines[-1].startswith("Trained, ") and "loss" in lines[-1]


def test_the_notebook_leaves_nothing_running(played: tuple[Path, str]) -> None:
    assert not (played[0] / "devnet" / "devnet.json").exists()


def test_the_notebook_imports_nothing_else_of_the_package() -> None:
    text = (ROOT / "examples" / "notebook.py").read_text()
    assert re.findall(r"^\s*(?:from|import) (fitchain\S*)", text, re.M) == ["fitchain"]


# Homes


def test_home_is_opened_with_a_file_or_with_what_asks(running_devnet: Devnet, tmp_path: Path) -> None:
    file = tmp_path / "passphrase"
    secret_file(file, PASSPHRASE + "\n")
    made = fitchain.create_keys(tmp_path / "home", file)
    for passphrase in (file, lambda: PASSPHRASE):
        with fitchain.open_home(tmp_path / "home", passphrase, devnet=running_devnet.folder) as home:
            assert home.keys.address == made.address


def test_home_without_a_passphrase_is_for_reading(running_devnet: Devnet, tmp_path: Path) -> None:
    with fitchain.open_home(tmp_path, devnet=running_devnet.folder) as home:
        assert home.registry.datasets() == []
        with pytest.raises(AccessRefused, match="opened without its key"):
            fitchain.list_jobs(home)


def test_keys_are_made_once(tmp_path: Path) -> None:
    fitchain.create_keys(tmp_path, lambda: PASSPHRASE)
    with pytest.raises(InputRefused, match="default"):
        fitchain.create_keys(tmp_path, lambda: PASSPHRASE)
    with pytest.raises(NotFound, match="passphrase file"):
        fitchain.create_keys(tmp_path / "other", tmp_path / "none")


# Modules


@pytest.mark.parametrize(("module", "name"), [(Pair, "Pair"), (Pair(), "Pair"), (lambda: Pair(), "<lambda>")])
def test_module_of_this_process_is_published(workshop: Workshop, module: fitchain.ModuleSource, name: str) -> None:
    home = workshop.scientist.home
    published = fitchain.publish_model(home, module, workshop.dataset.id)
    assert published.graph == home.registry.model(published.id).graph
    assert home.journal.model(published.id).name == name


def test_module_is_published_under_a_name_of_ones_own(workshop: Workshop) -> None:
    published = fitchain.publish_model(workshop.scientist.home, Pair(3), workshop.dataset.id, name="narrow")
    assert workshop.scientist.home.journal.model(published.id).name == "narrow"


def test_file_of_modules_needs_a_name(workshop: Workshop) -> None:
    source = module_file(workshop.scientist.home.settings.home)
    with pytest.raises(InputRefused, match="none is named"):
        fitchain.publish_model(workshop.scientist.home, source, workshop.dataset.id)


@pytest.mark.parametrize(
    ("source", "words"), [(3, "is a int, neither"), (dict, "gives a dict"), (Pair.forward, "Type")]
)
def test_what_is_no_module_is_refused(source: fitchain.ModuleSource, words: str) -> None:
    with pytest.raises(InputRefused, match=words):
        take_module(source)


def test_error_names_the_line_of_the_cell() -> None:
    """As IPython keeps a cell: its lines stand in `linecache` under a name that is no file's."""
    cell = "def broken():\n    return 1 / 0\n"
    linecache.cache["/nowhere/ipykernel_1/2.py"] = (len(cell), None, cell.splitlines(True), "/nowhere/ipykernel_1/2.py")
    names: dict[str, Callable[[], nn.Module]] = {}
    code.InteractiveInterpreter(names).runsource(cell, "/nowhere/ipykernel_1/2.py", "exec")
    with pytest.raises(InputRefused, match=r"2\.py:2 `return 1 / 0`: broken\(\): ZeroDivision"):
        take_module(names["broken"])


# Pods


def test_pod_is_registered_when_serve_returns_and_gone_when_the_block_ends(open_party: Callable[..., Party]) -> None:
    home = open_party("served").home
    for _ in range(2):
        with fitchain.serve(fitchain.Owner(home, lambda id, text: None)):
            assert home.registry.pod(home.keys.address).recipient == home.keys.recipient
        with home.exclusive_lock():
            pass


def test_pod_that_cannot_start_says_so_at_once(open_party: Callable[..., Party]) -> None:
    home = open_party("twice").home
    with (
        fitchain.serve(fitchain.Owner(home, lambda id, text: None)),
        pytest.raises(Unusable, match="another pod runs from the home"),
    ):
        fitchain.serve(fitchain.Owner(home, lambda id, text: None))


# Requests


def test_owner_finds_its_requests_and_rejects_one(workshop: Workshop) -> None:
    id = workshop.request()
    (request,) = fitchain.list_jobs(workshop.owner.home)
    assert (request.id, request.state) == (id, fitchain.State.REQUESTED)
    assert [job.id for job in fitchain.list_jobs(workshop.scientist.home)] == [id]
    fitchain.reject(workshop.owner.home, id, "no")
    statuses = list(fitchain.watch_job(workshop.scientist.home, id))
    assert statuses[-1].agreement.state is fitchain.State.CANCELLED
    assert [line.entry for line in statuses[-1].history if line.entry.kind == "refused"] == [Refused("no")]
