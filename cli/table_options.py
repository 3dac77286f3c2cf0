"""What an owner says about a table on the command line: what its columns are, and how it is
written."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fitchain.pod.values.errors import Faults, InputRefused

if TYPE_CHECKING:
    from fitchain.pod.compute.dataset import Classes, CsvDialect, Dialect, ImageForm, ReadingTerms, Rule, Tokenizing

TaskOption = Annotated[
    str | None,
    typer.Option(
        "--task",
        metavar="TASK",
        help="What the target is predicted as: classification, multi-label or regression; else it is guessed, aloud.",
        show_default=False,
    ),
]
KindOption = Annotated[
    list[str] | None,
    typer.Option(
        "--kind",
        metavar="COLUMN=KIND",
        help="What a column is: number, whole, boolean, time or category; else all its cells say it. Repeat it.",
        show_default=False,
    ),
]
TextOption = Annotated[
    list[str] | None,
    typer.Option(
        "--text", metavar="COLUMN", help="This column is free text, read by --tokenizer. Repeat it.", show_default=False
    ),
]
TokenizerOption = Annotated[
    Path | None,
    typer.Option(
        "--tokenizer",
        metavar="FILE",
        help="A tokenizer.json, which makes tokens of free text; it is published, its vocabulary with it.",
        show_default=False,
    ),
]
LengthOption = Annotated[
    int, typer.Option("--length", metavar="N", help="How many tokens a record holds of a text; longer ones are cut.")
]
PadOption = Annotated[
    str | None,
    typer.Option(
        "--pad-token",
        metavar="TOKEN",
        help="The token that fills shorter texts up; else the tokenizer's own, or [PAD].",
        show_default=False,
    ),
]
CategoriesOption = Annotated[
    list[str] | None,
    typer.Option(
        "--categories",
        metavar="COLUMN=LIST",
        help='The categories that a column may have: stage=I,II,"III, late"; any other is refused. Repeat it.',
        show_default=False,
    ),
]
MissingOption = Annotated[
    list[str] | None,
    typer.Option("--missing", metavar="TEXT", help="This, too, means a missing cell: -999, say.", show_default=False),
]
KeepOption = Annotated[
    list[str] | None,
    typer.Option(
        "--keep",
        metavar="TEXT",
        help="This means itself and no missing cell: NA, say, for Namibia.",
        show_default=False,
    ),
]
DelimiterOption = Annotated[
    str | None,
    typer.Option(
        "--delimiter",
        metavar="NAME",
        help="Of a CSV file: comma, semicolon, tab or bar; else guessed.",
        show_default=False,
    ),
]
DecimalOption = Annotated[
    str | None,
    typer.Option("--decimal", metavar="NAME", help="Of its numbers: point or comma; else guessed.", show_default=False),
]
EncodingOption = Annotated[
    str | None,
    typer.Option("--encoding", metavar="NAME", help="Of its text: utf-8, cp1252, ...; else UTF-8.", show_default=False),
]
EscapeOption = Annotated[
    bool, typer.Option("--escape", help="A backslash stands before quotes in it, as MySQL has it.")
]
ImageSizeOption = Annotated[
    str | None,
    typer.Option(
        "--image-size",
        metavar="WxH",
        help="Scale each image of a folder to this: 64x64, say; else all must have one size.",
        show_default=False,
    ),
]
GreyOption = Annotated[
    bool | None,
    typer.Option(
        "--grey/--colour", help="Make each image so; else all must be the one or the other.", show_default=False
    ),
]
InsistOption = Annotated[
    list[str] | None,
    typer.Option(
        "--insist",
        metavar="RULE",
        help="Offer a table that breaks this rule: many-classes, rare-classes, few-records, differing.",
        show_default=False,
    ),
]


def kinds_of(texts: Sequence[str]) -> dict[str, str]:
    """Read `COLUMN=KIND`, each.

    Raises:
        InputRefused: one is no such pair.
    """
    pairs = {}
    for text in texts:
        name, sign, kind = text.rpartition("=")
        if not sign or not name:
            raise InputRefused(f"the kind {text!r:.80} is not COLUMN=KIND", "write it as diagnosis=category")
        pairs[name] = kind
    return pairs


def categories_of(texts: Sequence[str]) -> dict[str, Classes]:
    """Read `COLUMN=A,B`, each; the list is a line of CSV.

    Raises:
        InputRefused: one is no such pair, or names no categories.
    """
    from fitchain.pod.compute.dataset import declared_classes

    pairs = {}
    for text in texts:
        name, sign, line = text.partition("=")
        if not sign or not name:
            raise InputRefused(f"the categories {text!r:.80} are not COLUMN=LIST", "write them as stage=I,II,III")
        pairs[name] = declared_classes([cell.strip() for cell in next(csv.reader([line], skipinitialspace=True), [])])
    return pairs


def tokenizing(file: Path | None, length: int, pad: str | None) -> Tokenizing | None:
    """How free text is read; None where no tokenizer is named.

    Raises:
        InputRefused: there is no such file, or it is too large; a text has no token or too many; a
            token is named and no tokenizer.
    """
    from fitchain.pod.compute.dataset import Tokenizing

    if file is None:
        if pad is not None:
            raise InputRefused("a token is named that fills texts up, and no tokenizer has it", "name --tokenizer")
        return None
    return Tokenizing.read(file, length, pad)


# Many parameters: each is an option.
def reading_terms(
    task: str | None,
    kinds: Sequence[str],
    categories: Sequence[str],
    missing: Sequence[str],
    keep: Sequence[str],
    texts: Sequence[str] = (),
    tokenizing: Tokenizing | None = None,
) -> ReadingTerms:
    """What was said of a table's columns, apart from its target and those that are left out.

    Raises:
        InputRefused: words are none of those that are known, all of them in one message.
    """
    from fitchain.pod.compute.dataset import Kind, ReadingTerms, Task
    from fitchain.pod.values.recipe.fields import choice

    options, faults = [kind for kind in Kind if kind not in (Kind.TOKENS, Kind.MISSING)], Faults()
    said: dict[str, str] = faults.read(lambda: kinds_of(kinds), {})
    read_kind = partial(choice, "--kind", among=options)
    read = {name: faults.read(partial(read_kind, kind), "") for name, kind in said.items()}
    predicted: Task | None = faults.read(
        lambda: None if task is None else Task(choice("--task", task, list(Task))), None
    )
    named: dict[str, Classes] = faults.read(lambda: categories_of(categories), {})
    faults.require_none()
    free_texts = dict.fromkeys(texts, Kind.TOKENS)
    return ReadingTerms(
        kinds={name: Kind(kind) for name, kind in read.items()} | free_texts,
        categories=named,
        task=predicted,
        missing=tuple(missing),
        keep=tuple(keep),
        tokenizing=tokenizing,
    )


def csv_dialect(delimiter: str | None, decimal: str | None, encoding: str | None, escape: bool) -> CsvDialect | None:
    """What was said of how a CSV file is written; None where nothing was.

    Raises:
        InputRefused: a word is none of those that are known.
    """
    from fitchain.pod.compute.dataset import CsvDialect

    if delimiter is None and decimal is None and encoding is None and not escape:
        return None
    return CsvDialect(delimiter, decimal, encoding, escape)


def image_form(size: str | None, grey: bool | None) -> ImageForm | None:
    """What was said of the form of a folder's images; None where nothing was.

    Raises:
        InputRefused: a size is not written as 64x64.
    """
    from fitchain.pod.compute.dataset import ImageForm

    if size is None and grey is None:
        return None
    sides = None
    if size is not None:
        width, sign, height = size.partition("x")
        if not sign or not (width.isdecimal() and height.isdecimal()) or len(size) > 20:
            raise InputRefused(f"the size {size!r:.40} is not WxH", "write it as 64x64, in pixels")
        sides = (int(width), int(height))
    return ImageForm(sides, None if grey is None else "grey" if grey else "colour")


def one_dialect(text: CsvDialect | None, images: ImageForm | None) -> Dialect | None:
    """The one of the two that was said; None where nothing was.

    Raises:
        InputRefused: both were.
    """
    if text is not None and images is not None:
        raise InputRefused("a source is a text or a folder of images", "say how one of them is read")
    return text if images is None else images


def rules(texts: Sequence[str]) -> frozenset[Rule]:
    """The rules that a table may break.

    Raises:
        InputRefused: a word is none of them.
    """
    from fitchain.pod.compute.dataset import Rule
    from fitchain.pod.values.recipe.fields import choice

    return frozenset(Rule(choice("--insist", text, list(Rule))) for text in texts)
