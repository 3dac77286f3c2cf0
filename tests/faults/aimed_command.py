"""The command line in a process that ends by SIGKILL at a given point: `python -m
tests.faults.aimed_command POINT ARGUMENTS`, with points as `tests.faults.killable_pod` has them."""

from __future__ import annotations

import sys

from fitchain.cli import main
from tests.faults.killable_pod import aim

if __name__ == "__main__":
    aim(sys.argv.pop(1), None)
    main()
