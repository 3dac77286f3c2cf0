"""How a command is made: its own parameters, those of every command, a session, a report.

`@command(app, "show")` turns a function `(session, …) -> Report` into a typer command. The options
in `COMMON` may stand before the subcommand or after it; the later one counts. The session opens the
settings and the home when they are first asked for and closes what it opened.
"""

from __future__ import annotations

import functools
import inspect
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
from typer.core import TyperCommand, TyperGroup

from fitchain.cli.passphrase import find_passphrase, is_asked
from fitchain.cli.views.output import Report, log, print_report
from fitchain.pod.values.errors import InputRefused, NotFound

if TYPE_CHECKING:
    from fitchain.pod.jobs.home import Home
    from fitchain.pod.ports.settings import Settings

LONGEST_NAME = 255
"""Bytes of a file's name, on all that Linux mounts (limits.h, NAME_MAX)."""
MOST_SHOWN = 80
PATHS = ("store",)
"""Parameters that are a text and may name a path."""
EVERYWHERE = "Options of every command"


@dataclass(frozen=True)
class Flags:
    """The options that every command takes."""

    home: Path | None = None
    rpc: str | None = None
    store: str | None = None
    passphrase_file: Path | None = None
    json: bool = False
    debug: bool = False

    def over(self, earlier: Flags) -> Flags:
        """These flags, with the earlier ones where these say nothing."""
        return Flags(**{name: getattr(self, name) or getattr(earlier, name) for name in vars(self)})


def _option(*names: str, **how: Any) -> Any:
    return typer.Option(*names, rich_help_panel=EVERYWHERE, show_default=False, **how)


COMMON = {
    "home": Annotated[
        Path | None, _option("--home", metavar="FOLDER", help="The pod's home; else FITCHAIN_HOME, else ~/.fitchain.")
    ],
    "rpc": Annotated[str | None, _option("--rpc", metavar="URL", help="The chain's node.")],
    "store": Annotated[
        str | None,
        _option(
            "--store", metavar="PLACE", help="The store of sealed objects: a folder, or ipfs:/ip4/127.0.0.1/tcp/5001."
        ),
    ],
    "passphrase_file": Annotated[
        Path | None,
        _option(
            "--passphrase-file",
            metavar="FILE",
            help="Its first line is the passphrase; else FITCHAIN_PASSPHRASE_FILE names it.",
        ),
    ],
    "json": Annotated[bool, _option("--json", help="Print one JSON object; amounts are decimal FIT.")],
    "debug": Annotated[bool, _option("--debug", help="Print tracebacks.")],
}


@dataclass
class Session:
    """One command's way to the settings, the home and the passphrase."""

    flags: Flags
    exit_code: int = 0
    _stack: ExitStack = field(default_factory=ExitStack)

    @cached_property
    def settings(self) -> Settings:
        """The settings, from flags, environment, files and defaults in that order."""
        from fitchain.pod.ports import settings

        return settings.load(home=self.flags.home, rpc=self.flags.rpc, store=self.flags.store)

    @cached_property
    def reader(self) -> Home:
        """The home without its keys: chain, store, journal."""
        return self._open(None)

    @cached_property
    def home(self) -> Home:
        """The home with its keys; asks for the passphrase when they are first needed."""
        return self._open(self.passphrase)

    def unlocked(self, why: str) -> Home:
        """The home with its keys, for a command that does without them as well: it catches what is
        raised, and tells it.

        Args:
            why: what they are for, told to who is asked for the passphrase.

        Raises:
            FitchainError: the passphrase is not at hand, or is another's.
        """
        if is_asked(self.flags.passphrase_file) and "home" not in vars(self):
            log(f"{why}; the passphrase opens it, and none goes on without")
        return self.home

    def passphrase(self) -> str:
        """The passphrase of the home's keys."""
        return find_passphrase(self.flags.passphrase_file)

    def new_passphrase(self) -> str:
        """A passphrase for new keys: typed twice where no file gives it."""
        return find_passphrase(self.flags.passphrase_file, again=True)

    def own_address(self) -> str:
        """The account of this home's key; no passphrase is needed.

        Raises:
            NotFound: the home has no such key.
        """
        from fitchain.pod.ports import keys

        settings = self.settings
        for key in keys.list_keys(settings.home):
            if key.name == settings.key:
                return key.address
        raise NotFound(f"the home {settings.home} has no key {settings.key!r}", "make one: fitchain keys new")

    def close(self) -> None:
        """Close what was opened."""
        self._stack.close()

    def _open(self, passphrase: Callable[[], str] | None) -> Home:
        from fitchain.pod.jobs.home import Home

        return self._stack.enter_context(Home.open(self.settings, passphrase, log))


