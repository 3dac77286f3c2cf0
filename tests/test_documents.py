"""Documents say what is so: files, modules and commands that they name are there, and what they
show after a prompt is run."""

from __future__ import annotations

import ast
import math
import re
import subprocess
import sys
from collections.abc import Iterator
from fractions import Fraction
from functools import cache
from itertools import pairwise
from math import comb
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from fitchain.cli.app import app
from fitchain.pod.compute.environment import installed_torch
from fitchain.pod.compute.environment.process import refuse_other_host, shipped_probe
from fitchain.pod.parties.owner.pod import KEEP_S
from fitchain.pod.ports.chain.deploy import FEE_FLOOR, TURN_BLOCKS
from fitchain.pod.ports.settings import Settings
from fitchain.pod.ports.store.endpoints import ENDPOINT_BYTES, MOST_ADDRESSES
from fitchain.pod.proof.audit.cost import Sampling, SeatRisk
from fitchain.pod.proof.audit.plan import MOST_STAKE_FEES, default_draws, default_money
from fitchain.pod.values.amounts import FIT
from fitchain.pod.values.digest import Digest
from fitchain.pod.values.errors import EnvironmentRefused
from fitchain.pod.values.recipe import Environment
from tests.source_text import DOCUMENTS, ROOT, blocks_of, name_of, nodes_of, python_in, spans_of, tree_of
from tests.terminals import terminals_at, walk_of

DOCS = ROOT / "docs"
TOUR = DOCS / "architecture.md"
HISTORY = ROOT / "CHANGELOG.md"
"""Tells of files and commands as they were called."""

CURRENT = [path for path in DOCUMENTS if path != HISTORY]
PROBE = ("fitchain.pod.compute.environment", "probe", "cpu-x86-64-v3", "1")
NAMED_FILE = re.compile(r"^(?:pod|cli|scripts|tests|contracts|docs|examples|snapshots|fitchain(?=/__init__))/[\w./-]+$")
CONTRACT_CALL = re.compile(r"^(?:FitCoin|Directory|Registry|Verifiers|Agreements|ProofOfTrain|Audits)\.[a-z]\w+$")


# What a document names


@pytest.mark.parametrize("document", CURRENT, ids=name_of)
def test_files_that_a_document_names_are_there(document: Path) -> None:
    text = document.read_text()
    named = [span for span in spans_of(text) if NAMED_FILE.match(span)]
    linked = re.findall(r"\]\((?!https?:)([^)#\s]+)\)", text)
    missing = [path for path in named if not (ROOT / path).exists()]
    missing += [path for path in linked if not (document.parent / path).exists()]
    assert missing == []


@pytest.mark.parametrize("document", CURRENT, ids=name_of)
def test_functions_of_contracts_that_a_document_names_are_there(document: Path) -> None:
    calls = [span.split(".") for span in spans_of(document.read_text()) if CONTRACT_CALL.match(span)]
    assert [call for call in calls if not re.search(rf"\bfunction {call[1]}\b", contract_text(call[0]))] == []


def contract_text(name: str) -> str:
    interface = ROOT / "contracts" / "interfaces" / f"I{name}.sol"
    return (ROOT / "contracts" / f"{name}.sol").read_text() + (interface.read_text() if interface.exists() else "")


def section(document: Path, heading: str) -> str:
    """What stands under a heading, up to the next of its rank or a higher one."""
    rank = heading.split(" ")[0]
    _, _, rest = document.read_text().partition(f"\n{heading}\n")
    assert rest, f"{document.name} has no heading {heading!r}"
    return re.split(rf"^#{{1,{len(rank)}}} ", rest, maxsplit=1, flags=re.MULTILINE)[0]


def test_readme_draws_the_storeys_as_they_are() -> None:
    drawn = re.findall(r"^  (\w+) ", section(ROOT / "README.md", "## Where things are"), re.MULTILINE)
    assert sorted(drawn) == sorted(path.name for path in (ROOT / "pod").iterdir() if (path / "__init__.py").exists())


@pytest.mark.parametrize("storey", ["values", "ports", "compute", "proof", "jobs", "parties"])
def test_tour_has_a_line_for_every_module_of_a_storey_and_none_besides(storey: str) -> None:
    told = re.findall(r"^\| `(\w+)` \|", section(TOUR, f"### {storey}"), re.MULTILINE)
    modules = [path.stem for path in (ROOT / "pod" / storey).iterdir() if not path.name.startswith("_")]
    assert sorted(told) == sorted(modules)


