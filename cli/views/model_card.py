"""A verified certificate as a model card of Hugging Face: README.md with YAML in front.

A card is read by people who have checked nothing, so it says what `fitchain proof verify` said to
whoever exported it, in its own words, and nothing beyond. Names and descriptions come from a
dataset's card, whose author is a stranger: none of them is markup here.

Source: https://huggingface.co/docs/hub/model-cards; https://github.com/huggingface/hub-docs
(modelcard.md)
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fitchain.cli.licences import hub_lines
from fitchain.cli.views import recipe as recipe_view
from fitchain.cli.views.dataset import describe_target
from fitchain.cli.views.figures import Figure, figures_of
from fitchain.cli.views.lineage import lineage_pairs
from fitchain.cli.views.output import cut_middle, printable, text_of
from fitchain.cli.views.units import records_trained_on
from fitchain.cli.views.verdict import (
    ASSURANCES,
    describe_choice,
    describe_held_out,
    describe_privacy,
    describe_risk,
    describe_subgroups,
    describe_verdict,
)
from fitchain.pod.values.job_folder import CERTIFICATE, MODEL

if TYPE_CHECKING:
    from fitchain.pod.compute.dataset import Card
    from fitchain.pod.proof.certificate import Verdict
    from fitchain.pod.values.digest import Digest

TO_FILL_IN = "**To be filled in by whoever publishes this model.**"
"""Marks what no certificate says and a reader of a card looks for."""
WIDTH = 110
"""Of the block with the words of `verify`."""
MOST_NAMED = 40
"""Columns that are named; of more, how many there are."""
LONGEST_DESCRIPTION = 2000
_MARKUP = re.compile(r"([\\`*_{}\[\]<>#|~&$!])")
_PLAIN_YAML = re.compile(r"[\x20-\x7e\xa0-\u2027\u202f-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True)
class CardTerms:
    """What a card says beside the verdict.

    Args:
        title: of the card, and the model's name in its results.
        license: SPDX' identifier or another (`cli/licences.py`), which stands there as the Hub
            writes it; empty where nobody said one.
        files: what lies in the folder, by name: what each is, and may be trusted for.
        certificate: SHA-256 of the certificate's file.
    """

    title: str
    license: str
    files: Mapping[str, str]
    certificate: Digest


def model_card(verdict: Verdict, terms: CardTerms) -> str:
    """Write a card.

    Args:
        verdict: of a certificate that holds.
        terms: what else it says.
    """
    return "\n".join(["---", *_front(verdict, terms), "---", "", *_body(verdict, terms)]) + "\n"


def default_title(verdict: Verdict) -> str:
    """What a model is called where nobody said it: by its job."""
    return f"fitchain-{str(verdict.statement.agreement)[2:10]}"


# The YAML in front


def _front(verdict: Verdict, terms: CardTerms) -> list[str]:
    """What the Hub reads: strings as in JSON, which YAML takes as they are."""
    licence = hub_lines(terms.license) if terms.license else []
    lines = [f"{key}: {_quoted(value)}" for key, value in licence]
    task = _pipeline(verdict)
    lines += ["library_name: fitchain", *([f"pipeline_tag: {task}"] if task else []), "tags:"]
    lines += [f"- {tag}" for tag in ("fitchain", "safetensors", *(("onnx",) if "model.onnx" in terms.files else ()))]
    figures = figures_of(verdict)
    if not figures:
        return lines
    lines += ["metrics:", *(f"- {type}" for type in dict.fromkeys(figure.type for figure in figures))]
    return [*lines, "model-index:", *_index(verdict, terms, figures)]


def _index(verdict: Verdict, terms: CardTerms, figures: Iterable[Figure]) -> list[str]:
    """The results, in the form of Papers with Code."""
    card = verdict.statement.card
    lines = [f"- name: {_quoted(terms.title)}", "  results:", "  - task:"]
    lines += [f"      type: {_pipeline(verdict) or _task(card)}", "    dataset:"]
    lines += [f"      name: {_quoted(card.name)}", f"      type: {_quoted(str(verdict.statement.dataset))}"]
    lines += ["      split: held-out", "    metrics:"]
    for figure in figures:
        lines += [f"    - type: {figure.type}", f"      value: {json.dumps(figure.value)}"]
        lines += [f"      name: {_quoted(_figure_name(figure))}"]
    return lines


def _figure_name(figure: Figure) -> str:
    where = f" of {figure.part}, on {figure.counted}" if figure.part else f" on {figure.counted}"
    interval = f" (95 % interval {_interval(figure)})" if figure.interval else ""
    return f"{figure.type}{where}{interval}{f', {figure.note}' if figure.note else ''}"


def _interval(figure: Figure) -> str:
    return f"{figure.interval[0]:.4g} to {figure.interval[1]:.4g}" if figure.interval else "not told"


def _task(card: Card) -> str:
    return str(card.task) if card.task is not None else "other"


def _pipeline(verdict: Verdict) -> str:
    """The Hub's name of the task, where the columns say it; else empty."""
    recipe, card = verdict.statement.recipe, verdict.statement.card
    columns = [card.column(name) for argument in recipe.inputs for name in argument]
    task = {"classification": "classification", "multi-label": "classification", "regression": "regression"}
    if card.task is None:
        return ""
    if all(not column.shape for column in columns):
        return f"tabular-{task[str(card.task)]}"
    is_text = all(str(column.kind) == "tokens" for column in columns)
    return "text-classification" if is_text and str(card.task) != "regression" else ""


