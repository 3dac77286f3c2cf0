"""`fitchain store`: the objects that agreements, cards and certificates name by their CIDs.

All of it is sealed, or meant for everybody. No chain and no key is asked for.
"""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fitchain.cli.command import Session, command, group
from fitchain.cli.views.amounts import counted, size_text
from fitchain.cli.views.output import KeyValues, Report, Rows, log
from fitchain.pod.values.errors import InputRefused

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from fitchain.pod.ports.store import Store

app = group("store", "Look into the store of sealed objects, fill it, empty it.")

CidText = Annotated[str, typer.Argument(metavar="CID", help="What the object is called, bafy... or bafk...")]


@command(app, "status")
def status(session: Session) -> Report:
    """Say what the store is, how much is in it, and whom it knows."""
    with _store(session) as store:
        values = store.status()
    blocks = values["blocks"]
    assert isinstance(blocks, int)
    pairs = [
        ("store", values["address"]),
        ("kind", f"Kubo {values['version']}" if "version" in values else "folder"),
        ("holds", f"{counted(blocks, 'block')}, {_size(values['size_bytes'])}"),
        ("pinned here", values["pins"]),
    ]
    if "peer" in values:
        pairs += [("peer", values["peer"]), ("connected with", ", ".join(_texts(values["peers"])) or "nobody")]
    return Report(values, [KeyValues(pairs)])


@command(app, "list")
def list_pins(session: Session) -> Report:
    """List what this home has pinned."""
    with _store(session) as store:
        pins = store.list_pins()
    return Report({"pins": [str(cid) for cid in pins]}, [Rows(["pinned"], [[cid] for cid in pins], empty="nothing")])


@command(app, "add")
def add(
    session: Session, source: Annotated[Path, typer.Argument(metavar="PATH", help="A file or a folder.")]
) -> Report:
    """Add a file or a folder as it is, and pin it. It is public from then on."""
    with _store(session) as store:
        cid = store.add_folder(source) if source.is_dir() else store.add(source)
    return Report({"cid": cid}, [str(cid)])


@command(app, "get")
def get(
    session: Session,
    cid: CidText,
    target: Annotated[Path | None, typer.Argument(metavar="[PATH]", help="Else the CID.", show_default=False)] = None,
) -> Report:
    """Fetch a file or a folder; every byte is checked."""
    from fitchain.pod.ports.store import Cid

    parsed, target = Cid.parse(cid), target or Path(cid)
    if target.exists():  # asked before anything is fetched
        raise InputRefused(f"{target} exists already and would be overwritten", "fetch to another place")
    with _store(session) as store:
        store.fetch(parsed, target)
    return Report({"cid": cid, "path": target.absolute()}, [f"{cid} is in {target}"])


@command(app, "pin")
def pin(
    session: Session,
    cid: CidText,
    remove: Annotated[bool, typer.Option("--remove", help="Give up the pin instead.")] = False,
) -> Report:
    """Keep an object for this home, fetching it first where that is needed."""
    from fitchain.pod.ports.store import Cid

    with _store(session) as store:
        if remove:
            store.unpin(Cid.parse(cid))
        else:
            store.pin(Cid.parse(cid))
    return Report({"cid": cid, "pinned": not remove}, [f"{cid} is {'no longer ' if remove else ''}pinned"])


@command(app, "gc")
def gc(
    session: Session,
    yes: Annotated[bool, typer.Option("--yes", help="Remove it; else it is only told.")] = False,
) -> Report:
    """Say what nobody has pinned; with --yes remove it."""
    with _store(session) as store:
        garbage = store.garbage()
        values = {"blocks": garbage.blocks, "size_bytes": garbage.size_bytes, "freed_bytes": 0}
        if not garbage.blocks:
            return Report(values, ["nothing to remove: every block is pinned"])
        unpinned = f"{counted(garbage.blocks, 'block')} that nobody has pinned, {_size(garbage.size_bytes)}"
        if not yes:
            return Report(values, [f"would remove {unpinned}", "`fitchain store gc --yes` removes them"])
        log(f"removing {unpinned}")
        values["freed_bytes"] = store.gc()
    return Report(values, [f"removed {unpinned}"])


@command(app, "export")
def export(
    session: Session,
    cid: CidText,
    target: Annotated[Path, typer.Argument(metavar="FILE", help="A CAR, as `ipfs dag import` reads it.")],
) -> Report:
    """Write an object with all its blocks into one file, to carry it elsewhere."""
    from fitchain.pod.ports.store import Cid, car
    from fitchain.pod.values.errors import StoreUnusable, reason_of

    parsed = Cid.parse(cid)
    with _store(session) as store:
        try:
            size_bytes = car.write(target, parsed, store.blocks(parsed))
        except OSError as error:
            raise StoreUnusable(f"{target} cannot be written: {reason_of(error)}", "choose another place") from None
    return Report(
        {"cid": cid, "path": target.absolute(), "size_bytes": size_bytes},
        [f"{target} holds {cid}, {_size(size_bytes)}"],
    )


@command(app, "import")
def import_car(
    session: Session,
    source: Annotated[Path, typer.Argument(metavar="FILE", help="A CAR, as `ipfs dag export` writes it.")],
) -> Report:
    """Add and pin the object that such a file holds; every block is checked."""
    from fitchain.pod.ports.store import car
    from fitchain.pod.values.errors import NotFound, reason_of

    try:
        file = source.open("rb")
    except OSError as error:
        raise NotFound(
            f"{source} cannot be read: {reason_of(error)}", "name a CAR: `fitchain store export` writes one"
        ) from None
    with file, _store(session) as store:
        root, blocks = car.read(file)
        store.add_blocks(root, blocks)
    return Report({"cid": root}, [f"{root} is in the store, and pinned"])


def _store(session: Session) -> AbstractContextManager[Store]:
    """The store of this home; what takes long is logged to stderr."""
    from fitchain.pod.ports.store import open_store

    return closing(open_store(session.settings, log, lambda what, count: log(f"{what}: {_size(count)}")))


def _size(count: object) -> str:
    assert isinstance(count, int)
    return size_text(count)


def _texts(values: object) -> list[str]:
    return [str(value) for value in values] if isinstance(values, list) else []
