"""Hugging Face transformers: encoders of text, with a head for classes."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from scripts.zoo.architecture import Architecture, tokens

SMALL = {
    "vocab_size": 50,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 64,
    "num_labels": 3,
    "pad_token_id": 49,
}
OTHERWISE: dict[str, dict[str, Any]] = {
    "Bert": {},
    "Roberta": {},
    "XLMRoberta": {},
    "XLMRobertaXL": {},
    "Camembert": {},
    "RobertaPreLayerNorm": {},
    "Albert": {"embedding_size": 16},
    "DistilBert": {"dim": 32, "hidden_dim": 64, "n_layers": 2, "n_heads": 4},
    "Electra": {"embedding_size": 16},
    "Deberta": {"relative_attention": True, "pos_att_type": ["c2p", "p2c"]},
    "DebertaV2": {"relative_attention": True, "pos_att_type": ["c2p", "p2c"]},
    "MPNet": {},
    "Funnel": {"d_model": 32, "n_head": 4, "d_head": 8, "d_inner": 64, "block_sizes": [1, 1]},
    "BigBird": {"attention_type": "original_full"},
    "Longformer": {"attention_window": 4},
    "FNet": {},
    "RoFormer": {"embedding_size": 32},
    "SqueezeBert": {"embedding_size": 32, "q_groups": 2, "k_groups": 2, "v_groups": 2},
    "MobileBert": {"embedding_size": 16, "intra_bottleneck_size": 16, "num_feedforward_networks": 1},
    "ConvBert": {"embedding_size": 32},
    "Nystromformer": {"num_landmarks": 8, "segment_means_seq_len": 8},
    "Yoso": {"use_expectation": True},
    "Ernie": {},
    "MegatronBert": {},
    "ModernBert": {"global_attn_every_n_layers": 2, "cls_token_id": 1, "sep_token_id": 2},
    "XLNet": {"d_model": 32, "n_layer": 2, "n_head": 4, "d_inner": 64},
    "XLM": {"emb_dim": 32, "n_layers": 2, "n_heads": 4, "n_words": 50},
    "Flaubert": {"emb_dim": 32, "n_layers": 2, "n_heads": 4, "n_words": 50},
    "LayoutLM": {"max_2d_position_embeddings": 40},
    "Canine": {
        "downsampling_rate": 2,
        "num_hash_buckets": 50,
        "local_transformer_stride": 4,
        "max_position_embeddings": 64,
    },
    "IBert": {},
    "Luke": {"entity_vocab_size": 20, "entity_emb_size": 16},
    "RemBert": {"input_embedding_size": 16, "output_embedding_size": 16},
    "Data2VecText": {},
    "Xmod": {"languages": ["en_XX"], "default_language": "en_XX"},
    "EuroBert": {"head_dim": 8},
    "Perceiver": {"d_model": 32, "d_latents": 32, "num_latents": 4, "num_self_attends_per_block": 1},
    "GPT2": {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 40},
}
UNKNOWN = {"Funnel": ("num_hidden_layers",), "XLNet": ("max_position_embeddings",)}
"""Options that a configuration does not take."""


def _all() -> Iterator[Architecture]:
    import transformers

    for name, options in OTHERWISE.items():
        config = getattr(transformers, f"{name}Config", None)
        kind = getattr(transformers, f"{name}ForSequenceClassification", None)
        length = 16 if name == "Canine" else 8
        shared = {key: value for key, value in SMALL.items() if key not in UNKNOWN.get(name, ())}
        make = partial(_make, kind, config, {**shared, **options})
        yield Architecture(f"transformers/{name}", "text encoder", make, tokens(length), "logits")


def _make(kind: Any, config: Any, options: dict[str, Any]) -> Any:
    return kind(config(**options))


ARCHITECTURES = tuple(_all())
