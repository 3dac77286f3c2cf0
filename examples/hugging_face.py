"""A scientist's own fine-tuning of a Hugging Face model: which field a note of 24 tokens is about.

    pip install '.[hugging-face]'
    fitchain model publish examples/hugging_face.py:Classifier --dataset ID --output logits
    fitchain model publish examples/hugging_face.py:fine_tuning --dataset ID --output logits

A Trainer's model is published as it is, and so is what PEFT makes of it: what travels is what
`forward` computes of `input_ids`. What the Trainer would do with it, the recipe says in a job.
"""

from __future__ import annotations

import tempfile

import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor, nn
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments

TOKENS, LENGTH, FIELDS = 400, 24, 2


class PublicNotes(torch.utils.data.Dataset[dict[str, Tensor]]):
    """What the scientist has at home; here made up: a note is of the second field where most of its
    tokens are above the middle."""

    def __len__(self) -> int:
        return 64

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        tokens_T = torch.randint(2, TOKENS, (LENGTH,), generator=torch.Generator().manual_seed(index))
        return {"input_ids": tokens_T, "labels": (tokens_T > TOKENS // 2).float().mean().round().long()}


def trainer() -> Trainer:
    """A small BERT and what trains it at home; `from_pretrained` in its place takes a larger one."""
    torch.manual_seed(1)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    config = BertConfig(vocab_size=TOKENS, max_position_embeddings=LENGTH, num_labels=FIELDS, pad_token_id=0, **sizes)
    arguments = TrainingArguments(
        tempfile.mkdtemp(), max_steps=4, report_to=[], save_strategy="no", use_cpu=True, disable_tqdm=True
    )
    return Trainer(BertForSequenceClassification(config), arguments, train_dataset=PublicNotes())


def Classifier() -> nn.Module:
    """The Trainer's model after some steps at home; a job moves all of it."""
    at_home = trainer()
    at_home.train()
    model: nn.Module = at_home.model
    return model


def fine_tuning() -> nn.Module:
    """The same with LoRA: a job moves two thin matrices at each query and value, and the head."""
    targets = LoraConfig(task_type="SEQ_CLS", r=4, lora_alpha=8, lora_dropout=0.1, target_modules=["query", "value"])
    model: nn.Module = get_peft_model(Classifier(), targets)
    return model
