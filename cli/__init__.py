"""The command `fitchain`: a thin layer over `pod` that parses, calls it and prints."""

from __future__ import annotations


def main() -> None:
    """Run the command line of this process and exit with its code."""
    from fitchain.cli.app import main as run

    run()