def test_tour_has_a_line_for_every_module_of_the_store() -> None:
    told = re.findall(r"^\| `(\w+)` \|", section(TOUR, "## Two stores, one kind of object"), re.MULTILINE)
    modules = [path.stem for path in (ROOT / "pod/ports/store").glob("*.py") if not path.name.startswith("_")]
    assert sorted(told) == sorted(modules)


PACKAGES = sorted(path.parent for path in (ROOT / "pod").rglob("__init__.py"))


@pytest.mark.parametrize("package", PACKAGES, ids=name_of)
def test_package_says_what_is_inside(package: Path) -> None:
    """In a list, which names no other module, or in a sentence."""
    text = ast.get_docstring(tree_of(package / "__init__.py")) or ""
    listed = set(re.findall(r"^ *([a-z_]+)  +\S", text, re.MULTILINE))
    python = [path for path in package.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()]
    modules = {path.stem for path in python if not path.name.startswith("_")}
    assert listed <= modules
    assert modules - listed - set(re.findall(r"`(\w+)`", text)) == set()


def test_tour_names_every_contract() -> None:
    told = re.findall(r"^\| `(\w+)` \|", section(TOUR, "## The contracts"), re.MULTILINE)
    assert sorted(told) == sorted(path.stem for path in (ROOT / "contracts").glob("*.sol"))


def defined_in(path: Path) -> set[str]:
    """What a file defines: functions and classes, methods too; in Solidity functions and types."""
    if path.suffix == ".sol":
        return set(re.findall(r"\b(?:function|struct|enum|contract|error|event) (\w+)", path.read_text()))
    named = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    return {node.name for node in nodes_of(path) if isinstance(node, named)}


def test_tour_says_where_each_step_of_a_job_is_done() -> None:
    places = [cell for row in re.findall(r"^\| .+$", section(TOUR, "## Where is …"), re.MULTILINE) for cell in [row]]
    steps = [re.findall(r"`([\w/.]+\.(?:py|sol))`((?:,? `\w+`)*)", row) for row in places[2:]]
    assert len(steps) >= 10 and all(steps)
    unknown = [
        f"{path} {name}"
        for step in steps
        for path, names in step
        for name in re.findall(r"`(\w+)`", names)
        if not (ROOT / path).exists() or name not in defined_in(ROOT / path)
    ]
    assert unknown == []


# Numbers that a document tells


def constant(name: str, path: str) -> int:
    """A constant of the contracts, in whole FIT where it is an amount."""
    match = re.search(rf"constant {name} = (\d+)", (ROOT / "contracts" / path).read_text())
    assert match, f"{path} has no constant {name}"
    return int(match[1])


def kubo_release() -> str:
    match = re.search(r"kubo v(\d+\.\d+)\.", (ROOT / "tools" / "kubo" / "go.mod").read_text())
    assert match
    return match[1]


PYTHONS = "3.11 to 3.14"
"""As set-up says it (tests/test_packaging.py)."""
IN_WORDS = {2: "twice", 8: "eight", 30: "thirty", 60: "a minute"}


