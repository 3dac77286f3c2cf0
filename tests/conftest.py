"""What every test gets: an environment without the person's own settings, the two speeds, and the
fixtures of the plugins."""

from __future__ import annotations

import os

# A test must not depend on, or touch, the pods of whoever runs it.
for variable in [name for name in os.environ if name.startswith("FITCHAIN_")]:
    del os.environ[variable]

pytest_plugins = [
    "tests.speeds",
    "tests.optional",
    "tests.chain_fixtures",
    "tests.local_store",
    "tests.pods",
    "tests.ipfs_fixtures",
    "tests.agreements",  # before those that import it
    "tests.audit_actors",
    "tests.audit_scenario",
    "tests.audited_workshop",
    "tests.cli_fixtures",
]
