"""What a person names as the parents of a model: registered models, and a job or a certificate that
gives its first weights."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fitchain.cli.ids import match_id
from fitchain.pod.values.digest import Digest
from fitchain.pod.values.errors import FitchainError, InputRefused, NotFound
from fitchain.pod.values.ids import AgreementId, ModelId

if TYPE_CHECKING:
    from fitchain.pod.jobs.home import Home
    from fitchain.pod.parties.scientist import InitialWeights

_HEX = frozenset("0123456789abcdef")


def read_parents(
    home: Home, texts: Sequence[str], weights: Path | None, is_partial: bool, base: Path | None = None
) -> tuple[list[ModelId], InitialWeights | None]:
    """Find the parents that a person means, and the weights to begin with.

    Args:
        home: the scientist's.
        texts: models, and at most one job or certificate.
        weights: a file of weights; beside a certificate its model's file.
        is_partial: whether it is enough that some of the weights of a file fit.
        base: file of a base, over which a certified model may be a delta.

    Raises:
        InputRefused: more than one of them gives weights.
        NotFound: there is none of that id, or no such file.
    """
    from fitchain.pod.parties import scientist

    models, jobs, certificates = list[ModelId](), list[AgreementId](), list[Path]()
    for text in texts:
        if not is_id(text):
            certificates.append(Path(text))
        elif isinstance(id := _find(home, text), _Job):
            jobs.append(id.id)
        else:
            models.append(id)
    if len(jobs) + len(certificates) > 1:
        raise _two_give_weights()
    if jobs and weights is not None:
        raise InputRefused("the job gives the weights to begin with, and --weights others", "leave one of them out")
    if is_partial and (weights is None or certificates):
        raise InputRefused("--partial is of a file of weights, and none is named", "name it with --weights")
    if jobs:
        return models, scientist.weights_of_job(home, jobs[0])
    if certificates:
        return models, scientist.weights_of_certificate(home, certificates[0], weights, base)
    return models, None if weights is None else scientist.weights_of_file(weights, is_partial)


def parent_faults(texts: Sequence[str]) -> list[FitchainError]:
    """What is wrong with parents that are files, whatever the registry has."""
    files = [Path(text) for text in texts if not is_id(text)]
    missing = [
        NotFound(f"there is no file {path}, the certificate of a parent") for path in files if not path.is_file()
    ]
    return [*missing, *([_two_give_weights()] if len(files) > 1 else [])]


def _two_give_weights() -> InputRefused:
    return InputRefused("two of the parents give weights, and a model begins with those of one", "name one of them")


class _Job:
    """An id that is a job's and no model's."""

    def __init__(self, id: AgreementId) -> None:
        self.id = id


def is_id(text: str) -> bool:
    """Whether a text is an id or the beginning of one, and no file's name."""
    return set(text.lower().removeprefix("0x")) <= _HEX


def _find(home: Home, text: str) -> ModelId | _Job:
    """The model or the job that a person means."""

    def candidates() -> list[Digest]:
        return [*(entry.id for entry in home.registry.models()), *home.agreements.list()]

    id = match_id(text, candidates, "model or job", "fitchain model list` or `fitchain job list")
    try:
        return home.registry.model(ModelId(id)).id
    except NotFound:
        return _Job(home.agreements.read(AgreementId(id)).id)
