"""Tables: rtdl, TabM, TabNet, and transformers for columns."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from importlib import import_module
from typing import Any

from scripts.zoo.architecture import Architecture

COLUMNS: tuple[tuple[str, tuple[int, ...]], ...] = (("F32", (6,)),)
BLOCKS = {"n_blocks": 2, "d_block": 16, "dropout": 0.1}
TABM: dict[str, Any] = {**BLOCKS, "n_num_features": 6, "cat_cardinalities": [], "d_out": 2, "k": 4}
COLUMN_TRANSFORMER = {
    "categories": (3, 4),
    "num_continuous": 6,
    "dim": 16,
    "depth": 2,
    "heads": 2,
    "dim_head": 8,
    "dim_out": 2,
}


def _all() -> Iterator[Architecture]:
    def one(library: str, name: str, inputs: Any = COLUMNS, /, *arguments: Any, **options: Any) -> Architecture:
        make = partial(_make, library, name, arguments, options)
        return Architecture(f"{library}/{name}", "tabular", make, inputs)

    yield one("rtdl_revisiting_models", "MLP", COLUMNS, d_in=6, d_out=2, **BLOCKS)
    yield one(
        "rtdl_revisiting_models",
        "ResNet",
        COLUMNS,
        d_in=6,
        d_out=2,
        n_blocks=2,
        d_block=16,
        d_hidden=None,
        d_hidden_multiplier=2.0,
        dropout1=0.1,
        dropout2=0.0,
    )
    yield one(
        "rtdl_revisiting_models",
        "FTTransformer",
        (*COLUMNS, ("I64", (2,))),
        n_cont_features=6,
        cat_cardinalities=[3, 4],
        d_out=2,
        n_blocks=2,
        d_block=16,
        attention_n_heads=4,
        attention_dropout=0.1,
        ffn_d_hidden=None,
        ffn_d_hidden_multiplier=2.0,
        ffn_dropout=0.1,
        residual_dropout=0.0,
    )
    for name in ("LinearReLUEmbeddings", "PeriodicEmbeddings"):
        options = {"n_frequencies": 4, "lite": False} if name.startswith("Periodic") else {}
        yield one("rtdl_num_embeddings", name, COLUMNS, 6, 8, **options)
    yield one("tabm", "TabM", COLUMNS, **TABM, start_scaling_init="random-signs")
    for arch, start in {"tabm-mini": "random-signs", "tabm-packed": None}.items():
        variant = {**TABM, "start_scaling_init": start, "arch_type": arch}
        yield Architecture(f"tabm/{arch}", "tabular", partial(_make, "tabm", "TabM", (), variant), COLUMNS)
    yield Architecture("pytorch_tabnet/TabNet", "tabular", _tabnet, COLUMNS, "0")
    two = (("I64", (2,)), *COLUMNS)
    for name in ("TabTransformer", "FTTransformer"):
        yield one("tab_transformer_pytorch", name, two, **COLUMN_TRANSFORMER)


def _make(library: str, name: str, arguments: tuple[Any, ...], options: dict[str, Any]) -> Any:
    return getattr(import_module(library), name)(*arguments, **options)


def _tabnet() -> Any:
    import torch
    from pytorch_tabnet.tab_network import TabNet

    return TabNet(6, 2, 8, 8, 3, group_attention_matrix=torch.eye(6))


ARCHITECTURES = tuple(_all())
