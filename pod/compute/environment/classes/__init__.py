"""Environment classes, a file each: what a host must be and set so that a replay has equal bits.

`base` says what a class is; `cpu_x86_64_v3` and `cpu_native` are those of this release. Whoever
adds one adds its file and names it in `CLASSES`. Nothing here imports torch when it is imported.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from fitchain.pod.compute.environment.classes.base import EnvironmentClass
from fitchain.pod.compute.environment.classes.cpu_native import NATIVE
from fitchain.pod.compute.environment.classes.cpu_x86_64_v3 import X86_64_V3
from fitchain.pod.values.errors import EnvironmentRefused
from fitchain.pod.values.recipe.draft import DEFAULT_CLASS

CLASSES: Mapping[str, EnvironmentClass] = MappingProxyType({each.name: each for each in (X86_64_V3, NATIVE)})
"""The classes of this release by name."""


def environment_class(name: str) -> EnvironmentClass:
    """The class of a name.

    Raises:
        EnvironmentRefused: there is no such class.
    """
    if name not in CLASSES:
        raise EnvironmentRefused(
            f"the environment class {name!r} is not known here", f"this release knows {' and '.join(CLASSES)}"
        )
    return CLASSES[name]


DEFAULT = environment_class(DEFAULT_CLASS)
"""The class of a draft that names none."""

__all__ = ["CLASSES", "DEFAULT", "NATIVE", "X86_64_V3", "EnvironmentClass", "environment_class"]
