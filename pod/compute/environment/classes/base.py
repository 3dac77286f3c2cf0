"""What an environment class is: a name, and everything that the name promises.

Replay is compared for equality, never within a tolerance, so everything that moves a last bit is
fixed here: the vector width and the vendor-neutral path of each kernel library, the number of
threads (partial sums are added in another order with another number), deterministic kernels.
"""

from __future__ import annotations

import platform
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from fitchain.pod.values.digest import Digest
from fitchain.pod.values.errors import EnvironmentRefused
from fitchain.pod.values.graph.admission import Admission

_REGISTERED: list[object] = []
"""Own kernels of this process, which last as long as they are held."""


@dataclass(frozen=True)
class EnvironmentClass:
    """A class of environments, on a CPU unless a subclass says otherwise.

    Args:
        name: as a recipe has it.
        settings: environment variables, besides those that number the threads; they count only when
            set before torch is imported.
        admits: what a graph may do, and which kernels of ours compute in place of torch's stock, in
            the whole process.
        shipped: the probe's digests that ship, by torch build and threads.
        device: torch's name of where it computes.
    """

    name: str
    settings: Mapping[str, str]
    admits: Admission
    shipped: Mapping[tuple[str, int], str]
    device: str = "cpu"

    def variables(self, threads: int) -> dict[str, str]:
        """Environment variables of a process with so many intra-op threads."""
        return {**self.settings, "OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}

    def shipped_probe(self, torch: str, threads: int) -> Digest | None:
        """The probe that ships for a torch build and so many threads; None where none does."""
        shipped = self.shipped.get((torch, threads))
        return None if shipped is None else Digest.parse(shipped)

    def refuse_host(self) -> None:
        """Refuse what no probe needs to run for.

        Raises:
            EnvironmentRefused: this system or processor is not of the class.
        """
        system = f"{platform.system()} on {platform.machine()}"
        if sys.platform != "linux" or platform.machine() != "x86_64":
            raise EnvironmentRefused(f"Fitchain trains on Linux on x86_64, and this is {system}", "use such a machine")

    def configure(self, threads: int) -> None:
        """Set torch in this process, whose variables are the class's.

        Raises:
            EnvironmentRefused: torch has not the kernels of the class.
        """
        import torch

        torch.set_num_threads(threads)
        if torch.get_num_interop_threads() != 1:  # torch allows the call only once in a process
            torch.set_num_interop_threads(1)
        torch.use_deterministic_algorithms(True)
        # NNPACK sizes its blocks, and so its sums, by the host's caches.
        torch.backends.nnpack.set_flags(False)  # type: ignore[no-untyped-call]
        torch.set_float32_matmul_precision("highest")
        torch.set_default_dtype(torch.float32)
        torch.set_flush_denormal(False)
        # Filling what is about to be written costs three percent. No admitted operator reads what
        # it has not written: the conformance suite fills, and finds the same bits.
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
        if own := self.admits.own_kernels:
            from fitchain.pod.compute.operators.own_kernels import register

            _REGISTERED.append(register(own))

    def seed(self, seed: int) -> None:
        """Seed every generator that an operator may draw from: on a CPU that is torch's default
        one."""
        import torch

        torch.default_generator.manual_seed(seed)
