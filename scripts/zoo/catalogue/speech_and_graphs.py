"""Speech: Hugging Face's; graphs of a fixed number of nodes: PyTorch Geometric's dense layers."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from scripts.zoo.architecture import Architecture

FAMILY = "graph, speech"
SMALL = {
    "hidden_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "conv_dim": [8, 8],
    "conv_kernel": [8, 4],
    "conv_stride": [4, 2],
    "num_feat_extract_layers": 2,
    "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 2,
    "num_labels": 3,
    "classifier_proj_size": 16,
    "mask_time_prob": 0.0,
    "mask_feature_prob": 0.0,
    "layerdrop": 0.0,
    "feat_extract_norm": "layer",
}
SOUND = (("F32", (400,)),)
WAVES = ["Wav2Vec2", "Hubert", "WavLM", "SEW", "UniSpeech", "UniSpeechSat", "Data2VecAudio", "Wav2Vec2Conformer"]
DENSE = ["DenseGCNConv", "DenseGINConv", "DenseSAGEConv", "DenseGraphConv", "DenseGATConv"]
NODES, CHANNELS = 6, 4
GRAPH = (("F32", (NODES, CHANNELS)), ("F32", (NODES, NODES)))


def _all() -> Iterator[Architecture]:
    import transformers

    for name in WAVES:
        kind = getattr(transformers, f"{name}ForSequenceClassification")
        make = partial(_make, kind, getattr(transformers, f"{name}Config"), SMALL)
        yield Architecture(f"transformers/{name}", FAMILY, make, SOUND, "logits")
    spectrum = {
        "hidden_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 4,
        "intermediate_size": 64,
        "max_length": 32,
        "num_mel_bins": 16,
        "patch_size": 8,
        "num_labels": 3,
    }
    make = partial(_make, transformers.ASTForAudioClassification, transformers.ASTConfig, spectrum)
    yield Architecture("transformers/AST", FAMILY, make, (("F32", (32, 16)),), "logits")
    whisper = {
        "d_model": 32,
        "encoder_layers": 1,
        "encoder_attention_heads": 4,
        "encoder_ffn_dim": 64,
        "num_mel_bins": 8,
        "max_source_positions": 16,
        "vocab_size": 50,
        "num_labels": 3,
        "pad_token_id": 0,
    }
    make = partial(_make, transformers.WhisperForAudioClassification, transformers.WhisperConfig, whisper)
    yield Architecture("transformers/Whisper", FAMILY, make, (("F32", (8, 32)),), "logits")
    for name in DENSE:
        yield Architecture(f"torch_geometric/{name}", FAMILY, partial(_dense, name), GRAPH)


def _dense(name: str) -> Any:
    from torch import nn
    from torch_geometric.nn import dense

    kind = getattr(dense, name)
    return kind(nn.Linear(CHANNELS, 8)) if name == "DenseGINConv" else kind(CHANNELS, 8)


def _make(kind: Any, config: Any, options: dict[str, Any]) -> Any:
    return kind(config(**options))


ARCHITECTURES = tuple(_all())