@contextmanager
def opened(flags: Flags) -> Iterator[Session]:
    """A session that is closed at the end."""
    session = Session(flags)
    try:
        yield session
    finally:
        session.close()


Command = TypeVar("Command", bound=Callable[..., Report | None])


def group(name: str, help: str) -> typer.Typer:
    """A group of commands.

    Args:
        name: its name after `fitchain`.
        help: one line.
    """
    return typer.Typer(name=name, help=help, no_args_is_help=True, rich_markup_mode=None, cls=PlainGroup)


def command(app: typer.Typer, name: str) -> Callable[[Command], Command]:
    """Make a function `(session, …) -> Report` a command of an app.

    Args:
        app: the group it belongs to.
        name: its name there.
    """

    def register(function: Command) -> Command:
        own = list(inspect.signature(function, eval_str=True).parameters.values())[1:]

        @functools.wraps(function)
        def run(context: typer.Context, **values: Any) -> None:
            refuse_unusable(context, values)
            flags = Flags(**{name: values.pop(name) for name in COMMON}).over(context.obj)
            with opened(flags) as session:
                report = function(session, **values)
                if report is not None:
                    print_report(report, flags.json)
            if session.exit_code:
                raise typer.Exit(session.exit_code)

        del run.__wrapped__
        set_signature(run, own)
        app.command(name, cls=PlainCommand)(run)
        return function

    return register


def refuse_unusable(context: typer.Context, values: Mapping[str, Any]) -> None:
    """Refuse a value of the command line that no file system, JSON or database takes.

    Raises:
        InputRefused: there is such a value.
    """
    for parameter in context.command.params:
        value = values.get(parameter.name or "")
        for each in value if isinstance(value, list | tuple) else (value,):
            if isinstance(each, str | Path) and (fault := _fault_of(each, parameter.name in PATHS)):
                shown = ascii(str(each)[:MOST_SHOWN])
                raise InputRefused(f"{parameter.opts[0]} is given {shown}, {fault[0]}", fault[1])


def _fault_of(value: str | Path, is_path: bool) -> tuple[str, str] | None:
    """What keeps a value from being used, and what to do about it; None where nothing does. Bytes
    that the locale's encoding lacks come as half surrogates: paths may have them, texts may not."""
    if "\0" in str(value):
        return "which holds a character of number 0", "leave it out"
    if not isinstance(value, Path):
        try:
            value.encode()
        except UnicodeEncodeError:
            encoding = sys.getfilesystemencoding()
            return (
                f"which is no text in this locale's encoding ({encoding})",
                "set the locale to one of UTF-8: LC_ALL=C.UTF-8, say",
            )
    if (isinstance(value, Path) or is_path) and any(
        len(os.fsencode(part)) > LONGEST_NAME for part in Path(value).parts
    ):
        return f"and no file has a name of more than {LONGEST_NAME} bytes", "name a file or a folder that is there"
    return None


def set_signature(run: Callable[..., None], own: list[inspect.Parameter]) -> None:
    """Give typer the signature to read: the context, the command's own parameters, the rest."""
    keyword = inspect.Parameter.KEYWORD_ONLY
    parameters = [inspect.Parameter("context", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context)]
    parameters += [parameter.replace(kind=keyword) for parameter in own]
    for name, annotation in COMMON.items():
        default = False if name in ("json", "debug") else None
        parameters.append(inspect.Parameter(name, keyword, annotation=annotation, default=default))
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}


class PlainCommand(TyperCommand):
    """A command whose help lists its own options first and those of every command after them."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write arguments, own options, common options."""
        _write_options(self, ctx, formatter)


class PlainGroup(TyperGroup):
    """A group whose help lists its commands first."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write commands, then options."""
        self.format_commands(ctx, formatter)
        _write_options(self, ctx, formatter)


def _write_options(command: TyperCommand | TyperGroup, context: Any, formatter: Any) -> None:
    sections: dict[str, list[tuple[str, str]]] = {"Arguments": [], "Options": [], EVERYWHERE: []}
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record is not None:
            kind = "Arguments" if parameter.param_type_name == "argument" else "Options"
            sections[EVERYWHERE if getattr(parameter, "rich_help_panel", None) == EVERYWHERE else kind].append(record)
    for title, records in sections.items():
        if records:
            with formatter.section(title):
                formatter.write_dl(records)
