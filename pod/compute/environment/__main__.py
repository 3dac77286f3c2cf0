"""`python -m fitchain.pod.compute.environment probe CLASS THREADS` prints the class's probe digest
on this host.

The variables are set here, before anything imports torch; set by a caller they are the same.
"""

from __future__ import annotations

import os
import sys

from fitchain.pod.compute.environment.classes import environment_class
from fitchain.pod.compute.environment.process import configure, installed_torch, refuse_other_host
from fitchain.pod.values.errors import FitchainError
from fitchain.pod.values.recipe import Environment


def main(arguments: list[str]) -> int:
    """Print the probe's digest.

    Returns:
        0, 2 for a wrong call, 3 where the class cannot be had here.
    """
    if len(arguments) != 3 or arguments[0] != "probe" or not arguments[2].isdigit():
        print("usage: python -m fitchain.pod.compute.environment probe CLASS THREADS", file=sys.stderr)
        return 2
    try:
        environment = Environment(arguments[1], int(arguments[2]), installed_torch())
        refuse_other_host(environment)
        of = environment_class(environment.name)
        os.environ.update(of.variables(environment.threads))
        from fitchain.pod.compute.environment.probing import probe_digest
        from fitchain.pod.compute.environment.uncompiled import leave_out_compiler

        leave_out_compiler()
        configure(environment)

        print(probe_digest(of))
    except FitchainError as error:
        print(error.message, error.hint, sep="\n", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
