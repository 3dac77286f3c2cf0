"""Model: from an `nn.Module` to a graph and weights, and from these to something that trains (torch).

Stands after `graph` and before `sealed`. Sketch of the public names; the code follows.

    load_module(path, name) -> nn.Module                       runs the scientist's own file
    export(module, inputs, batch) -> (Graph, dict[str, TensorBytes])
    dry_run(graph, batch, limits) -> Cost                      shapes and bytes on torch's meta device, nothing allocated
    Program(graph, tensors, limits)                            `.parameters`, `.buffers`: dict[str, torch.Tensor] that it owns;
                                                               `.trainable`: those parameters that an optimizer moves;
                                                               `.frozen`: names that training can never change
    program(*inputs, training=True) -> torch.Tensor            buffers are updated in place when training
    tensor_bytes(kind, tensor) -> TensorBytes                  a view of a contiguous CPU tensor's memory, no copy
    restore(module, tensors)                                   copies trained tensors back into the scientist's module
"""

from __future__ import annotations