def _quoted(text: str) -> str:
    """A text in the double quotes of YAML: what it does not print is escaped."""
    escaped = (letter if _PLAIN_YAML.fullmatch(letter) and letter not in '"\\' else _escape(letter) for letter in text)
    return f'"{"".join(escaped)}"'


def _escape(letter: str) -> str:
    return f"\\{letter}" if letter in '"\\' else f"\\u{ord(letter):04x}"


# The page


def _body(verdict: Verdict, terms: CardTerms) -> list[str]:
    statement = verdict.statement
    seen = verdict.history.seen_at
    when = f"{datetime.fromtimestamp(seen.timestamp, UTC):%Y-%m-%d %H:%M} UTC"
    level = verdict.assurance.label
    lines = [f"# {_inline(terms.title)}", ""]
    lines += [
        f"A model with a certificate of Fitchain, `{CERTIFICATE}`: of a training on"
        f" {records_trained_on(statement.card, statement.recipe, statement.steps)} of {_inline(statement.card.name)},"
        " which stayed with their owner. What a certificate is worth rests on who vouches for it, and on who"
        " checks it.",
        "",
        "## Who vouches for it",
        "",
        f"**{level}: {_inline(ASSURANCES[level])}**",
        "",
        f"Because: {_inline(verdict.reason)}",
        "",
        f"So it was told to whoever exported this card, by that person's own trust list, at block {seen.number} of"
        f' the chain {statement.chain_id} ({when}). "You" is that person. To somebody else the level may be'
        " another, and a card can be written by anybody: check it yourself, on your own node and trust list:",
        "",
        *_fenced([f"fitchain proof verify {MODEL} {CERTIFICATE}"], "console"),
        "",
        "Its whole answer then:",
        "",
        *_fenced(text_of(describe_verdict(verdict, Path(MODEL)).views, WIDTH).splitlines(), "text"),
        "",
        "## Intended use",
        "",
        f"{TO_FILL_IN} The certificate does not say what the model is for, and on whom it should not be used.",
        "",
    ]
    lines += ["## Results on held-out records", "", *_results(verdict), ""]
    lines += ["## Data", "", *_table(_data(verdict)), ""]
    lines += ["## How it was trained", "", *_table(_training(verdict)), ""]
    lines += ["## Certificate", "", *_table(_certificate(verdict, terms)), ""]
    lines += ["## Files", "", *_table([(f"`{name}`", _inline(words)) for name, words in terms.files.items()])]
    return lines


