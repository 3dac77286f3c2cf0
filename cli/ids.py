"""Identifiers as people type them: a unique prefix of six hex digits or more is enough."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Annotated

import typer

from fitchain.pod.values.digest import Digest
from fitchain.pod.values.errors import AccessRefused, InputRefused, NotFound, Unusable
from fitchain.pod.values.ids import WHOLE_POOL, AgreementId, DatasetId, ModelId, PanelId

if TYPE_CHECKING:
    from fitchain.pod.jobs.home import Home
    from fitchain.pod.ports.registry import Registry

AgreementArgument = Annotated[str, typer.Argument(metavar="JOB", help="Its id, or the first six digits or more.")]
DatasetArgument = Annotated[str, typer.Argument(metavar="DATASET", help="Its id, or the first six digits or more.")]
PanelArgument = Annotated[str, typer.Argument(metavar="PANEL", help="Its id, or the first six digits or more.")]
PlaceArgument = Annotated[
    str, typer.Argument(metavar="PANEL|pool", help="A panel's id, or its first six digits or more; or pool.")
]
ModelArgument = Annotated[str, typer.Argument(metavar="MODEL", help="Its id, or the first six digits or more.")]

DATASETS = "fitchain data find` or `fitchain data list"
"""The commands that list datasets: those that a scientist may ask for, and all."""
POOL = "pool"
"""Names the pool where a panel's id may stand, which is hexadecimal."""
SHORTEST_PREFIX = 6
_WHOLE = 64


def match_id(text: str, candidates: Callable[[], Iterable[Digest]], what: str, listing: str) -> Digest:
    """Find the identifier that a person means.

    Args:
        text: the whole identifier or a prefix of it, with or without 0x.
        candidates: yields the identifiers to choose from; not asked when the text is whole.
        what: the word for the thing, `job` say.
        listing: the command that lists them.

    Raises:
        InputRefused: the text is no hex number, too short, or begins several identifiers.
        NotFound: no identifier begins so.
    """
    digits = text.lower().removeprefix("0x")
    if len(digits) > _WHOLE or not set(digits) <= set("0123456789abcdef"):
        raise InputRefused(f"{text!r} does not name a {what}: an id is 0x and {_WHOLE} hex digits", f"see `{listing}`")
    if len(digits) == _WHOLE:
        return Digest(bytes.fromhex(digits))
    if len(digits) < SHORTEST_PREFIX:
        raise InputRefused(
            f"{text!r} has {len(digits)} hex digits and a shortened id needs {SHORTEST_PREFIX}", f"see `{listing}`"
        )
    matches = sorted({id for id in candidates() if str(id)[2:].startswith(digits)})
    if not matches:
        raise NotFound(f"no {what} begins with 0x{digits}", f"see `{listing}`")
    if len(matches) > 1:
        raise InputRefused(
            f"0x{digits} begins {len(matches)} {what}s: {matches[0]} and {matches[1]}", "give more digits"
        )
    return matches[0]


def require_retirable(home: Home, what: str, owner: str, active: bool) -> None:
    """Refuse to retire what is another account's, or retired already, in words and not by a revert.

    Args:
        home: opened with its key.
        what: the thing and its id.
        owner: the account that registered it.
        active: whether it is open still.

    Raises:
        AccessRefused: it is another account's.
        Unusable: it is retired already.
    """
    if owner != home.keys.address:
        raise AccessRefused(f"{what} is {owner}'s, and this home's account is {home.keys.address}")
    if not active:
        raise Unusable(f"{what} is retired already")


def find_agreement(home: Home, text: str) -> AgreementId:
    """The agreement that a person means, which is one of this deployment."""
    id = AgreementId(match_id(text, home.agreements.list, "job", "fitchain job list"))
    return home.agreements.read(id).id


def find_dataset(home: Home, text: str) -> DatasetId:
    """The dataset that a person means, among those registered."""
    return DatasetId(match_id(text, lambda: (entry.id for entry in home.registry.datasets()), "dataset", DATASETS))


def find_model(home: Home, text: str) -> ModelId:
    """The model that a person means, among those published."""
    return ModelId(
        match_id(text, lambda: (entry.id for entry in home.registry.models()), "model", "fitchain model list")
    )


def find_panel(home: Home, text: str) -> PanelId:
    """The panel that a person means, among those of this deployment."""
    return home.registry.panel(match_panel(home.registry, text)).id


def match_panel(registry: Registry, text: str) -> PanelId:
    """The panel that a person means, whether or not there is such a one."""
    return PanelId(match_id(text, registry.panel_ids, "panel", "fitchain panel list"))


def find_place(registry: Registry, text: str) -> PanelId:
    """The panel that a person means, or with `pool` the pool of all verifiers."""
    return WHOLE_POOL if text == POOL else match_panel(registry, text)


def find_address(text: str) -> str:
    """An account as a person types it, with its checksum.

    Raises:
        InputRefused: it is none, or mistyped.
    """
    from fitchain.pod.ports.chain.base import read_address

    try:
        return read_address(text)
    except ValueError as error:
        hint = "copy it whole, as 0x and 40 hex digits (no name is looked up); your own: fitchain keys list"
        raise InputRefused(str(error), hint) from None
