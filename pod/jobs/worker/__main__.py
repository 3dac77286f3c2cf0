"""`python -m fitchain.pod.jobs.worker FOLDER`: the process that `Worker` starts."""

import sys

from fitchain.pod.jobs.worker.child import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
