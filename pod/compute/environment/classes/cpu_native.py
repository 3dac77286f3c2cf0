"""`cpu-native`: equal bits on CPUs of one vendor and vector width, which run the same stock
kernels, at their speed. It admits whatever has a record, and ships no probe: an owner publishes its
own."""

from __future__ import annotations

from fitchain.pod.compute.environment.classes.base import EnvironmentClass
from fitchain.pod.values.graph.admission import Admission

NATIVE = EnvironmentClass(
    name="cpu-native",
    settings={"MKL_DYNAMIC": "FALSE", "OMP_DYNAMIC": "FALSE"},
    admits=Admission("the class cpu-native does not admit"),
    shipped={},
)
