"""vit-pytorch: vision transformers as papers have them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from importlib import import_module
from typing import Any

from scripts.zoo.architecture import Architecture, image

SMALL = {"image_size": 64, "patch_size": 16, "num_classes": 5, "dim": 32, "depth": 2, "heads": 2, "mlp_dim": 64}
MODELS: dict[str, dict[str, Any]] = {
    "rvt.RvT": SMALL,
    "vit_with_patch_dropout.ViT": {**SMALL, "patch_dropout": 0.25},
    "vit_with_patch_merger.ViT": {**SMALL, "patch_merge_layer": 1, "patch_merge_num_tokens": 4},
    "simple_vit_with_hyper_connections.SimpleViT": {**SMALL, "num_residual_streams": 2},
    "ats_vit.ViT": {**SMALL, "max_tokens_per_depth": (8, 4)},
    "pit.PiT": {**SMALL, "patch_size": 8, "depth": (1, 1)},
    "regionvit.RegionViT": {"dim": (8, 16, 24, 32), "depth": (1, 1, 1, 1), "window_size": 2, "num_classes": 5},
    "max_vit.MaxViT": {
        "num_classes": 5,
        "dim_conv_stem": 8,
        "dim": 8,
        "dim_head": 8,
        "depth": (1, 1),
        "window_size": 4,
        "mbconv_expansion_rate": 2,
        "mbconv_shrinkage_rate": 0.25,
    },
    "cross_vit.CrossViT": {
        "image_size": 64,
        "num_classes": 5,
        "depth": 1,
        "sm_dim": 16,
        "sm_patch_size": 8,
        "sm_enc_depth": 1,
        "sm_enc_heads": 2,
        "lg_dim": 24,
        "lg_patch_size": 16,
        "lg_enc_depth": 1,
        "lg_enc_heads": 2,
    },
}


def _all() -> Iterator[Architecture]:
    for name, options in MODELS.items():
        module, kind = name.split(".")
        make = partial(_make, f"vit_pytorch.{module}", kind, options)
        yield Architecture(f"vit_pytorch/{module}", "vision transformer", make, image(64))


def _make(module: str, kind: str, options: dict[str, Any]) -> Any:
    return getattr(import_module(module), kind)(**options)


ARCHITECTURES = tuple(_all())
