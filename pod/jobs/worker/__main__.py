"""`python -m fitchain.pod.jobs.worker FOLDER LEVEL`: the process that `Worker` starts."""

import os
import sys

os.chdir("/")  # whatever carried it here: torch's libraries look for others in the working directory

from fitchain.pod.jobs.worker.child import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
