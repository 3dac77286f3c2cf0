"""Operators: what a graph may do, a record each.

A graph comes from a stranger, so an operator is admitted only if it is named here; and it is named
here only if it reads nothing but its arguments, checks every index it is given, and makes shapes
that depend on shapes alone. Never admitted:

- uninitialised, foreign or out-of-bounds memory: `empty*`, `new_empty*` (export writes zeros),
  `as_strided*`, `set_`, `resize_*`, `from_file`, `embedding_renorm_`, `max_unpool*`;
- shapes or branches that depend on values: `nonzero`, `masked_select`, `unique*`, `item`, `one_hot`
  without a number of classes;
- anything sparse, quantised, complex, on disk, or with a kernel of its own.

A new operator is one record (`record` says of what it consists), in the module of its kind:
`products`, `layers`, `elementwise`, `reductions`, `shapes`.
"""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from types import MappingProxyType

from fitchain.pod.values.graph.operators import elementwise, layers, products, reductions, shapes
from fitchain.pod.values.graph.operators.record import Operator

_RECORDS = tuple(record for kind in (products, layers, elementwise, reductions, shapes) for record in kind.RECORDS)
OPERATORS: Mapping[str, Operator] = MappingProxyType({record.name: record for record in _RECORDS})
"""Every operator by name."""

_FFT = "its bits differ between processors; write it as a product with a constant matrix of cosines and sines"
COMPLEX = (
    "torch rounds their products in one way or another by where a number lies; keep cos and sin apart, and rotate by"
    " a * cos - b * sin and a * sin + b * cos"
)
"""Why no class has complex numbers, and what to do instead."""
_DECOMPOSED = "its steps and signs differ between libraries; torch.linalg.qr and solve are admitted"
_REJECTING = (
    "it draws again and again until a number is taken, and how often follows from values; draw with torch.randn or"
    " torch.rand: in place of a Beta (1 - u ** (1 / b)) ** (1 / a), of a Dirichlet the softmax of normal numbers"
)
_CHOLESKY = (
    "its steps differ between libraries; keep the lower triangle itself as what is learnt, and give it as scale_tril,"
    " or take Independent(Normal(...), 1) where it is diagonal"
)
_FUNCTIONAL = "write the gradient or the batch dimension out in forward, without torch.func"
_NEVER = {
    "aten.empty": "uninitialised memory would enter the model; use zeros",
    "aten.item": "the computation may not depend on a value read back into Python; use torch.where",
    "aten.nonzero": "shapes may not depend on values; use torch.where or a mask",
    "aten.bincount": "shapes may not depend on values; use one_hot(x, classes).sum(0)",
    "aten.scatter": "nothing is combined by index but by scatter_add and index_add; use those, torch.where or a mask",
    "aten.index_reduce": "nothing is combined by index but by scatter_add and index_add; use those or a mask",
    "aten.fft_": _FFT,
    "aten._fft_": _FFT,
    "aten.stft": _FFT,
    "aten.istft": _FFT,
    "aten.as_strided": "it reads memory without checks; use slices, views or unfold",
    "aten.embedding_renorm_": "max_norm changes the rows that are looked up, in evaluation, too; leave it out and look"
    " them up in torch.renorm(weight, 2, 0, max_norm)",
    "aten._embedding_bag": "a library picks its kernel by the processor; look rows up with nn.Embedding, and take"
    " .sum(1), .mean(1) or .amax(1) of them",
    **dict.fromkeys(("aten.polar", "aten.complex.", "aten.view_as_complex", "aten.view_as_real", "aten.imag"), COMPLEX),
    "aten.max_unpool": "it writes wherever indices say; use nn.Upsample or nn.ConvTranspose2d",
    "aten.pdist": "its kernel fails on an empty batch; take torch.cdist(x, x), and of that what is above the diagonal",
    "aten.fractional_max_pool": "it trusts the random numbers it is given; use nn.AdaptiveMaxPool2d",
    "aten.rrelu": "its kernel is in no class; use nn.LeakyReLU, or nn.PReLU",
    "aten._linalg_svd": _DECOMPOSED,
    "aten.linalg_svd": _DECOMPOSED,
    "aten._linalg_eigh": _DECOMPOSED,
    "aten.linalg_eig": _DECOMPOSED,
    "aten.linalg_pinv": _DECOMPOSED,
    **dict.fromkeys(("aten.linalg_cholesky", "aten.cholesky"), _CHOLESKY),
    **dict.fromkeys(("aten._standard_gamma", "aten._sample_dirichlet", "aten.binomial"), _REJECTING),
    "_add_batch_dim": _FUNCTIONAL,
    "_make_dual": _FUNCTIONAL,
    "_grad_increment_nesting": _FUNCTIONAL,
}


def advice(*names: str) -> str:
    """What to do instead of an operator that has no record, as far as it is known.

    Args:
        names: its own, then that of what it is made of, for which there is none.
    """
    for name in names:
        for prefix, reason in _NEVER.items():
            if name.replace(".new_", ".").startswith(prefix):
                return reason
    near = get_close_matches(names[0], OPERATORS, n=3, cutoff=0.8)
    return f"near ones are {', '.join(near)}" if near else "rewrite the module without it"
