"""What is metered of a step's memory is what a host needs for it, and not much more."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import fitchain
from fitchain.pod.compute.environment import clean_variables
from tests.live_memory import ENVIRONMENT

KERNELS_BYTES = 48 << 20
"""What kernels and the allocator take besides, whatever is computed."""


@pytest.mark.long
def test_a_step_takes_what_is_metered_and_not_half_less(tmp_path: Path) -> None:
    root = str(Path(fitchain.__file__).parents[1])
    variables = {**clean_variables(ENVIRONMENT, tmp_path), "PYTHONPATH": root}
    done = subprocess.run(
        [sys.executable, "-m", "tests.live_memory"], cwd=root, env=variables, capture_output=True, text=True, check=True
    )
    for name, bytes_of in json.loads(done.stdout).items():
        assert bytes_of["taken"] <= bytes_of["metered"] + KERNELS_BYTES, (name, bytes_of)
        assert bytes_of["metered"] <= 1.6 * bytes_of["taken"] + KERNELS_BYTES, (name, bytes_of)
