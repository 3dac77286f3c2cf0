"""What leaves an owner: nothing of its records, in a whole job with a scientist whose processes
cannot read the owner's data."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from fitchain.pod.compute.dataset import ReadingTerms, Table
from fitchain.pod.jobs import history
from fitchain.pod.parties.owner import RegisteredDataset
from fitchain.pod.ports.agreement import State
from fitchain.pod.ports.chain import Chain
from fitchain.pod.values.digest import Digest
from fitchain.pod.values.ids import AgreementId
from tests.pods import RECIPE, Party, PodProcess, Workshop, module_file, offer_table, private_table
from tests.policies import open_policy

COLUMNS = ("alpha", "beta", "gamma", "delta")
DIGITS = 10
"""So many characters of a number's text are taken as its own: no other text has them by chance."""


pytestmark = [pytest.mark.landlock, pytest.mark.long]
"""Only Landlock keeps a process of root out of a folder."""


@dataclass(frozen=True)
class Exposed:
    """A settled job and all that its processes wrote.

    Args:
        owner, scientist: the two sides.
        dataset, id: what was trained on, and the agreement.
        source: the private table, in a folder of its own.
        logs: folder of what the processes said.
        hidden: a command that runs another one out of reach of the private folder.
    """

    owner: Party
    scientist: Party
    dataset: RegisteredDataset
    id: AgreementId
    source: Path
    logs: Path
    hidden: tuple[str, ...]


