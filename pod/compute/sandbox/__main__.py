"""`python -m fitchain.pod.compute.sandbox --hide FOLDER -- COMMAND ...` runs a command that cannot
read the folder."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from fitchain.pod.compute.sandbox.confine import hide
from fitchain.pod.values.errors import FitchainError


def main(arguments: list[str]) -> int:
    """Hide the folder, then become the command.

    Returns:
        2 for a wrong call, 3 where the folder cannot be hidden or the command cannot be run;
        otherwise it does not return.
    """
    if len(arguments) < 4 or arguments[0] != "--hide" or arguments[2] != "--":
        print("usage: python -m fitchain.pod.compute.sandbox --hide FOLDER -- COMMAND ...", file=sys.stderr)
        return 2
    try:
        hide(Path(arguments[1]))
        os.execvp(arguments[3], arguments[3:])
    except FitchainError as error:
        print(error.message, error.hint, sep="\n", file=sys.stderr)
    except OSError as error:
        print(f"the command {arguments[3]} cannot be run: {error.strerror}", file=sys.stderr)
    return 3


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
