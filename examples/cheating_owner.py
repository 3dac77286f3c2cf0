"""A data owner that cheats, for the demonstration: it shuffles the column to be learnt before it
trains, and does everything else as agreed. Its checkpoints are chained and anchored in time like an
honest owner's, and its certificate is signed.

    python examples/cheating_owner.py pod owner --home ...
"""

from __future__ import annotations

import json

import numpy as np

from fitchain.cli import main
from fitchain.pod.jobs.home import Home
from fitchain.pod.jobs.worker.task import Train
from fitchain.pod.parties.owner import run as owner_run
from fitchain.pod.ports.agreement import RunRecord
from fitchain.pod.values.ids import AgreementId
from fitchain.pod.values.job_folder import JobFolder

honestly_prepare = owner_run.prepare


def prepare(home: Home, id: AgreementId, run: RunRecord, folder: JobFolder, keep_every: int = 1) -> Train:
    """Give the worker the registered records, with their targets shuffled."""
    task = honestly_prepare(home, id, run, folder, keep_every)
    target = json.loads(folder.recipe.read_bytes())["target"]
    with np.load(folder.records) as file:
        columns = dict(file)
    columns[target] = np.random.default_rng(0).permutation(columns[target])
    np.savez(folder.records, **columns)
    return task


if __name__ == "__main__":
    owner_run.prepare = prepare
    main()