def figures_of_the_example() -> list[str]:
    """What docs/trust.md says of a job of 100 FIT, 1,000 segments and three verifiers."""
    sampling = Sampling(1000, default_draws(1000, 1))
    fee, bond = (amount // FIT for amount in default_money(100 * FIT, sampling, 3, FEE_FLOOR, least_bond=100 * FIT))
    missed = [
        f"{float(sampling.detection(share)):.1%}".replace("%", " %") for share in (Fraction(1, 998), Fraction(1, 10))
    ]
    quorums = [sum(comb(m, k) * 2 ** (m - k) for k in range(m // 2 + 1, m + 1)) / 3**m for m in (3, 5, 7)]
    pool_stake = constant("poolStake", "Verifiers.sol")
    jobs = [{3: "three", 4: "four"}[SeatRisk(m, fee, MOST_STAKE_FEES * fee).jobs_to_hold() or 0] for m in (3, 5, 7)]
    three, five, seven = (f"{share:.0%}".replace("%", " %") for share in quorums)
    return [
        f"they draw {sampling.drawn_segments} segments and look at {sampling.audited}",
        f"a seat earns {fee} FIT and locks {MOST_STAKE_FEES * fee} FIT, the bond is {bond} FIT",
        f"a counter-bond {fee} FIT",
        f"{100 + bond} FIT, price and bond, with a chance of {missed[0]}",
        f"{100 + bond} FIT with {missed[1]}",
        f"two seats have {2 * MOST_STAKE_FEES * fee} FIT at stake",
        f"{4 * fee} FIT: fees and counter-bond",
        f"{MOST_STAKE_FEES * fee} FIT against a quorum, as much as twenty audits earn",
        f"{MOST_STAKE_FEES * fee // 10} FIT, a tenth of the seat's stake",
        f"in {three} of the draws of three seats, in {five} of five and in {seven} of seven",
        f"about {jobs[0]} jobs, {jobs[1]}, {jobs[2]}",
        f"{pool_stake:,} FIT a place, locked for {constant('unbondingTime', 'Verifiers.sol')} days",
        f"after {TURN_BLOCKS} blocks anybody draws",
        f"the deployment's floor ({FEE_FLOOR // FIT} FIT)",
    ]


NUMBERS = {
    "docs/audits.md": [
        f"A place in the pool costs {constant('poolStake', 'Verifiers.sol'):,} FIT",
        f"is drawn again, at most {IN_WORDS[constant('REDRAW_LIMIT', 'types/Audit.sol')]}",
    ],
    "docs/architecture.md": [f"and {IN_WORDS[int(Settings.store_patience_s)]} (`store_patience_s`)"],
    "docs/trust.md": [
        f"{IN_WORDS[KEEP_S // 86_400]} days after the job's last event",
        f"at most {ENDPOINT_BYTES} bytes and {IN_WORDS[MOST_ADDRESSES]} addresses",
        *figures_of_the_example(),
    ],
    "docs/format.md": [
        f"ASCII of at most {ENDPOINT_BYTES} bytes",
        f"at most {IN_WORDS[MOST_ADDRESSES]} addresses",
    ],
    "docs/ipfs.md": [f"builds Kubo {kubo_release()} "],
    # Whoever fakes a tenth slips by q draws with a chance of 0.9^q at most.
    "README.md": [f"with 95 % where q = {math.ceil(math.log(0.05, 0.9))} ", f"Python {PYTHONS}"],
    "CONTRIBUTING.md": [f"Python {PYTHONS}"],
}


@pytest.mark.parametrize("name", NUMBERS)
def test_numbers_that_a_document_tells_are_those_of_the_code(name: str) -> None:
    text = " ".join((ROOT / name).read_text().split())
    assert [sentence for sentence in NUMBERS[name] if sentence not in text] == []


# What a document shows of commands


def command_tree() -> dict[tuple[str, ...], set[str]]:
    """The options of every command by its path."""

    def walk(node: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], set[str]]]:
        for name, below in getattr(node, "commands", {}).items():
            yield from walk(below, (*path, name))
        yield path, {option for item in node.params for option in (*item.opts, *item.secondary_opts)}

    return dict(walk(get_command(app), ()))


COMMANDS = command_tree()
ALTERNATIVES = re.compile(r" ([\w-]+(?: \| [\w-]+)+)$")
OPTION = re.compile(r"--[a-z][a-z-]*")


def commands_in(document: Path) -> Iterator[str]:
    """Every `fitchain ...` that a document names or shows; `a | b` stands for two."""
    shown = [command for _, command in walk_of(document)]
    for text in (*spans_of(document.read_text()), *shown):
        if match := re.search(r"(?:^|[;&] |do )fitchain ([a-z].*)", text):
            line = match[1].split(";")[0].split(" & ")[0]
            if several := ALTERNATIVES.search(f" {line}"):
                head = f" {line}"[: several.start()].strip()
                yield from (f"{head} {name}".strip() for name in several[1].split(" | "))
            else:
                yield line


def path_of(command: str) -> tuple[str, ...]:
    """The longest beginning of a command line that is a command or a group."""
    words = [word for word in command.split() if not word.startswith("-")]
    paths = [tuple(words[:count]) for count in range(len(words), 0, -1)]
    return next((path for path in paths if path in COMMANDS), ())


@pytest.mark.parametrize("document", CURRENT, ids=name_of)
def test_commands_that_a_document_names_are_there_with_their_options(document: Path) -> None:
    wrong = [
        command
        for command in commands_in(document)
        if not (path := path_of(command)) or not set(OPTION.findall(command)) <= COMMANDS[path] | {"--help"}
    ]
    assert wrong == []


@pytest.mark.parametrize("document", CURRENT, ids=name_of)
def test_make_targets_that_a_document_names_are_there(document: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    text = document.read_text()
    shown = "\n".join([*spans_of(text), *blocks_of(text, "console")])
    assert set(re.findall(r"^(?:\$ )?make ([a-z-]+)", shown, re.MULTILINE)) <= targets


def calls_of_face(code: str) -> set[tuple[str, int, tuple[str, ...]]]:
    """Calls of public functions as (name, how many arguments stand by place, which by name)."""
    return {
        (node.func.attr, len(node.args), tuple(sorted(str(keyword.arg) for keyword in node.keywords)))
        for node in ast.walk(ast.parse(code))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
        if isinstance(node.func.value, ast.Name) and node.func.value.id == "fitchain"
    }


def test_readme_calls_what_the_notebook_calls_likewise() -> None:
    """The notebook is run from end to end (tests/test_notebook.py)."""
    shown = calls_of_face("\n".join(blocks_of((ROOT / "README.md").read_text(), "python")))
    played = calls_of_face((ROOT / "examples" / "notebook.py").read_text())
    forms = {(name, count) for name, count, _ in played}
    assert shown and [call for call in shown if call[:2] not in forms] == []


@cache
def texts_run_by_tests() -> set[tuple[str, str]]:
    """Pairs of texts that stand side by side in a call, a list or a tuple of some test: `run("job",
    "accept", id)`.

    What is no text there is a star: `run("pod", role)` runs the pods of all roles.
    """
    pairs = set()
    for path in python_in("tests"):
        for node in nodes_of(path):
            items = node.args if isinstance(node, ast.Call) else getattr(node, "elts", [])
            words = [str(item.value) if isinstance(item, ast.Constant) else "*" for item in items]
            pairs |= set(pairwise([*words, ""]))
    return pairs


@pytest.mark.parametrize("document", CURRENT, ids=name_of)
def test_every_command_that_a_document_names_is_run_by_a_test(document: Path) -> None:
    walked = {path_of(command) for path in DOCUMENTS for command in commands_in_walk(path)}
    tried = texts_run_by_tests()
    singles = {first for first, _ in tried}
    untried = [
        command
        for command in commands_in(document)
        if (path := path_of(command)) not in walked
        and (tried.isdisjoint({path[:2], (path[0], "*")}) if len(path) > 1 else not path or path[0] not in singles)
    ]
    assert untried == []


def python_commands() -> set[tuple[str, ...]]:
    """Every `python -m MODULE ...` that documents name outside of walks."""
    spans = [span for path in CURRENT for span in spans_of(path.read_text())]
    return {tuple(span.split()[2:]) for span in spans if span.startswith("python -m ")}


def test_python_commands_that_documents_name_run_and_answer() -> None:
    """The probe's prints what ships, on a host of its class; what the others write is compared by
    tests/test_contracts.py, and mutations are tried by tests/test_mutation.py."""
    written = {("scripts.compile_contracts",), ("scripts.contract_vectors",)}
    assert python_commands() == {PROBE, *written, ("scripts.mutation.rules",), ("scripts.mutation.operators",)}
    done = subprocess.run([sys.executable, "-m", *PROBE], cwd=ROOT, capture_output=True, text=True)
    _, _, name, threads = PROBE
    try:
        environment = Environment(name, int(threads), installed_torch())
        refuse_other_host(environment)
    except EnvironmentRefused as refused:
        assert (done.returncode, refused.message in done.stderr) == (3, True)
    else:
        assert shipped_probe(environment) in (None, Digest.parse(done.stdout.strip()))


def commands_in_walk(document: Path) -> Iterator[str]:
    for _, command in walk_of(document):
        yield from re.findall(r"\bfitchain ([^;&|]+)", command)


def test_no_console_block_shows_what_no_walk_runs() -> None:
    """What is shown without a terminal's prompt is a make target, or what it printed."""
    lines = [
        f"{name_of(document)}: {line}"
        for document in DOCUMENTS
        for block in blocks_of(document.read_text(), "console")
        for line in block.splitlines()
        if line.startswith("$ ")
        and not line.startswith(("$ make ", "$ make\t"))
        and line.split("#")[0].strip() != "$ make"
    ]
    assert lines == []


WALKS = [
    DOCS / "audits.md",
    DOCS / "exports.md",
    DOCS / "fine-tuning.md",
    DOCS / "ipfs.md",
    DOCS / "tables.md",
]


def test_every_document_with_prompts_is_walked() -> None:
    assert [path for path in DOCUMENTS if walk_of(path)] == [ROOT / "README.md", *WALKS]


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_the_walk_of_an_audit_runs_as_it_is_shown(tmp_path: Path) -> None:
    readme, audit = walk_of(ROOT / "README.md"), walk_of(DOCS / "audits.md")
    registered = next(place for place, (_, command) in enumerate(readme) if "data register" in command)
    commands = [*readme[:registered], *audit]
    with terminals_at(tmp_path, commands) as walkers:
        walkers.walk(commands)
        assert "sampled" in walkers.terminals["scientist"].log


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_the_walk_of_a_mixed_table_runs_as_it_is_shown(tmp_path: Path) -> None:
    """Texts, codes, dates and holes, to a certificate that a stranger with an empty home verifies."""
    readme, table = walk_of(ROOT / "README.md"), walk_of(DOCS / "tables.md")
    commands = [*readme[: next(at for at, (_, command) in enumerate(readme) if "demo.samples" in command)], *table]
    with terminals_at(tmp_path, commands) as walkers:
        walkers.walk(commands)
        scientist, stranger = (walkers.terminals[name].log for name in ("scientist", "stranger"))
    assert re.search(r"^input x +sex, age, age is missing, fare, class, boarded \(float32, 9\)$", scientist, re.M)
    assert re.search(r"^input codes +deck, port \(int64, 2\)$", scientist, re.M)
    said = " ".join(stranger.split())
    result = r"held out as the owner states, on 180 held-out records that nobody trained on: accuracy .*?, AUC (\S+)"
    learned = re.search(result, said)  # the order's draw moves it: 0.92, give or take 0.02
    assert learned and float(learned[1]) > 0.8, stranger
    assert not (tmp_path / "walk" / "stranger" / "keys").exists()


@pytest.mark.long
@pytest.mark.formats
@pytest.mark.timeout(1200)
def test_the_walk_of_exports_runs_as_it_is_shown(tmp_path: Path) -> None:
    readme, exports = walk_of(ROOT / "README.md"), walk_of(DOCS / "exports.md")
    fetched = next(place for place, (_, command) in enumerate(readme) if "model fetch" in command)
    commands = [*readme[: fetched + 1], *exports]
    with terminals_at(tmp_path, commands) as walkers:
        walkers.walk(commands)
        assert "Verification succeeded" in walkers.terminals["scientist"].log
        names = {path.name for path in (tmp_path / "walk" / "scientist" / "public").iterdir()}
    assert {"model.onnx", "README.md", "bom.cdx.json", "model.sig"} <= names


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_the_walk_of_a_fine_tuning_runs_as_it_is_shown(tmp_path: Path) -> None:
    readme, tuning = walk_of(ROOT / "README.md"), walk_of(DOCS / "fine-tuning.md")
    published = next(place for place, (_, command) in enumerate(readme) if "model publish" in command)
    with terminals_at(tmp_path, commands := [*readme[:published], *tuning]) as walkers:
        walkers.walk(commands)
        said = " ".join(walkers.terminals["scientist"].log.split())
    assert "sealed to those who are offered a model over it" in said
    assert "their bytes were not looked at" in said and "the file named with --base holds them" in said
    assert (tmp_path / "tuned" / "whole.safetensors").stat().st_size > 10**6
    assert (tmp_path / "tuned" / "model.safetensors").stat().st_size < 10**4


@pytest.mark.ipfs
def test_the_walk_of_two_nodes_runs_as_it_is_shown(tmp_path: Path) -> None:
    commands = walk_of(DOCS / "ipfs.md")
    with terminals_at(tmp_path, commands) as walkers:
        walkers.walk(commands)
        assert (tmp_path / "fetched" / "recipe.toml").exists()
