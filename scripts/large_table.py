"""A table of very many records: made, registered, trained on; how much memory each takes.

    python -m scripts.large_table write FILE COUNT      30 columns of numbers and a target
    python -m scripts.large_table register FILE FOLDER  what registering computes; a job's records
    python -m scripts.large_table pass FILE             one pass of the reader, one SHA-256 a record
    python -m scripts.large_table prepare FOLDER STEPS  a job: a hundredth of the records held out
    python -m scripts.large_table train FOLDER          that job in a worker

All but the first and `prepare` print one JSON object: seconds of the processor, and the most memory
that the process, or its worker, ever had.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import resource
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from fitchain.pod.compute.dataset import (
    Policy,
    ReadingTerms,
    Spill,
    Table,
    fit_transform,
    mock_table,
    open_records,
    register,
    require_no_concern,
    verify_record,
)
from fitchain.pod.compute.dataset.arrow_cells import pyarrow
from fitchain.pod.compute.dataset.npz_file import write_npz
from fitchain.pod.compute.dataset.readers import open_source
from fitchain.pod.values.limits import TABLE_BYTES

COLUMNS, OPENED, TARGET, HELD_OUT = 30, 1000, "y", 0.01
KEY = bytes(range(32))
LINES_AT_ONCE, RECORDS_AT_ONCE = 10_000, 100_000


def write(path: Path, count: int) -> None:
    """Write a table of so many records, as the ending of its name says."""
    if path.suffix == ".csv":
        with path.open("w") as file:
            file.write(",".join([*(f"c{number}" for number in range(COLUMNS)), TARGET]) + "\n")
            for low in range(0, count, LINES_AT_ONCE):
                file.write(_lines(low, min(LINES_AT_ONCE, count - low)))
        return
    if path.suffix == ".parquet":
        _write_parquet(path, count)
        return
    write_npz(path, _columns(count), mock=False)


def _write_parquet(path: Path, count: int) -> None:
    pa = pyarrow()
    fields = [(f"c{number}", pa.float32() if number % 2 else pa.float64()) for number in range(COLUMNS)]
    schema = pa.schema([*fields, (TARGET, pa.int64())])
    with pa.parquet.ParquetWriter(path, schema) as file:
        for low in range(0, count, RECORDS_AT_ONCE):
            numbers, size = np.random.default_rng(low), min(RECORDS_AT_ONCE, count - low)
            cells = [numbers.normal(size=size).astype(kind.to_pandas_dtype()) for _, kind in fields]
            file.write_table(pa.table([*cells, numbers.integers(0, 2, size)], schema=schema))


def _lines(seed: int, count: int) -> str:
    numbers = np.random.default_rng(seed)
    cells = np.round(numbers.normal(size=(count, COLUMNS)) * 100, 3).tolist()
    classes = numbers.integers(0, 2, count).tolist()
    return "".join(f"{','.join(map(repr, row))},{kind}\n" for row, kind in zip(cells, classes, strict=True))


def _columns(count: int) -> Iterator[tuple[str, np.ndarray]]:
    for number in range(COLUMNS):
        dtype = np.float32 if number % 2 else np.float64
        yield f"c{number}", np.random.default_rng(number).normal(size=count).astype(dtype)
    yield TARGET, np.random.default_rng(COLUMNS).integers(0, 2, count)


def look(path: Path) -> dict[str, float]:
    """One pass of the reader over all columns, and one SHA-256 for each record as it is hashed."""
    count, record = 0, bytes(300)
    for slab in open_source(path, None, TABLE_BYTES).slabs(range(COLUMNS + 1)):
        count += len(slab.places)
    read_s = time.process_time()
    for _ in range(count):
        hashlib.sha256(record).digest()
    return {"records": count, "reader_s": read_s, "sha_s": time.process_time() - read_s, "peak_MB": peak_MB()}


def register_all(path: Path, folder: Path) -> dict[str, float]:
    """All that registering a table computes: what is decided, root, card, mock data; then openings
    of some of its records; and what a worker is given."""
    table = Table.read(path, ReadingTerms(target=TARGET), spill=Spill(folder))
    constants = fit_transform(table)
    require_no_concern(table, constants, frozenset())
    policy = Policy(models_may_reveal_records=True)
    registration = register(table, KEY, path.stem, policy=policy, constants=constants)
    mock_table(registration.card, table, 256, KEY)
    registration.leaves.save(folder / "leaves")
    registered_s = time.process_time()
    for opening in open_records(table, KEY, registration.leaves, range(0, table.count, table.count // OPENED)):
        verify_record(opening, registration.root)
    table.write_for_worker(folder / "records.npz")
    (folder / "transform.json").write_text(json.dumps(constants))
    return {"records": table.count, "register_s": registered_s, "peak_MB": peak_MB()}


def prepare(folder: Path, steps: int) -> None:
    """Write a job of some steps on them, at whose end the model is evaluated on those held out."""
    import torch
    from torch import nn

    from fitchain.pod.compute.environment import DEFAULT, Environment, installed_torch
    from fitchain.pod.compute.model.export import export
    from fitchain.pod.values.graph import Input
    from fitchain.pod.values.state import write_safetensors
    from scripts.sample_jobs import sample_recipe

    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(COLUMNS, 16), nn.ReLU(), nn.Linear(16, 2))
    graph, initial = export(net, [Input("x", "F32", (COLUMNS,))], 2)
    recipe = replace(
        sample_recipe(
            graph, initial, Environment(DEFAULT.name, 1, installed_torch()), steps=steps, segment_steps=steps, batch=256
        ),
        inputs=(tuple(f"c{number}" for number in range(COLUMNS)),),
        target=TARGET,
        rows=(0, Table.load(folder / "records.npz").count),
        held_out=HELD_OUT,
        transform=json.loads((folder / "transform.json").read_text()),
    )
    (folder / "recipe.json").write_bytes(recipe.encode())
    (folder / "graph.json").write_bytes(graph.encode())
    write_safetensors(folder / "initial.safetensors", initial)


def train(folder: Path) -> dict[str, float]:
    """Train that job in a worker. This process is without torch, since what it takes itself when it
    starts the worker counts as the worker's."""
    from fitchain.pod.jobs.worker import run_worker
    from fitchain.pod.jobs.worker.task import Context, Train
    from fitchain.pod.values.digest import ZERO, sha256

    ended = run_worker(folder, Train(Context(ZERO, sha256(b"seed"))))
    return {"steps": getattr(ended, "step", 0), "peak_MB": peak_of_children_MB()}


def peak_MB() -> float:
    """The most memory that this process ever had. What `getrusage` says of it counts whoever
    started it, too, before it became this program (proc(5): VmHWM does not)."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(lines["VmHWM"].split()[0]) * 1024 / 1e6


def peak_of_children_MB() -> float:
    """The most memory that a child of this process ever had, or this one when it started it."""
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024 / 1e6


def main() -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(prog="large_table", description=__doc__.split("\n", 1)[0])
    parser.add_argument("what", choices=["write", "register", "pass", "prepare", "train"])
    parser.add_argument("path", type=Path)
    parser.add_argument("rest", nargs="?")
    args = parser.parse_args()
    match args.what:
        case "write":
            write(args.path, int(args.rest))
        case "register":
            print(json.dumps(register_all(args.path, Path(args.rest))))
        case "pass":
            print(json.dumps(look(args.path)))
        case "prepare":
            prepare(args.path, int(args.rest))
        case "train":
            print(json.dumps(train(args.path)))


if __name__ == "__main__":
    main()
