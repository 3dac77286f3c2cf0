"""PEFT: small parts that are trained beside a frozen network."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from scripts.zoo.architecture import Architecture, image, tokens
from scripts.zoo.catalogue import transformers_decoders, transformers_text, transformers_vision

FAMILY = "fine-tuning (peft)"
ATTENTION = {"target_modules": ["query", "value"]}
METHODS: dict[str, dict[str, Any]] = {
    "Lora": {**ATTENTION, "r": 4, "lora_dropout": 0.1},
    "IA3": {**ATTENTION, "feedforward_modules": []},
    "AdaLora": {**ATTENTION, "total_step": 10, "tinit": 1, "tfinal": 1},
    "LoHa": {**ATTENTION, "r": 4},
    "LoKr": {**ATTENTION, "r": 4},
    "OFT": {**ATTENTION, "oft_block_size": 8},
    "BOFT": {**ATTENTION, "boft_block_size": 8},
    "Vera": {**ATTENTION, "r": 4},
    "FourierFT": {**ATTENTION, "n_frequency": 8},
    "HRA": {**ATTENTION, "r": 4},
    "LNTuning": {"target_modules": ["LayerNorm"]},
    "PromptTuning": {"num_virtual_tokens": 4},
}


def _all() -> Iterator[Architecture]:
    import peft

    for name, options in METHODS.items():
        config = getattr(peft, f"{name}Config", None)
        make = partial(_of_bert, config, {**options, "task_type": "SEQ_CLS"})
        yield Architecture(f"peft/{name} on BERT", FAMILY, make, tokens(), "logits")
    dora = {**ATTENTION, "r": 4, "use_dora": True, "task_type": "SEQ_CLS"}
    yield Architecture("peft/DoRA on BERT", FAMILY, partial(_of_bert, peft.LoraConfig, dora), tokens(), "logits")
    yield Architecture("peft/LoRA on GPT-2", FAMILY, partial(_of_decoder, "GPT2LMHead", ["c_attn"]), tokens(), "logits")
    llama = partial(_of_decoder, "LlamaForCausalLM", ["q_proj", "v_proj"])
    yield Architecture("peft/LoRA on Llama", FAMILY, llama, tokens(), "logits")
    yield Architecture("peft/LoRA on ViT", FAMILY, _of_vit, image(), "logits")


def _of_bert(config: Any, options: dict[str, Any]) -> Any:
    import peft
    import transformers

    base = transformers.BertForSequenceClassification(transformers.BertConfig(**transformers_text.SMALL))
    return peft.get_peft_model(base, config(**options))


def _of_decoder(name: str, targets: list[str]) -> Any:
    import peft

    base = next(
        each
        for each in transformers_decoders.ARCHITECTURES
        if each.name.endswith(name.removesuffix("ForCausalLM").removesuffix("LMHead"))
    ).make()
    return peft.get_peft_model(base, peft.LoraConfig(r=4, target_modules=targets, task_type="CAUSAL_LM"))


def _of_vit() -> Any:
    import peft
    import transformers

    base = transformers.ViTForImageClassification(transformers.ViTConfig(**transformers_vision.PATCHED))
    return peft.get_peft_model(base, peft.LoraConfig(r=4, target_modules="all-linear"))


ARCHITECTURES = tuple(_all())
