"""Hugging Face transformers: images and video."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from scripts.zoo.architecture import Architecture, image

SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
PATCHED = {**SMALL, "image_size": 32, "patch_size": 8}
STAGES = {"depths": [1, 1, 1, 1], "hidden_sizes": [8, 16, 24, 32]}
WINDOWED = {
    "image_size": 32,
    "patch_size": 4,
    "embed_dim": 16,
    "depths": [1, 1],
    "num_heads": [2, 2],
    "window_size": 4,
}
CLASSIFIERS: dict[str, dict[str, Any]] = {
    "ViT": PATCHED,
    "DeiT": PATCHED,
    "Beit": PATCHED,
    "Data2VecVision": PATCHED,
    "Dinov2": {**PATCHED, "mlp_ratio": 2},
    "Dinov2WithRegisters": {**PATCHED, "mlp_ratio": 2},
    "ViTMSN": PATCHED,
    "IJepa": PATCHED,
    "Siglip": {"vision_config": PATCHED},
    "Swin": WINDOWED,
    "Swinv2": WINDOWED,
    "ConvNext": STAGES,
    "ConvNextV2": STAGES,
    "ResNet": {**STAGES, "embedding_size": 8},
    "RegNet": {**STAGES, "embedding_size": 8, "groups_width": 8},
    "PoolFormer": {**STAGES},
    "Segformer": {**STAGES, "num_attention_heads": [1, 2, 2, 4], "decoder_hidden_size": 16},
    "Pvt": {**STAGES, "num_attention_heads": [1, 2, 2, 4], "image_size": 64},
    "PvtV2": {**STAGES, "num_attention_heads": [1, 2, 2, 4], "image_size": 64},
    "FocalNet": {"embed_dim": 8, "depths": [1, 1], "focal_levels": [1, 1], "focal_windows": [3, 3], "image_size": 32},
    "Hiera": {"embed_dim": 16, "depths": [1, 1, 1, 1], "image_size": [64, 64]},
    "MobileViT": {"hidden_sizes": [16, 16, 16], "neck_hidden_sizes": [8, 8, 8, 16, 16, 16, 16], "image_size": 64},
    "MobileViTV2": {"image_size": 64, "n_attn_blocks": [1, 1, 1]},
    "MobileNetV1": {"image_size": 64, "depth_multiplier": 0.25, "min_depth": 4},
    "MobileNetV2": {"image_size": 64, "depth_multiplier": 0.35},
    "Bit": {**STAGES, "embedding_size": 8, "num_groups": 4},
    "SwiftFormer": {"depths": [1, 1, 1, 1], "embed_dims": [8, 16, 24, 32]},
    "LevIt": {"image_size": 64},
}
LARGE = frozenset(
    [
        "Pvt",
        "PvtV2",
        "Hiera",
        "MobileViT",
        "MobileViTV2",
        "MobileNetV1",
        "MobileNetV2",
        "EfficientNet",
        "LevIt",
        "Cvt",
        "SwiftFormer",
    ]
)
PREFIXES = {"LevIt": "Levit", "PoolFormer": "PoolFormer"}


def _all() -> Iterator[Architecture]:
    import transformers

    for name, options in CLASSIFIERS.items():
        prefix = PREFIXES.get(name, name)
        config = partial(getattr(transformers, f"{prefix}Config"), **options, num_labels=5)
        kind = getattr(transformers, f"{prefix}ForImageClassification")
        cnn = name in {
            "ConvNext",
            "ConvNextV2",
            "ResNet",
            "RegNet",
            "MobileNetV1",
            "MobileNetV2",
            "EfficientNet",
            "Bit",
        }
        family = "vision CNN" if cnn else "vision transformer"
        yield Architecture(
            f"transformers/{name}", family, partial(_make, kind, config), image(64 if name in LARGE else 32), "logits"
        )
    kind, config = transformers.SegformerForSemanticSegmentation, transformers.SegformerConfig
    small = partial(config, **CLASSIFIERS["Segformer"], num_labels=3)
    yield Architecture(
        "transformers/Segformer decoder", "segmentation", partial(_make, kind, small), image(64), "logits"
    )
    film = {**PATCHED, "num_frames": 4, "tubelet_size": 2, "num_labels": 5}
    for name in ("VideoMAE", "Timesformer", "Vivit"):
        config = getattr(transformers, f"{name}Config")
        options = {**film, "tubelet_size": [2, 8, 8]} if name == "Vivit" else film
        make = partial(_make, getattr(transformers, f"{name}ForVideoClassification"), partial(config, **options))
        yield Architecture(f"transformers/{name}", "video", make, (("F32", (4, 3, 32, 32)),), "logits")


def _make(kind: Any, config: Any) -> Any:
    return kind(config())


ARCHITECTURES = tuple(_all())
