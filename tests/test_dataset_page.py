"""A dataset's page: all that its card says, of which nothing runs, in a terminal and in a browser."""

from __future__ import annotations

import re
import subprocess
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from fitchain.cli.views.dataset import MOST_COLUMNS_SHOWN, ShownDataset, dataset_views
from fitchain.cli.views.dataset_page import COLUMNS_FOLDED_FROM, dataset_page
from fitchain.cli.views.output import Rows, printable
from fitchain.pod.compute.dataset import Column, ReadingTerms, RiskTerms, Table, mock_table, register
from fitchain.pod.parties.scientist.preview import Preview, first_records
from fitchain.pod.ports.registry import DatasetEntry
from fitchain.pod.ports.store import Cid
from fitchain.pod.values.amounts import FIT
from fitchain.pod.values.digest import sha256
from fitchain.pod.values.ids import DatasetId
from tests.optional import browser
from tests.policies import open_policy

HOSTILE = "</style><script>alert(1)</script><img src=x onerror=alert(1)>\u202e&quot;'"
ALLOWED = {
    *("html", "head", "meta", "title", "style", "body", "main", "h1", "h2", "p", "section", "dl", "dt", "dd", "ul"),
    *("li", "table", "thead", "tbody", "tr", "th", "td", "div", "span", "bdi", "details", "summary", "pre", "meter"),
}


class Page(HTMLParser):
    """Which elements a browser sees, with their attributes, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words += data


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> ShownDataset:
    """A table of a clinic, whose owner means no good."""
    path = tmp_path_factory.mktemp("clinic") / "clinic.csv"
    wards = ["<b>North</b>", "South", *(f"ward {number}" for number in range(20))]
    rows = [
        f"{20 + n % 60},{'' if n % 9 == 0 else n * 0.37:.4},{wards[n % 22]},2026-0{1 + n % 9}-1{n % 10},"
        f"{n % 2},{'fm'[n // 2 % 2]},{'well' if n % 3 else 'ill'}"
        for n in range(220)
    ]
    path.write_text("\n".join(['age,CRP,ward,admitted,"smoker <i>",sex,outcome', *rows, ""]))
    table = Table.read(path, ReadingTerms(target="outcome"))
    policy = open_policy(minimum_price=5 * FIT, maximum_steps=2000, held_out=0.2, risk=RiskTerms(0.05, True))
    made = register(table, bytes(32), f"Clinic {HOSTILE}", price=10 * FIT, policy=policy, subgroups={"sex": True})
    card = replace(
        made.card,
        description=f"Admissions of 2026.\n{HOSTILE}\n" + "A long line about how records were collected. " * 6,
        licence="CC-BY-4.0",
        columns=tuple(replace(c, unit={"age": "years", "CRP": "mg/l"}.get(c.name, c.unit)) for c in made.card.columns),
    )
    entry = DatasetEntry(
        DatasetId(sha256(b"id")), "0x" + "5" * 40, card.root, card.count, Cid.of(0x55, bytes(32)), True, 1
    )
    ledger = {"ledger": 1, "ledgers": 1, "unit": None, "delta": 1e-5, "epsilon": 4.0, "spent": 1.5, "left": 2.5}
    preview = first_records(card, mock_table(card, table, 64, bytes(32)))
    return ShownDataset(entry, card, ledger, False, preview)


def test_a_strangers_text_is_text_and_nothing_else(shown: ShownDataset) -> None:
    text = dataset_page(shown)
    page = Page(text)
    assert {tag for tag, _ in page.elements} <= ALLOWED
    names = {name for _, attributes in page.elements for name in attributes}
    assert names <= {"lang", "charset", "http-equiv", "content", "name", "class", "min", "max", "value"}
    assert "alert(1)" in page.words and "\u202e" not in text and "\\u202e" in text
    assert not re.search(r"url\(|@import|javascript:|https?:", text.split("<body>")[0])


def test_the_page_says_what_a_scientist_decides_by(shown: ShownDataset) -> None:
    words = Page(dataset_page(shown)).words
    for said in (
        *(
            "220",
            "10 FIT, at least 5 FIT",
            "CC-BY-4.0",
            "mg/l",
            "years",
            "days since",
            "outcome (classification): ill, well",
        ),
        *("epsilon 2.5 is left of 4", "22 categories", "<b>North</b>", "at most 2000 steps", "20% of the records"),
        *(
            "like a real one by chance alone",
            f"--dataset {shown.entry.id.short}",
            "the same by sex",
            "the salted digest of a privacy-risk report and its summary",
        ),
    ):
        assert said in words, said
    assert shown.preview is not None
    for row in shown.preview.rows:
        assert all(printable(cell) in words for cell in row)
    assert {row[6] for row in shown.preview.rows} <= {"ill", "well"} and shown.preview.rows[0][3].startswith("20")


def test_what_is_not_there_is_said(shown: ShownDataset) -> None:
    bare = replace(shown, preview=Preview(reason="its owner publishes none"), ledger=None)
    assert "its owner publishes none" in dataset_page(bare) and "<meter" not in dataset_page(bare)
    quiet = replace(shown.card, policy=replace(shown.card.policy, metrics_leave=False))
    assert "not what the model does on held-out records" in dataset_page(replace(shown, card=quiet))


def test_many_columns_are_folded_on_the_page_and_cut_in_a_terminal(shown: ShownDataset) -> None:
    names = [f"g{number}" for number in range(300)]
    wide = replace(shown.card, columns=(*shown.card.columns, *(Column(name, "float64") for name in names)))
    text, views = dataset_page(replace(shown, card=wide)), dataset_views(replace(shown, card=wide))
    folded = len(wide.feature_names) - COLUMNS_FOLDED_FROM
    assert f"{folded} columns more" in text and "g299" in text
    rows = next(view for view in views if isinstance(view, Rows))
    assert len(rows.rows) == MOST_COLUMNS_SHOWN and any("columns more: --page" in str(view) for view in views)


@pytest.mark.browser
@pytest.mark.parametrize("width", [1280, 400])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_a_browser_draws_the_page_and_runs_nothing(shown: ShownDataset, tmp_path: Path, width: int, dark: bool) -> None:
    (tmp_path / "page.html").write_text(dataset_page(shown))
    scheme = ["--force-dark-mode", "--blink-settings=preferredColorScheme=0"] if dark else []
    command = [
        *(browser(), "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", *scheme),
        *(f"--user-data-dir={tmp_path / 'profile'}", f"--window-size={width},1800"),
        *(f"--screenshot={tmp_path / 'page.png'}", "--dump-dom", f"file://{tmp_path / 'page.html'}"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    page = Page(done.stdout)
    assert {tag for tag, _ in page.elements} <= ALLOWED and "Clinic </style><script>" in page.words
