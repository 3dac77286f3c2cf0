"""The commands of `fitchain` put together, and the one error boundary.

    devnet, deploy, keys    a chain to try things on, the contracts, who one is
    data, model, job        what an owner offers, what a scientist brings, what they agree on
    recipe                  how a model is to be trained
    panel, verifier         who audits: panels by name, the stake of a verifier
    trust                   whom of them this home relies on
    coin                    FIT: what one has, handing it on
    pod                     the long-running side of each
    proof                   what anyone may check
    store                   the objects that all of it names
    demo                    all of it in half a minute

There is one error boundary, `run`, and it answers with the exit code: 0 done or holds, 1 refuted, 2
wrong command line, 3 could not check or could not do it.
"""

from __future__ import annotations

import inspect
import os
import sys
import warnings
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from typer.exceptions import TyperException

from fitchain.cli import command
from fitchain.cli.command import PlainGroup
from fitchain.cli.commands import (
    coin,
    consent,
    curves,
    data,
    data_find,
    data_show,
    demo,
    deploy,
    devnet,
    job,
    keys,
    model,
    model_export,
    model_test,
    panel,
    pod,
    proof,
    reaudit,
    recipe,
    recover,
    remove,
    risk,
    store,
    trail,
    trust,
    verifier,
)
from fitchain.cli.views.output import prepare_streams, report_bug, report_error, report_usage
from fitchain.pod.values.errors import FitchainError, host_error

INTERRUPTED = 130


class RootGroup(PlainGroup):
    """The top: its commands in the order in which one meets them."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Names of the commands."""
        return [
            "demo",
            "devnet",
            "deploy",
            "keys",
            "coin",
            "data",
            "model",
            "recipe",
            "job",
            "panel",
            "verifier",
            "trust",
            "pod",
            "proof",
            "store",
        ]


app = typer.Typer(
    name="fitchain",
    help="Train where the data lives, prove what was trained.",
    epilog=(
        "Supported on Linux x86-64; `proof verify` runs anywhere. "
        "Exit codes: 0 done, 1 refuted, 2 usage, 3 could not check."
    ),
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
for group in (devnet, keys, coin, data, model, recipe, job, panel, verifier, trust, pod, proof, store):
    app.add_typer(group.app)
for single in (deploy, demo):
    single.register(app)
data_show.register(data.app)
data_find.register(data.app)
model_export.register(model.app)
model_test.register(model.app)
consent.register(job.app)
curves.register(job.app)
remove.register(job.app)
risk.register(job.app)
trail.register(job.app, proof.app)
reaudit.register(proof.app)
recover.register(pod.app)


def main() -> None:
    """The command `fitchain`."""
    prepare_streams()
    if not sys.warnoptions and "--debug" not in sys.argv:
        warnings.simplefilter("ignore")  # a library's warning is no news to a user
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run one command line: the error boundary.

    Args:
        arguments: what stands after `fitchain`.

    Returns:
        the exit code.
    """
    try:
        code = app(args=list(arguments), prog_name="fitchain", standalone_mode=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except FitchainError as error:
        return report_error(error, arguments)
    except TyperException as error:
        return _usage(error)
    except (typer.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader went away (`| head`)
        return 0
    except Exception as error:  # noqa: BLE001 - what is left is a bug, and it must not look like `refuted`
        if (lack := host_error(error)) is None:
            return report_bug(error)
        return report_error(lack, arguments)
    finally:
        _let_output_go()


def _let_output_go() -> None:
    """Give up what a full disk does not take of the output, which the interpreter would try again
    when it ends, and then end with a code of its own."""
    for stream in filter(None, (sys.stdout, sys.stderr)):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _usage(error: TyperException) -> int:
    context: Any = getattr(error, "ctx", None)
    path = context.command_path if context else "fitchain"
    if type(error).__name__ == "NoArgsIsHelpError":
        print(error.format_message(), file=sys.stderr)
        return 2
    message = error.format_message().rstrip(".")
    return report_usage(message[:1].lower() + message[1:], f"see `{path} --help`")


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"fitchain {version('fitchain')}")
        raise typer.Exit


def _root(context: typer.Context, version: bool = False, **common: Any) -> None:
    """Train where the data lives, prove what was trained."""
    context.obj = command.Flags(**common)


_VERSION = Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")]
command.set_signature(
    _root, [inspect.Parameter("version", inspect.Parameter.KEYWORD_ONLY, annotation=_VERSION, default=False)]
)
app.callback(cls=RootGroup)(_root)
