"""`fitchain job remove`: an owner has what its home keeps of an ended job deleted."""

from __future__ import annotations

from typing import Any

import typer

from fitchain.cli.answers import OR_YES, ReasonOption, YesOption, by_owners_pod, require_yes
from fitchain.cli.command import Session, command
from fitchain.cli.ids import AgreementArgument, find_agreement
from fitchain.cli.views.amounts import size_text
from fitchain.cli.views.history import KEPT
from fitchain.cli.views.output import KeyValues, Report, print_views


def register(app: typer.Typer) -> None:
    """Add the command."""
    command(app, "remove")(remove)


def remove(
    session: Session,
    agreement: AgreementArgument,
    yes: YesOption = False,
    reason: ReasonOption = "",
) -> Report:
    """Delete what this home keeps of an ended job, as its owner; the pod does it.

    Copies of records, states, evidence, identities, leaves and the trained model go, once the end
    of the job and of its audits is final; the offer, the certificate and the history stay. No other
    audit can be consented to afterwards. Refused while a bond, a dispute or an audit needs it.
    """
    from fitchain.pod.parties import owner

    home = session.reader
    id = owner.require_removable(home, find_agreement(home, agreement)).id
    kept = owner.kept_of(home, id)
    amounts = ", ".join(f"{KEPT[kind]} ({size_text(size)})" for kind, size in kept.items())
    shown: list[tuple[str, Any]] = [
        ("job", id),
        ("kept", amounts or "nothing that would be deleted"),
        ("ends", "no other audit can be consented to, and nothing can be replayed"),
    ]
    print_views([KeyValues(shown)], stderr=True)
    if not yes:
        require_yes(
            "delete all of it? type yes: ",
            "nothing was deleted",
            unattended=OR_YES,
        )
    owner.remove_later(home, id, reason)
    values = {"agreement": id, "decision": "removal", "kept": {kind.value: size for kind, size in kept.items()}}
    deletes = by_owners_pod(home, "deletes it once its end is final, and notes that")
    return Report(values, [f"removal of {id.short} is asked for: {deletes}"])
