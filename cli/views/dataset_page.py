"""A dataset's card as one HTML page: no script, nothing from elsewhere.

A card is a stranger's text. Each piece of it is escaped, stands in an element that keeps its
direction to itself, and has no control characters; and the page's own policy forbids whatever a
browser would run or fetch.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from fitchain.cli.views.amounts import counted
from fitchain.cli.views.dataset import (
    MADE_UP,
    ShownDataset,
    budget_words,
    categories_of,
    certificate_lines,
    columns_of,
    commands_of,
    conditions_of,
    constants_text,
    dataset_pairs,
    kind_text,
)
from fitchain.cli.views.output import printable

if TYPE_CHECKING:
    from fitchain.pod.compute.dataset import Column

FOLDED_FROM, COLUMNS_FOLDED_FROM = 8, 100
"""Lists of more categories, and the columns beyond so many, are folded."""
POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
STYLE = """
:root { color-scheme: light dark; --line: #d5d5d5; --soft: #666; --ground: #f5f6f7; --accent: #0b6e99; }
@media (prefers-color-scheme: dark) {
  :root { --line: #444; --soft: #aaa; --ground: #26282b; --accent: #6db9dd; }
}
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 0 auto; padding: 1rem 1.25rem 3rem; }
h1 { font-size: 1.7rem; line-height: 1.25; margin: .5rem 0; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 2.2rem 0 .6rem; border-bottom: 1px solid var(--line); padding-bottom: .3rem; }
p, li, dd { overflow-wrap: anywhere; }
.description { white-space: pre-wrap; }
dl { display: grid; grid-template-columns: minmax(6rem, max-content) 1fr; gap: .3rem 1.2rem; margin: 1rem 0; }
dt, .soft { color: var(--soft); }
dd { margin: 0; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .93rem; }
th, td { text-align: left; vertical-align: top; padding: .4rem .8rem .4rem 0; border-bottom: 1px solid var(--line); }
th { color: var(--soft); font-weight: 600; white-space: nowrap; }
td { min-width: 4rem; max-width: 28rem; overflow-wrap: anywhere; }
summary { cursor: pointer; color: var(--accent); }
pre { background: var(--ground); padding: .8rem 1rem; overflow-x: auto; border-radius: 6px; font-size: .88rem; }
meter { width: 12rem; max-width: 100%; }
@media (max-width: 34rem) { dl { grid-template-columns: 1fr; gap: 0; } dd { margin-bottom: .6rem; } }
"""


def dataset_page(shown: ShownDataset) -> str:
    """The page, whole.

    Args:
        shown: with a preview of made-up records, or why there is none.
    """
    card = shown.card
    elsewhere = ("name", "description", "privacy")
    facts = [(label, value) for label, value in dataset_pairs(shown) if label not in elsewhere]
    description = "\n".join(_text(line) for line in card.description.splitlines())
    parts = [
        f"<h1>{_text(card.name)}</h1>",
        f'<p class="description">{description}</p>' if description else "",
        _definitions((label, value) for label, value in facts if value is not None),
        _section("Columns", _columns(shown)),
        _budget(shown),
        _section("What a job may be asked for", _list(conditions_of(card.policy))),
        _section("What the certificate says", _list(certificate_lines(card))),
        _section("Made-up records", _preview(shown)),
        _section("To train on it", f"<pre>{_lines(commands_of(shown))}</pre>"),
    ]
    head = (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{html.escape(POLICY)}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(printable(card.name))}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n"
    )
    return head + "\n".join(part for part in parts if part) + "\n</main>\n</body>\n</html>\n"


def _text(value: object) -> str:
    """Foreign text: escaped, without control characters, its direction kept to itself."""
    return f"<bdi>{html.escape(printable(value))}</bdi>"


def _section(title: str, content: str) -> str:
    return f"<section>\n<h2>{title}</h2>\n{content}\n</section>"


def _definitions(pairs: Iterable[tuple[str, object]]) -> str:
    return (
        "<dl>\n"
        + "\n".join(f"<dt>{html.escape(label)}</dt><dd>{_text(value)}</dd>" for label, value in pairs)
        + "\n</dl>"
    )


def _list(lines: Iterable[str]) -> str:
    return "<ul>\n" + "\n".join(f"<li>{_text(line)}</li>" for line in lines) + "\n</ul>"


def _lines(lines: Iterable[str]) -> str:
    return "\n".join(html.escape(printable(line)) for line in lines)


def _budget(shown: ShownDataset) -> str:
    """How much of the privacy budget is left, drawn."""
    ledger = shown.ledger
    if ledger is None or not ledger["epsilon"]:
        return ""
    words, share = budget_words(ledger), max(0.0, min(1.0, ledger["left"] / ledger["epsilon"]))
    meter = f'<meter min="0" max="1" value="{share:.4f}"></meter>'
    return _section("Privacy budget", f"<p>{meter}</p>\n<p>{_text(words)}</p>")


def _columns(shown: ShownDataset) -> str:
    columns = columns_of(shown.card)
    first, rest = columns[:COLUMNS_FOLDED_FROM], columns[COLUMNS_FOLDED_FROM:]
    parts = [_table_of(shown, first)]
    if rest:
        parts.append(
            f"<details><summary>{counted(len(rest), 'column')} more</summary>\n{_table_of(shown, rest)}\n</details>"
        )
    return "\n".join(parts)


def _table_of(shown: ShownDataset, columns: Sequence[Column]) -> str:
    rows = [
        [
            f"{_text(each.name)}{' <span class=soft>(target)</span>' if each.name == shown.card.target else ''}",
            _text(kind_text(each)),
            _text(each.unit) if each.unit else "",
            _published(shown, each),
        ]
        for each in columns
    ]
    return _table(["column", "kind", "unit", "published"], rows)


def _published(shown: ShownDataset, column: Column) -> str:
    """Constants, or categories; of many categories a list that is folded."""
    categories = categories_of(shown.card, column)
    if not categories:
        return _text(constants_text(shown.card, column))
    all_of_them = ", ".join(_text(each) for each in categories)
    if len(categories) <= FOLDED_FROM:
        return all_of_them
    return f"<details><summary>{len(categories)} categories</summary>{all_of_them}</details>"


def _preview(shown: ShownDataset) -> str:
    preview = shown.preview
    if preview is None or not preview.rows:
        return f"<p>{_text(preview.reason if preview else 'not fetched')}</p>"
    count = len(preview.columns)
    rest = f' <span class="soft">(the first {count} columns)</span>' if preview.is_cut else ""
    rows = [[_text(cell) for cell in row] for row in preview.rows]
    return f"<p>{MADE_UP.capitalize()}.{rest}</p>\n{_table([_text(name) for name in preview.columns], rows)}"


def _table(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table that scrolls by itself where it is too wide; cells are HTML already."""
    head = "".join(f"<th>{header}</th>" for header in headers)
    body = "\n".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="wide"><table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table></div>'
