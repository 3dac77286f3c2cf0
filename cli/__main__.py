"""`python -m fitchain.cli`: the same command where it is not installed, and how pods are started beside this process."""

from __future__ import annotations

from fitchain.cli import main

main()
