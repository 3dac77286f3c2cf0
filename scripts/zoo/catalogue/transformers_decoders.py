"""Hugging Face transformers: decoders of text, and encoders with them."""

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
    "num_key_value_heads": 2,
    "intermediate_size": 64,
    "max_position_embeddings": 40,
    "head_dim": 8,
    "pad_token_id": 49,
    "bos_token_id": 0,
    "eos_token_id": 48,
}
FEW = {"vocab_size": 50, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 40}
EXPERTS = {
    **SMALL,
    "num_local_experts": 4,
    "num_experts": 4,
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 16,
    "n_shared_experts": 1,
    "first_k_dense_replace": 0,
    "n_group": 1,
    "topk_group": 1,
}
MIXED = {"num_local_experts": 2, "num_experts": 2, "num_experts_per_tok": 1, "moe_intermediate_size": 16}
OTHERWISE: dict[str, dict[str, Any]] = {
    "GPT2LMHead": FEW,
    "OpenAIGPTLMHead": FEW,
    "GPTNeoForCausalLM": {**SMALL, "attention_types": [[["global", "local"], 1]], "num_layers": 2, "num_heads": 4},
    "GPTNeoXForCausalLM": SMALL,
    "GPTJForCausalLM": {**FEW, "rotary_dim": 4},
    "CodeGenForCausalLM": {**FEW, "rotary_dim": 4, "n_head": 4},
    "OPTForCausalLM": {**SMALL, "ffn_dim": 64, "word_embed_proj_dim": 32},
    "BloomForCausalLM": {"vocab_size": 50, "hidden_size": 32, "n_layer": 2, "n_head": 4},
    "FalconForCausalLM": {key: value for key, value in SMALL.items() if key != "head_dim"},
    "MptForCausalLM": {"vocab_size": 50, "d_model": 32, "n_layers": 2, "n_heads": 4, "max_seq_len": 40},
    "BioGptForCausalLM": SMALL,
    "XGLMForCausalLM": {"vocab_size": 50, "d_model": 32, "num_layers": 2, "attention_heads": 4, "ffn_dim": 64},
    "CTRLLMHead": {"vocab_size": 50, "n_embd": 32, "n_layer": 2, "n_head": 4, "dff": 64, "n_positions": 40},
    **{
        f"{name}ForCausalLM": SMALL
        for name in [
            "Llama",
            "Mistral",
            "Qwen2",
            "Qwen3",
            "Gemma",
            "Gemma2",
            "Gemma3",
            "Phi",
            "Phi3",
            "StableLm",
            "Starcoder2",
            "Olmo",
            "Olmo2",
            "Cohere",
            "Cohere2",
            "Granite",
            "Nemotron",
            "SmolLM3",
            "Persimmon",
            "Glm",
            "Glm4",
            "Helium",
            "Exaone4",
            "Ernie4_5",
            "DiffLlama",
            "Arcee",
            "Seed_oss",
            "Apertus",
            "Ministral",
            "GPTBigCode",
        ]
    },
    "GPTBigCodeForCausalLM": FEW,
    "MixtralForCausalLM": {**SMALL, **MIXED},
    "Qwen2MoeForCausalLM": {**SMALL, **MIXED},
    "Ernie4_5_MoeForCausalLM": {**SMALL, "moe_num_experts": 4, "moe_k": 2, "moe_intermediate_size": 16},
    "SolarOpenForCausalLM": EXPERTS,
    "AfmoeForCausalLM": EXPERTS,
    "MiniMaxForCausalLM": EXPERTS,
    "GraniteMoeSharedForCausalLM": {**EXPERTS, "shared_intermediate_size": 16},
    "GptOssForCausalLM": EXPERTS,
    "JambaForCausalLM": {
        **EXPERTS,
        "attn_layer_period": 2,
        "attn_layer_offset": 1,
        "use_mamba_kernels": False,
        "mamba_d_state": 4,
    },
    "BitNetForCausalLM": SMALL,
    "DogeForCausalLM": SMALL,
    "Jais2ForCausalLM": SMALL,
    "CwmForCausalLM": SMALL,
    "VaultGemmaForCausalLM": SMALL,
    "MambaForCausalLM": {**SMALL, "state_size": 4},
    "Mamba2ForCausalLM": {**SMALL, "state_size": 4, "num_heads": 8, "head_dim": 8, "n_groups": 1, "chunk_size": 4},
    "RwkvForCausalLM": {"vocab_size": 50, "hidden_size": 32, "num_hidden_layers": 2, "context_length": 16},
}
RENAMED = {"Seed_oss": "SeedOss"}

MIXTURES = ("Mixtral", "Qwen2Moe")


def _all() -> Iterator[Architecture]:
    import transformers

    for name, options in OTHERWISE.items():
        plain = name.removesuffix("ForCausalLM").removesuffix("LMHead")
        plain = RENAMED.get(plain, plain)
        suffix = "LMHeadModel" if name.endswith("LMHead") else "ForCausalLM"
        kind, config = getattr(transformers, f"{plain}{suffix}", None), getattr(transformers, f"{plain}Config", None)
        if plain == "Gemma3":
            config = transformers.Gemma3TextConfig
        if plain in MIXTURES:
            batched = partial(_make_batched, kind, config, options)
            yield Architecture(f"transformers/{plain}, batched experts", "decoder LLM", batched, tokens(), "logits")
        make = partial(_make, kind, config, options)
        yield Architecture(f"transformers/{plain}", "decoder LLM", make, tokens(), "logits")


def _make(kind: Any, config: Any, options: dict[str, Any]) -> Any:
    return kind(config(**options))


def _make_batched(kind: Any, config: Any, options: dict[str, Any]) -> Any:
    """Experts by batched products: what the library groups, it counts by values."""
    made = config(**options)
    made._experts_implementation = "batched_mm"
    return kind(made)


ARCHITECTURES = tuple(_all())
