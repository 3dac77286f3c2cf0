"""The catalogue: which architectures are tried, a file for each library or kind."""

from __future__ import annotations

FAMILIES = (
    "torchvision_models",
    "timm_models",
    "vit_pytorch_models",
    "transformers_vision",
    "transformers_text",
    "transformers_decoders",
    "segmentation",
    "medical",
    "tabular",
    "time_series",
    "speech_and_graphs",
    "fine_tuning",
)
"""Modules of this folder; each has its `ARCHITECTURES`."""