def _results(verdict: Verdict) -> list[str]:
    sentence = describe_held_out(verdict)
    if sentence is None:
        return ["None: no records were held out, or the training ended before its last step."]
    lines = [f"{_inline(each)}." for each in (sentence, *describe_subgroups(verdict))]
    figures = figures_of(verdict)
    if not figures:
        return lines
    rows = [
        (figure.type, _inline(_records_of(figure)), f"{figure.value:.4g}", _interval(figure), _inline(figure.note))
        for figure in figures
    ]
    return [*lines, "", *_rows(("figure", "records", "value", "95 % interval", "note"), rows)]


def _records_of(figure: Figure) -> str:
    return f"{figure.part}: {figure.counted}" if figure.part else figure.counted


def _data(verdict: Verdict) -> list[tuple[str, str]]:
    """What the dataset's card says, which is its owner's word."""
    statement = verdict.statement
    card, columns = statement.card, [name for argument in statement.recipe.inputs for name in argument]
    more = f" and {len(columns) - MOST_NAMED} more" if len(columns) > MOST_NAMED else ""
    pairs: list[tuple[str, Any]] = [
        ("name", card.name),
        ("description", cut_middle(card.description, LONGEST_DESCRIPTION)),
        ("licence of the data", card.licence),
        ("records", card.record_count),
        ("dataset", statement.dataset),
        ("root", statement.dataset_root),
        ("inputs", ", ".join(columns[:MOST_NAMED]) + more),
        ("target", describe_target(card)),
        ("owner", statement.owner),
    ]
    stated = [(label, _inline(str(value))) for label, value in pairs if value]
    return [*stated, ("who says so", "the owner, in the dataset's card; that the records are true is not proven")]


def _training(verdict: Verdict) -> list[tuple[str, str]]:
    statement = verdict.statement
    pairs = [*recipe_view.pairs_of(statement.recipe), ("recipe", statement.recipe.digest)]
    pairs.append(("began with", f"the registered model {statement.lineage[0].id}"))
    pairs += lineage_pairs(statement.lineage, verdict.parentages, verdict.lineage_whole)
    if statement.ended is not None:
        pairs.append(("ended early", f"{statement.ended.words} (as the owner states)"))
    pairs.append(("chosen", describe_choice(verdict)))
    pairs.append(("privacy", describe_privacy(verdict) or "no privacy budget: nothing bounds what it remembers"))
    pairs.append(("risk report", describe_risk(verdict)))
    return [(_inline(label), _inline(str(value))) for label, value in pairs if value is not None]


def _certificate(verdict: Verdict, terms: CardTerms) -> list[tuple[str, str]]:
    statement = verdict.statement
    pairs: list[tuple[str, Any]] = [
        ("SHA-256 of the certificate", terms.certificate.value.hex()),
        ("SHA-256 of the model", statement.subject.value.hex()),
        ("agreement", statement.agreement),
        ("chain", statement.chain_id),
        *((f"contract {name}", address) for name, address in statement.contracts.items()),
        ("owner", statement.owner),
        ("scientist", statement.scientist),
        ("transcript", statement.transcript_root),
        ("final model", statement.final_model),
    ]
    return [(label, f"`{value}`") for label, value in pairs]


# Markdown


def _inline(text: str) -> str:
    """A text in a line of Markdown, as it stands: nothing in it is markup, or HTML, or a link."""
    plain = " ".join(printable(" ".join(text.split())).split())
    escaped = _MARKUP.sub(r"\\\1", plain).replace("\\<", "&lt;").replace("\\>", "&gt;").replace("\\&", "&amp;")
    return escaped.replace("://", "&#58;//").replace("www.", "www&#46;").replace("@", "&#64;")


def _table(pairs: Iterable[tuple[str, str]]) -> list[str]:
    return ["| | |", "|---|---|", *(f"| {label} | {value} |" for label, value in pairs)]


def _rows(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    head = [f"| {' | '.join(headers)} |", f"|{'---|' * len(headers)}"]
    return [*head, *(f"| {' | '.join(row)} |" for row in rows)]


def _fenced(lines: Sequence[str], language: str) -> list[str]:
    """Lines as they are, in a fence that none of them closes."""
    longest = max((len(run) for line in lines for run in re.findall(r"`+", line)), default=0)
    fence = "`" * max(3, longest + 1)
    return [f"{fence}{language}", *lines, fence]
