"""`python -m fitchain.cli`: the command where it is not installed, and how pods are started."""

from __future__ import annotations

from fitchain.cli import main

main()
