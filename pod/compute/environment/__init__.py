"""Environment classes: what makes a replay exact, and the probe by which a host shows that it
reproduces a class.

`classes` has the classes, `process` brings a process into one, `uncompiled` keeps torch's compiler
out of it, `probing` is the work whose digest identifies it, `checking` runs that work in a process
of its own and compares. Nothing here imports torch when it is imported: the variables of a class
must be set before torch is, so the probe and every training run in a fresh process.
"""

from __future__ import annotations

from fitchain.pod.compute.environment.checking import check, describe_host, host_cache, probe
from fitchain.pod.compute.environment.classes import (
    CLASSES,
    DEFAULT,
    NATIVE,
    EnvironmentClass,
    environment_class,
)
from fitchain.pod.compute.environment.process import (
    clean_variables,
    configure,
    expected_probe,
    installed_torch,
    shipped_environments,
    shipped_probe,
)
from fitchain.pod.values.recipe import Environment

__all__ = [
    "CLASSES",
    "DEFAULT",
    "NATIVE",
    "Environment",
    "EnvironmentClass",
    "check",
    "clean_variables",
    "configure",
    "describe_host",
    "environment_class",
    "expected_probe",
    "host_cache",
    "installed_torch",
    "probe",
    "shipped_environments",
    "shipped_probe",
]
