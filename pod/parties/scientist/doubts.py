"""Doubts: what a recipe and a model allow together, and hardly anybody means. Nothing is refused."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from fitchain.pod.jobs.home import Home
from fitchain.pod.parties.scientist.request import JobRequest, draft_request
from fitchain.pod.values.graph import Form, Graph
from fitchain.pod.values.graph.nodes import Argument, NodeRef
from fitchain.pod.values.graph.operators import OPERATORS
from fitchain.pod.values.graph.operators.record import Flow
from fitchain.pod.values.job_folder import GRAPH
from fitchain.pod.values.recipe.terms import BINARY, DICE, KL

_SHARES, _LOGARITHMS, _TRUTHS = "softmax", "log_softmax", "sigmoid"
_ENDS: Mapping[str, str] = {
    "aten.softmax.int": _SHARES,
    "aten.special_softmax.default": _SHARES,
    "aten.log_softmax.int": _LOGARITHMS,
    "aten.special_log_softmax.default": _LOGARITHMS,
    "aten.log_sigmoid.default": _LOGARITHMS,
    "aten.sigmoid.default": _TRUTHS,
    "aten.sigmoid_.default": _TRUTHS,
    **dict.fromkeys(("aten.linear.default", "aten.conv2d.default", "aten.addmm.default"), "linear layer"),
}
"""What a model may end in, by its last operator."""
_OF_SCORES: Mapping[str, str] = {
    "cross_entropy": _SHARES,
    "focal_loss": _SHARES,
    BINARY: _TRUTHS,
    DICE: _TRUTHS,
}
"""Losses that apply a function themselves."""
_OF_LOGARITHMS = ("nll_loss", KL)
"""Losses that leave it to the model."""


def doubts_of(home: Home, request: JobRequest) -> list[str]:
    """What of a request hardly anybody means: a sentence for each.

    Args:
        home: the scientist's, which published the model.
        request: what is asked for.

    Raises:
        NotFound: no such dataset or model.
        InputRefused: the recipe does not fit the dataset or its policy.
    """
    recipe = draft_request(home, request)
    graph = Graph.parse((home.journal.model(request.model).folder / GRAPH).read_bytes())
    return [*_of_loss(recipe.loss.name, _end_of(graph.training), _end_of(graph.evaluation))]


def _of_loss(loss: str, end: str, evaluated: str) -> Iterator[str]:
    """What is odd about a loss of what a model ends in, while it trains and when it is evaluated."""
    doubled = _OF_SCORES.get(loss)
    if doubled and doubled == end:
        yield (
            f"the model ends in a {end}, and the loss {loss} applies one itself: with two of them it learns slowly, "
            "if at all; publish it without its own"
        )
    elif doubled and doubled == evaluated:
        yield (
            f"the model ends in a {evaluated} when it is evaluated, and the loss {loss} applies one itself: the "
            "held-out loss and predicted shares are of two of them; publish it without its own"
        )
    if loss in _OF_LOGARITHMS and end not in ("", _LOGARITHMS):
        yield (
            f"the model ends in a {end}, and the loss {loss} takes logarithms of shares: end in a log_softmax, "
            "or choose cross_entropy"
        )


def _end_of(form: Form) -> str:
    """What a form ends in, but for views; empty where it is something else."""
    output: Argument = form.output
    while isinstance(output, NodeRef):
        node = form.nodes[output.index]
        record = OPERATORS.get(node.operator)
        if record is None or record.flow is not Flow.SHAPES or not node.arguments:
            return _ENDS.get(node.operator, "")
        output = node.arguments[0]
    return ""
