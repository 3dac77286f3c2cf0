"""What every test gets: an environment without the person's own settings, and the fixtures that start a chain."""

from __future__ import annotations

import importlib.util
import os

from hypothesis import HealthCheck, settings

# A test must not depend on, or touch, the pods of whoever runs it.
for variable in [name for name in os.environ if name.startswith("FITCHAIN_")]:
    del os.environ[variable]

# Examples are the same in every run and no test depends on time; the nightly run looks further and elsewhere.
settings.register_profile("usual", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("nightly", deadline=None, max_examples=2000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "usual"))

if importlib.util.find_spec("tests.chain_fixtures"):
    pytest_plugins = [
        "tests.chain_fixtures",
        "tests.pods",
        "tests.ipfs_fixtures",
        "tests.audit_actors",
        "tests.agreements",
        "tests.audit_scenario",
    ]
