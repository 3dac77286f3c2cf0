"""Time series: tsai, and Hugging Face's."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from importlib import import_module
from typing import Any

from scripts.zoo.architecture import Architecture, series

CHANNELS, CLASSES, LENGTH = 3, 4, 48
BY_CHANNELS = {
    "FCN": "FCN",
    "ResNet": "ResNet",
    "ResCNN": "ResCNN",
    "XceptionTime": "XceptionTime",
    "InceptionTime": "InceptionTime",
    "OmniScaleCNN": "OmniScaleCNN",
    "XResNet1d": "xresnet1d18",
    "RNN": "LSTM",
    "RNN_FCN": "LSTM_FCN",
    "TCN": "TCN",
    "MLP": "MLP",
    "TST": "TST",
    "TSTPlus": "TSTPlus",
    "TSiTPlus": "TSiTPlus",
    "PatchTST": "PatchTST",
    "gMLP": "gMLP",
    "XCM": "XCM",
    "TransformerModel": "TransformerModel",
    "mWDN": "mWDN",
    "TSPerceiver": "TSPerceiver",
}


def _all() -> Iterator[Architecture]:
    for module, name in BY_CHANNELS.items():
        yield Architecture(f"tsai/{name}", "time series", partial(_tsai, module, name), series(CHANNELS, LENGTH))
    import transformers

    small = {
        "d_model": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "ffn_dim": 32,
        "context_length": LENGTH,
        "num_input_channels": CHANNELS,
        "prediction_length": 8,
        "patch_length": 8,
        "patch_stride": 8,
        "num_layers": 1,
    }
    shape = (("F32", (LENGTH, CHANNELS)),)
    for name in ("PatchTSTForPrediction", "PatchTSMixerForPrediction", "PatchTSTForClassification"):
        config = getattr(transformers, name.split("For")[0] + "Config")
        make = partial(_make, getattr(transformers, name), config, {**small, "num_targets": 3, "loss": "mse"})
        output = "prediction_logits" if "Class" in name else "prediction_outputs"
        yield Architecture(f"transformers/{name}", "time series", make, shape, output)


def _make(kind: Any, config: Any, options: dict[str, Any]) -> Any:
    return kind(config(**options))


def _tsai(module: str, name: str) -> Any:
    kind = getattr(import_module(f"tsai.models.{module}"), name)
    takes_length = kind.__name__ in {
        "OmniScaleCNN",
        "MLP",
        "TST",
        "TSTPlus",
        "TSiTPlus",
        "gMLP",
        "XCM",
        "mWDN",
        "LSTM_FCN",
        "TSPerceiver",
    }
    if name == "PatchTST":
        return kind(CHANNELS, None, LENGTH, pred_dim=8, patch_len=8, stride=4)
    return kind(CHANNELS, CLASSES, LENGTH) if takes_length else kind(CHANNELS, CLASSES)


ARCHITECTURES = tuple(_all())
