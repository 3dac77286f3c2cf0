"""Model: from an `nn.Module` to a graph and weights, and from these to something that trains
(torch).

`load`, `frameworks`, `weights`, `export`, `output`, `constants`, `masks`, `transforms`,
`decisions`, `sizes`, `witness`, `trial`, `restored`, `fidelity`, `dataflow`, `looks`, `kept_state`,
`sources`, `lowering`, `composites`, `rewrites` and `torch_output` run in the scientist's process,
on the scientist's own code (`export` is imported by its name alone: a worker need not wait for it);
`executor`, `shape_check`, `live`, `traps` and `program` run what anyone sent, and never anybody's
code; `onnx_file` writes that for other runtimes; `tensors` serves all of them; `module` is what a
delivered model is in a program. All tensors are on the CPU; B is the batch dimension.
"""

from __future__ import annotations

from fitchain.pod.compute.model.load import ModuleSource, load_module, module_name, restore, take_module
from fitchain.pod.compute.model.program import Program
from fitchain.pod.compute.model.shape_check import Cost, dry_run, step_work
from fitchain.pod.compute.model.tensors import fill, new_tensor, tensor_bytes

__all__ = [
    "Cost",
    "ModuleSource",
    "Program",
    "dry_run",
    "fill",
    "load_module",
    "module_name",
    "new_tensor",
    "restore",
    "step_work",
    "take_module",
    "tensor_bytes",
]
