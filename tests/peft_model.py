"""A module that PEFT wrapped, as a delta over what it wraps: run by a test in a process of its own,
where the zoo's libraries are on the path."""

from __future__ import annotations

import json

from peft import LoraConfig, get_peft_model

from fitchain.pod.compute.model.export import export
from fitchain.pod.compute.model.tensors import tensor_bytes
from fitchain.pod.values.delta import ModelFile, inventory_of
from fitchain.pod.values.graph import Input
from tests.fine_tuning import pretrained

if __name__ == "__main__":
    base = {name: tensor_bytes("parameter", tensor) for name, tensor in pretrained().state_dict().items()}
    module = get_peft_model(pretrained(), LoraConfig(target_modules=["0", "2"], r=2))
    _, tensors = export(module, [Input("x", "F32", (4,))], 4)
    file = ModelFile.over(tensors, inventory_of(base))
    print(json.dumps({"own": sorted(file.own), "shared": {name: each.name for name, each in file.shared.items()}}))