def command(party: Party, hidden: tuple[str, ...], *arguments: str) -> dict[str, str]:
    """Run one of a side's commands in a process of its own; the object it printed."""
    done = subprocess.run(
        [*hidden, *party.side.command(*arguments, "--json")],
        env=party.side.environment(),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.fixture(scope="module")
def exposed(open_party: Callable[..., Party], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exposed]:
    owner, scientist = open_party("owner"), open_party("scientist")
    source, logs = private_table(tmp_path_factory.mktemp("private") / "findings.csv"), tmp_path_factory.mktemp("logs")
    dataset = offer_table(owner, source, policy=open_policy(manual_approval=False), mock_records=16)
    modules, terms = module_file(scientist.home.settings.home), scientist.home.settings.home / "recipe.toml"
    terms.write_text("".join(f"{name} = {value}\n" for name, value in RECIPE.items()))
    hidden = (sys.executable, "-m", "fitchain.pod.compute.sandbox", "--hide", str(source.parent), "--")
    owners = PodProcess(owner, logs / "owner.log")
    try:
        model = command(scientist, hidden, "model", "publish", f"{modules}:Tiny", "--dataset", str(dataset.id))["model"]
        asked = command(
            *(scientist, hidden, "job", "request", "--dataset", str(dataset.id), "--model", model),
            *("--recipe", str(terms)),
        )
        id = AgreementId(Digest.parse(asked["agreement"]))
        scientists = PodProcess(scientist, logs / "scientist.log", "--auto-accept", wrapper=hidden)
        try:
            watch = Workshop(owner, scientist, dataset, None)  # type: ignore[arg-type]
            watch.until(owner.has(id, "wiped"))
            watch.until(scientist.has(id, "settled"))
        finally:
            scientists.stop()
    finally:
        owners.stop()
    yield Exposed(owner, scientist, dataset, id, source, logs, hidden)


def traces(source: Path, dataset: RegisteredDataset) -> list[bytes]:
    """Byte strings of which any one, found outside, would show a record: text, doubles, floats as
    they are and as they train."""
    with source.open() as file:
        rows = list(csv.DictReader(file))[::4]
    x_N4 = np.array([[float(row[name]) for name in COLUMNS] for row in rows])
    constants = [dataset.card.transform[name] for name in COLUMNS]
    scaled_N4 = np.stack([(x_N4[:, i] - c["mean"]) / c["scale"] for i, c in enumerate(constants)], 1)
    doubles = [double.tobytes() for double in x_N4.astype("<f8").reshape(-1, 1)]
    # A float has four bytes, which chance brings about anywhere: two that stand beside each other
    # are a record's own.
    pairs = [pair.tobytes() for values in (x_N4, scaled_N4) for pair in values.astype("<f4").reshape(-1, 2)]
    texts = [row[name][:DIGITS].encode() for row in rows for name in COLUMNS]
    names = [row["patient"].encode() for row in rows]
    return [*doubles, *(double.hex().encode() for double in doubles), *pairs, *texts, *names]


def found_in(data: bytes, looked_for: list[bytes]) -> list[bytes]:
    return [trace for trace in looked_for if trace in data]


def test_search_finds_what_is_there(exposed: Exposed, tmp_path: Path) -> None:
    looked_for = traces(exposed.source, exposed.dataset)
    table = Table.read(exposed.source, ReadingTerms(drop=("patient",), target="finding"))
    table.write_npz(tmp_path / "records.npz")
    floats = np.stack([table.arrays[name] for name in COLUMNS], 1).astype("<f4").tobytes()
    assert len(found_in((tmp_path / "records.npz").read_bytes(), looked_for)) == 40
    assert len(found_in(exposed.source.read_bytes(), looked_for)) == 40 + 10
    assert len(found_in(floats, looked_for)) == 20


def test_scientists_processes_cannot_read_the_private_folder(exposed: Exposed) -> None:
    for reader in (["cat", str(exposed.source)], ["ls", str(exposed.source.parent)]):
        assert subprocess.run(reader, capture_output=True).returncode == 0
        assert subprocess.run([*exposed.hidden, *reader], capture_output=True).returncode != 0


def test_job_went_through_all_the_same(exposed: Exposed) -> None:
    assert exposed.scientist.state(exposed.id) == State.SETTLED
    assert exposed.scientist.home.journal.happened(exposed.id, history.Received)


def test_no_record_is_in_the_store(exposed: Exposed) -> None:
    looked_for = traces(exposed.source, exposed.dataset)
    files = [path for path in exposed.owner.store_folder.rglob("*") if path.is_file()]
    assert len(files) > 10
    assert [path for path in files if found_in(path.read_bytes(), looked_for)] == []


def test_no_record_is_on_the_chain(exposed: Exposed, reader: Chain) -> None:
    written = []
    for number in range(reader.head() + 1):
        block = reader.node.request("eth_getBlockByNumber", hex(number), True)
        written += [transaction["input"] for transaction in block["transactions"]]
    for log in reader.node.request("eth_getLogs", {"fromBlock": "0x0", "toBlock": "latest"}):
        written += [log["data"], *log["topics"]]
    data = b"\n".join(bytes.fromhex(text[2:]) for text in written)
    assert len(data) > 10_000
    assert found_in(data, traces(exposed.source, exposed.dataset)) == []


def test_no_record_is_in_any_log(exposed: Exposed) -> None:
    looked_for, owner = traces(exposed.source, exposed.dataset), exposed.owner.home.settings
    logs = [*exposed.logs.iterdir(), *owner.home.rglob("worker.log"), *owner.home.glob("*.db*")]
    logs += [path for path in owner.devnet.glob("*") if path.is_file()]
    assert {"owner.log", "scientist.log", "worker.log", "journal.db", "transactions.db", "anvil.log"} <= {
        path.name for path in logs
    }
    assert [path for path in logs if found_in(path.read_bytes(), looked_for)] == []


def test_no_record_is_in_the_scientists_home(exposed: Exposed) -> None:
    looked_for = traces(exposed.source, exposed.dataset)
    files = [path for path in exposed.scientist.home.settings.home.rglob("*") if path.is_file()]
    assert "model.safetensors" in {path.name for path in files}
    assert [path for path in files if found_in(path.read_bytes(), looked_for)] == []


def test_no_copy_of_the_records_outlives_the_job(exposed: Exposed) -> None:
    looked_for = traces(exposed.source, exposed.dataset)
    files = [path for path in exposed.owner.home.settings.home.rglob("*") if path.is_file()]
    assert [path for path in files if found_in(path.read_bytes(), looked_for)] == []
