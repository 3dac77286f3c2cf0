"""`fitchain keys`: an account and an age identity, encrypted under a passphrase."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fitchain.cli.command import Session, command, group
from fitchain.cli.views.output import KeyValues, Report, Rows

if TYPE_CHECKING:
    from fitchain.pod.ports.keys import Keys

app = group("keys", "Make, import, list and back up keys.")

Name = Annotated[str | None, typer.Option("--name", metavar="NAME", help="The key's name.", show_default="default")]


@command(app, "new")
def new(session: Session, name: Name = None) -> Report:
    """Make a new account and age identity under a passphrase."""
    from fitchain.pod.ports import keys

    settings = session.settings
    return _made(session, keys.create(settings.home, name or settings.key, session.new_passphrase()))


@command(app, "import")
def import_(
    session: Session,
    source: Annotated[Path, typer.Argument(metavar="FILE", help="A backup, a keystore V3 file, or 64 hex digits.")],
    name: Name = None,
) -> Report:
    """Take a key from a file.

    The passphrase is the one that opens the file; it stays the key's.
    """
    from fitchain.pod.ports import keys

    settings = session.settings
    return _made(session, keys.import_key(settings.home, name or settings.key, source, session.passphrase()))


@command(app, "list")
def list_(session: Session) -> Report:
    """List the keys of this home; no passphrase is needed."""
    from fitchain.pod.ports import keys

    listed = keys.list_keys(session.settings.home)
    return Report(
        {"keys": [{"name": key.name, "address": key.address, "recipient": key.recipient} for key in listed]},
        [
            Rows(
                ("name", "address", "recipient"),
                [(key.name, key.address, key.recipient) for key in listed],
                empty="no key yet: fitchain keys new",
            )
        ],
    )


@command(app, "backup")
def backup(
    session: Session,
    target: Annotated[Path, typer.Argument(metavar="FILE", help="A new file, or a folder to put one in.")],
    name: Name = None,
) -> Report:
    """Write a key, still encrypted, into one file.

    `keys import` takes it, with the same passphrase.
    """
    from fitchain.pod.ports import keys

    settings = session.settings
    path = keys.backup(settings.home, name or settings.key, target)
    return Report({"file": path}, [KeyValues([("backup", path), ("note", "it opens with the same passphrase")])])


def _made(session: Session, key: Keys) -> Report:
    """Report a key that now lies in the home."""
    folder = session.settings.home / "keys" / key.name
    values = {"name": key.name, "address": key.address, "recipient": key.recipient, "folder": folder}
    next = "fitchain keys backup FILE; on a test chain, fitchain devnet fund"
    return Report(values, [KeyValues([*values.items(), ("next", next)])])
