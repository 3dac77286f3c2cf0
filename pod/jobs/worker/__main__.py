"""`python -m fitchain.pod.jobs.worker FOLDER LEVEL`: the process that `Worker` starts."""

import gc
import os
import sys

os.chdir("/")  # whatever carried it here: torch's libraries look for others in the working directory
gc.disable()  # what is imported stays: looking through it for garbage takes a tenth of the start

from fitchain.pod.jobs.worker.child import main  # noqa: E402

gc.freeze()
gc.enable()

if __name__ == "__main__":
    status = main(sys.argv[1:])
    sys.stderr.flush()
    # Nothing is left to be done: what libraries do at an end only looks through all of them again,
    # a hundred megabytes that were never in memory before.
    os._exit(status)
