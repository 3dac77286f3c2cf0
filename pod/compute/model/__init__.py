"""Model: from an `nn.Module` to a graph and weights, and from these to something that trains (torch).

Stands after `graph` and before `sealed`. `load` and `export` run in the scientist's process, on the scientist's own code; `kernels`,
`plan`, `dry` and `program` run what anyone sent, and never anybody's code. All tensors are on the CPU; B is the batch dimension.
"""

from __future__ import annotations

from fitchain.pod.compute.model.export import export
from fitchain.pod.compute.model.load import load_module, restore
from fitchain.pod.compute.model.program import Program
from fitchain.pod.compute.model.shape_check import Cost, dry_run
from fitchain.pod.compute.model.tensors import fill, new_tensor, tensor_bytes

__all__ = ["Cost", "Program", "dry_run", "export", "fill", "load_module", "new_tensor", "restore", "tensor_bytes"]
