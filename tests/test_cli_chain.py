"""Commands on a chain: datasets by hand, and what happens when something is not as it should be."""

from __future__ import annotations

import fcntl
import io
import json
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fitchain.cli.app import run
from fitchain.cli.views.amounts import counted
from fitchain.pod.jobs.journal import Journal
from fitchain.pod.ports import keys
from fitchain.pod.ports.memory import total_memory
from fitchain.pod.values.digest import Digest
from fitchain.pod.values.ids import DatasetId
from tests.chain_fixtures import PASSPHRASE, Account, Devnet, secret_file
from tests.limits import LIMIT_S

ROOT = Path(__file__).parent.parent
TABLE = "patient,age,dose,outcome\n" + "".join(
    f"P-{i:03},{40 + i % 37},{i * 0.5},{'well' if i % 2 else 'ill'}\n" for i in range(40)
)


@pytest.fixture(scope="module")
def home(open_account: Callable[..., Account]) -> Path:
    folder = made_home(open_account)
    (folder / "table.csv").write_text(TABLE)
    return folder


@pytest.fixture(scope="module")
def other_home(open_account: Callable[..., Account]) -> Path:
    return made_home(open_account)


def made_home(open_account: Callable[..., Account]) -> Path:
    folder = open_account().chain.settings.home
    secret_file(folder / "passphrase", PASSPHRASE + "\n")
    return folder


@pytest.fixture
def fitchain(
    home: Path, running_devnet: Devnet, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, dict[str, Any], str]]:
    """Runs a command of the home: exit code, JSON object, what was told on stderr."""
    monkeypatch.setenv("FITCHAIN_DEVNET", str(running_devnet.folder))
    monkeypatch.setenv("FITCHAIN_HOME", str(home))
    monkeypatch.setenv("FITCHAIN_PASSPHRASE_FILE", str(home / "passphrase"))

    def command(*arguments: str) -> tuple[int, dict[str, Any], str]:
        code = run([*arguments, "--json"])
        told = capsys.readouterr()
        return code, json.loads(told.out.splitlines()[-1]) if told.out else {}, told.err

    return command


Fitchain = Callable[..., tuple[int, dict[str, Any], str]]


def test_a_devnet_says_where_it_is(fitchain: Fitchain, running_devnet: Devnet) -> None:
    code, told, _ = fitchain("devnet", "status")
    assert code == 0 and told["running"] and told["rpc"] == running_devnet.record.rpc


def test_deploying_again_finds_what_stands(fitchain: Fitchain, running_devnet: Devnet) -> None:
    code, told, _ = fitchain("deploy")
    assert code == 0 and told["contracts"] == dict(running_devnet.deployment.addresses)
    assert (told["fee_floor"], told["turn_blocks"], told["minimum_window_s"], told["number"]) == ("1", 8, 1, 0)
    assert told["directory"] == running_devnet.deployment.directory
    assert all(Path(file).is_file() for file in (told["file"], *told["verification"]))


@pytest.mark.parametrize("choice", [("--fee-floor", "0"), ("--turn-blocks", "0"), ("--number", "-1")])
def test_a_deployment_out_of_range_is_refused(fitchain: Fitchain, choice: tuple[str, str]) -> None:
    code, told, _ = fitchain("deploy", *choice)
    assert (code, told["error"]["kind"]) == (3, "InputRefused")


REGISTER, OPEN = (
    ("data", "register", "--target", "outcome", "--drop", "patient", "--yes"),
    "--models-may-reveal-records",
)


def test_a_dataset_is_open_to_strangers_in_so_many_words_only(
    fitchain: Fitchain, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    register = (*REGISTER, str(home / "table.csv"))
    before = fitchain("data", "list")[1]
    code, told, _ = fitchain(*register)
    assert (code, told["error"]["kind"]) == (3, "InputRefused") and fitchain("data", "list")[1] == before
    assert "--scientist ADDRESS" in told["error"]["hint"] and OPEN in told["error"]["hint"]
    account = "0x" + "5" * 40
    for options, (says, named, words) in {
        (OPEN,): (True, [], "everybody: the owner says that models may reveal records"),
        ("--scientist", account): (False, [account], "1 named account alone; no privacy budget limits what"),
    }.items():
        made = fitchain(*register, *options)[1]
        assert (made["models_may_reveal_records"], made["open_to"]) == (says, named or None)
        policy = fitchain("data", "show", made["dataset"])[1]["card"]["policy"]
        assert (policy["models_may_reveal_records"], policy["scientists"]) == (says, named)
        assert run(["data", "show", made["dataset"]]) == 0
        assert words in " ".join(capsys.readouterr().out.split())


def test_a_dataset_is_registered_listed_shown_and_retired(
    fitchain: Fitchain, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def person(*arguments: str) -> str:
        assert run(arguments) == 0
        return capsys.readouterr().out

    register = (*REGISTER, str(home / "table.csv"), OPEN, "--price", "2.5")
    code, made, _ = fitchain(*register, "--minimum-batch", "4", "--automatic")
    assert code == 0 and made["records"] == 40 and made["columns"] == ["age", "dose", "outcome"]
    listed = fitchain("data", "list")[1]["datasets"][-1]
    assert (listed["dataset"], listed["price"], listed["active"]) == (made["dataset"], "2.5", True)
    shown = fitchain("data", "show", made["dataset"][:8])[1]
    assert (shown["price"], shown["minimum_price"], shown["card"]["price"]) == ("2.5", "2.5", str(25 * 10**17))
    page = fitchain("data", "show", made["dataset"], "--page", str(home / "page.html"))[1]["page"]
    text = Path(page).read_text()
    assert "like a real one by chance alone" in text and "<bdi>well</bdi>" in text and "P-001" not in text
    assert fitchain("data", "show", made["dataset"], "--page", str(home / "no" / "page.html"))[0] == 3
    assert "well" in person("data", "show", made["dataset"], "--mock")
    policy = shown["card"]["policy"]
    assert (policy["minimum_batch"], policy["manual_approval"], shown["card"]["target"]) == (4, False, "outcome")
    assert 0 < policy["most_memory_bytes"] < total_memory(), "a host has more than what a step may take there"
    smaller = fitchain(*register, "--most-memory", "1536")[1]["dataset"]
    assert "a step within 1536 MiB of memory" in " ".join(person("data", "show", smaller).split())
    code, told, _ = fitchain(*register, "--minimum-price", "2.6")
    assert code == 3 and "the price 2.5 FIT is below the least one 2.6 FIT" in told["error"]["message"]
    odd = ("--held-out", "0.9", "--range", "age", "--kind", "dose=nmber", "--task", "sorting", "--disclose", "opn")
    faults = fitchain(*register, *odd)[1]["error"]["faults"]
    assert [fault["message"].split(" ")[0] for fault in faults] == ["there", "--held-out", "the", "--kind", "--task"]
    assert fitchain("data", "retire", made["dataset"][:8])[0] == 0
    code, told, _ = fitchain("data", "retire", made["dataset"])
    assert (code, told["error"]["message"]) == (3, f"the dataset {made['dataset'][:10]} is retired already")
    assert not fitchain("data", "show", made["dataset"])[1]["active"]
    assert fitchain("data", "show", "abcdef")[1]["error"]["hint"] == "see `fitchain data find` or `fitchain data list`"


def test_a_dataset_of_people_with_several_records_says_whom_its_budget_protects(
    fitchain: Fitchain,
    open_account: Callable[..., Account],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    home = made_home(open_account)
    (home / "visits.csv").write_text(re.sub(r"P-0(\d)\d", r"P-\1", TABLE))
    monkeypatch.setenv("FITCHAIN_HOME", str(home))
    monkeypatch.setenv("FITCHAIN_PASSPHRASE_FILE", str(home / "passphrase"))
    register = ("data", "register", "--yes", "--target", "outcome", str(home / "visits.csv"))
    columns = ("--range", "age=0:120", "--range", "dose=0:20", "--classes", "well, ill")
    ranges = ("--transform", "ranges", *columns, "--epsilon", "3")
    for options, words in {
        ("--unit", "patient", OPEN): "units of privacy are what a privacy budget protects",
        ("--unit", "patient", "--drop", "patient", *ranges): "is the unit column, and is to be dropped",
        ("--unit", "outcome", "--drop", "patient", *ranges): "says whose record one is, and is the target",
        ("--unit", "pateint", *ranges): "the unit column 'pateint' is not in the table",
        ("--unit-records", "3", "--drop", "patient", *ranges): "no column says whose one is",
        ("--unit", "patient", "--disclose", "open", *ranges): "from them the privacy budget keeps nothing",
        ("--drop", "patient", *ranges, "--classes", "well,well"): "the class 'well' is named twice",
        ("--drop", "patient", *ranges, "--classes", "well,dead"): "column 'outcome': the cell is none of the 2",
        ("--drop", "patient", *ranges, "--classes", ""): "is either of classes or a number in a range",
    }.items():
        code, told, _ = fitchain(*register, *options)
        assert code == 3 and words in told["error"]["message"], told
    older = fitchain(*register, "--drop", "patient", OPEN)[1]
    assert not fitchain("data", "show", older["dataset"])[1]["outlived"]
    assert run([*register, "--unit", "patient", "--unit-records", "6", *ranges]) == 0
    words = "a unit is a value of 'patient', at most 6 records each; 4 units, 24 records"
    lines = " ".join(capsys.readouterr().out.split())
    assert f"{words}; 16 records of the file beyond that are never used" in lines and "24 of 3 columns" in lines
    *others, dataset = fitchain("data", "list", "--mine")[1]["datasets"]
    assert dataset["records"] == 24 and not dataset["outlived"] and others[0]["outlived"]
    assert run(["data", "show", older["dataset"]]) == 0
    assert "closed: its owner has opened a privacy ledger since" in " ".join(capsys.readouterr().out.split())
    assert run(["data", "show", dataset["dataset"]]) == 0
    lines = " ".join(capsys.readouterr().out.split())
    assert words in lines and "for each value of 'patient'" in lines and "slot filled" not in lines
    shown = fitchain("data", "show", dataset["dataset"])[1]
    assert shown["ledger"]["unit"] == "patient"
    assert shown["card"]["unit"] == {"column": "patient", "most_records": 6, "records": 24}
    assert run([*register, "--drop", "patient", *ranges[:-2], "--ledger", "1"]) == 0
    assert "a unit is a record; 40 of them" in " ".join(capsys.readouterr().out.split())


def test_a_policy_names_whose_verifiers_may_audit(
    fitchain: Fitchain, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    register = (*REGISTER, str(home / "table.csv"), OPEN)
    panel = fitchain("panel", "create", "neighbours of data")[1]["panel"]
    said = {
        (): ([], "a person's yes to any verifiers"),
        ("--panel", "any"): (None, "verifiers of any panel"),
        ("--panel", panel[:10], "--panel", "pool", "--panel", "pool"): (
            [panel, "0x" + "0" * 64],
            f"verifiers of {panel[:10]} or pool, else a person's yes",
        ),
    }
    for options, (panels, words) in said.items():
        dataset = fitchain(*register, *options)[1]["dataset"]
        assert fitchain("data", "show", dataset)[1]["card"]["policy"]["panels"] == panels
        assert run(["data", "show", dataset]) == 0
        assert words in " ".join(capsys.readouterr().out.split())
    code, _, told = fitchain(*register, "--panel", "any", "--panel", "pool")
    assert code == 3 and "--panel any admits every panel" in told


def test_a_model_is_retired_by_its_author_alone(
    fitchain: Fitchain,
    home: Path,
    other_home: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    fitchain(*REGISTER, str(home / "table.csv"), OPEN)
    dataset = fitchain("data", "list")[1]["datasets"][-1]["dataset"]
    (home / "line.py").write_text("from torch import nn\n\nline = nn.Linear(2, 2)\n")
    assert run(["model", "publish", f"{home / 'line.py'}:line", "--dataset", dataset]) == 0
    told = capsys.readouterr()
    made = dict(re.split(r"  +", line, maxsplit=1) for line in told.out.splitlines())
    assert made["next"] == f"fitchain job request --dataset {dataset[:10]} --model {made['model'][:10]}"
    assert "tracing line" in told.err
    monkeypatch.setenv("FITCHAIN_HOME", str(other_home))
    monkeypatch.setenv("FITCHAIN_PASSPHRASE_FILE", str(other_home / "passphrase"))
    code, error, _ = fitchain("model", "retire", made["model"])
    assert (code, error["error"]["kind"]) == (3, "AccessRefused")
    assert fitchain("model", "show", made["model"])[1]["active"]
    monkeypatch.setenv("FITCHAIN_HOME", str(home))
    monkeypatch.setenv("FITCHAIN_PASSPHRASE_FILE", str(home / "passphrase"))
    assert fitchain("model", "retire", made["model"][:8]) == (0, {"model": made["model"], "active": False}, "")
    assert not fitchain("model", "show", made["model"])[1]["active"]
    assert fitchain("model", "retire", made["model"])[0] == 3


def test_a_dataset_is_shown_to_people_too(fitchain: Fitchain, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    register = (*REGISTER, str(home / "table.csv"), OPEN)
    earlier = fitchain(*register)[1]["dataset"][:10]
    journal = Journal(home / "journal.db")
    of_another_deployment = DatasetId(Digest(bytes(31) + b"\x07"))
    journal.keep_dataset(replace(journal.datasets()[-1], id=of_another_deployment))
    journal.close()
    (link := home / "link.csv").symlink_to(home / "table.csv")
    for file in (home / "table.csv", link):
        code, registered, said = fitchain(*REGISTER, str(file), OPEN)
        assert f"is offered as {earlier} already" in said and f"fitchain data retire {earlier}" in said
        assert code == 0 and earlier in [each[:10] for each in registered["offered_as"]]
    assert run(["data", "list"]) == 0
    heads, *rows = capsys.readouterr().out.splitlines()
    assert heads.split() == ["dataset", "name", "records", "price", "FIT", "state", "registered"]
    assert all(re.search(r" \d{4}-\d\d-\d\d \d\d:\d\d:\d\d$", row) for row in rows)


def test_nothing_is_published_before_it_was_shown_and_a_person_said_yes(
    fitchain: Fitchain, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    register = (*(each for each in REGISTER if each != "--yes"), str(home / "table.csv"), OPEN, "--licence", "CC0-1.0")
    before = fitchain("data", "list")[1]
    for typed, kind in (("", "AccessRefused"), ("no\n", "Unusable")):
        monkeypatch.setattr("sys.stdin", io.StringIO(typed))
        code, told, shown = fitchain(*register)
        assert (code, told["error"]["kind"]) == (3, kind) and "nothing was published" in told["error"]["message"]
        assert fitchain("data", "list")[1] == before
        shown = " ".join(shown.split())
        for words in ("age whole mean", "dose number mean", "outcome category 2 categories: ill, well", "CC0-1.0"):
            assert words in shown
        assert "outcome: classification" in shown and "256 made-up records" in shown and "patient" not in shown
    monkeypatch.setattr("sys.stdin", io.StringIO("yes\n"))
    code, made, _ = fitchain(*register)
    assert code == 0 and fitchain("data", "list")[1]["datasets"][-1]["dataset"] == made["dataset"]


@pytest.mark.parametrize(
    ("options", "reason", "insisted"),
    [
        (("--target", "patient"), "40 categories in 40 records", ("many-classes", "rare-classes", "differing")),
        (
            ("--kind", "patient=category", "--target", "outcome"),
            "'patient' differs in every",
            ("many-classes", "rare-classes", "differing"),
        ),
    ],
)
def test_what_identifies_people_is_refused_unless_insisted_on(
    options: tuple[str, ...], reason: str, insisted: tuple[str, ...], fitchain: Fitchain, home: Path
) -> None:
    register = ("data", "register", "--yes", str(home / "table.csv"), OPEN, *options)
    code, told, _ = fitchain(*register)
    assert code == 3 and reason in told["error"]["message"]
    assert all(f"--insist {rule}" in told["error"]["hint"] for rule in insisted)
    assert fitchain(*register, *(word for rule in insisted for word in ("--insist", rule)))[0] == 0


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            lambda text: text.replace("P-003,43,1.5,well", "P-003,43,1.5,"),
            "line 5, column 'outcome': the cell is missing",
        ),
        (lambda text: text.replace("P-003,43,", "P-003,many,"), "age"),
        (lambda text: text.replace("outcome", "result"), "outcome"),
    ],
    ids=["a target that is missing", "a cell that is no number", "no such target"],
)
def test_a_table_that_cannot_be_registered_is_refused(
    change: Callable[[str], str], told: str, fitchain: Fitchain, tmp_path: Path
) -> None:
    (tmp_path / "bad.csv").write_text(change(TABLE))
    before = fitchain("data", "list")[1]
    code, error, _ = fitchain(*REGISTER, str(tmp_path / "bad.csv"), OPEN)
    assert code == 3 and told in error["error"]["message"]
    assert fitchain("data", "list")[1] == before


def test_a_wrong_passphrase_opens_nothing(fitchain: Fitchain, tmp_path: Path) -> None:
    (tmp_path / "wrong").write_text("incorrect horse\n")
    code, error, _ = fitchain("job", "withdraw", "--passphrase-file", str(tmp_path / "wrong"))
    assert (code, error["error"]["kind"]) == (3, "AccessRefused")


def test_a_home_without_a_key_says_how_to_make_one(fitchain: Fitchain, tmp_path: Path) -> None:
    code, error, _ = fitchain("devnet", "fund", "--home", str(tmp_path))
    assert code == 3 and "fitchain keys new" in error["error"]["hint"]


def test_nothing_is_withdrawn_where_nothing_waits(fitchain: Fitchain) -> None:
    assert fitchain("job", "withdraw")[1]["withdrawn"] == "0"


def test_no_job_is_an_empty_list(fitchain: Fitchain) -> None:
    assert fitchain("job", "list", "--all") == (0, {"jobs": [], "older": 0}, "")


@pytest.mark.parametrize("command", ["show", "watch", "approve", "reject", "accept", "cancel", "settle"])
@pytest.mark.parametrize(("id", "kind"), [("abcdef", "NotFound"), ("0x" + "12" * 32, "NotOnChain")])
def test_a_job_that_is_not_there_is_not_found(command: str, id: str, kind: str, fitchain: Fitchain) -> None:
    """A whole id may be of one that comes, or comes back: a program may ask again."""
    code, error, _ = fitchain("job", command, id)
    assert code == 3 and error["error"]["kind"] == kind


def test_a_module_must_be_named_with_its_file(fitchain: Fitchain) -> None:
    code, error, _ = fitchain("model", "publish", "model.py", "--dataset", "abcdef")
    assert code == 3 and "FILE.py:NAME" in error["error"]["hint"]


@pytest.mark.parametrize(("text", "reason"), [("epochs = ", "is not TOML"), (None, "cannot be read: there is no file")])
def test_a_recipe_that_is_no_toml_is_refused(text: str | None, reason: str, fitchain: Fitchain, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / "recipe.toml").write_text(text)
    code, error, _ = fitchain(
        "job",
        "request",
        "--dataset",
        "0x" + "1" * 64,
        "--model",
        "0x" + "2" * 64,
        "--recipe",
        str(tmp_path / "recipe.toml"),
    )
    assert code == 3 and reason in error["error"]["message"] and "recipe.toml" in error["error"]["message"]
    assert error["error"]["hint"] and "Errno" not in error["error"]["message"]


def test_funding_more_than_there_is_tells_both_amounts(fitchain: Fitchain) -> None:
    code, error, _ = fitchain("devnet", "fund", "--fit", "5000000000")
    assert code == 3 and "5000000000 FIT" in error["error"]["message"]


def test_a_node_on_another_chain_is_refused(fitchain: Fitchain, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FITCHAIN_CHAIN_ID", "1")
    code, error, _ = fitchain("data", "list")
    assert code == 3 and "31337" in error["error"]["message"]


def test_a_deployment_that_is_not_known_is_named(
    fitchain: Fitchain, running_devnet: Devnet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FITCHAIN_DEVNET", str(tmp_path))
    code, error, _ = fitchain("data", "list", "--rpc", running_devnet.record.rpc)
    assert (code, error["error"]["kind"]) == (3, "NotFound")


def test_a_node_that_is_not_there_is_tried_and_then_named(fitchain: Fitchain) -> None:
    code, error, _ = fitchain("data", "list", "--rpc", "http://127.0.0.1:9")
    assert code == 3 and "no node answers at http://127.0.0.1:9" in error["error"]["message"]


@pytest.mark.parametrize("text", ["", "{}", "<html></html>", '{"payload": "e30'])
def test_what_is_no_certificate_cannot_be_checked(fitchain: Fitchain, tmp_path: Path, text: str) -> None:
    (tmp_path / "model").write_bytes(b"")
    (tmp_path / "certificate").write_text(text)
    code, error, _ = fitchain("proof", "verify", str(tmp_path / "model"), str(tmp_path / "certificate"))
    assert code == 3 and "the file is no certificate" in error["error"]["message"]


def test_a_certificate_that_is_not_there_cannot_be_checked(fitchain: Fitchain, tmp_path: Path) -> None:
    assert fitchain("proof", "verify", str(tmp_path / "model"), str(tmp_path / "certificate"))[0] == 3


def test_a_backup_is_for_its_owner_alone(fitchain: Fitchain, home: Path, tmp_path: Path) -> None:
    code, told, _ = fitchain("keys", "backup", str(tmp_path / "backup"))
    assert code == 0 and Path(told["file"]).stat().st_mode & 0o077 == 0
    assert keys.list_keys(home)[0].recipient in Path(told["file"]).read_text()


@pytest.mark.parametrize("role", ["owner", "scientist", "verifier"])
def test_a_second_pod_of_one_home_does_not_say_that_it_serves(role: str, fitchain: Fitchain, home: Path) -> None:
    with (home / "pod.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        code, error, told = fitchain("pod", role)
    assert code == 3 and "another pod runs from the home" in error["error"]["message"]
    assert "Ctrl-C stops" not in told


@pytest.mark.parametrize("role", ["owner", "scientist"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_pod_says_what_it_serves_and_stops_cleanly_when_it_is_asked_to(
    role: str, number: signal.Signals, home: Path, other_home: Path, running_devnet: Devnet, fitchain: Fitchain
) -> None:
    offered = [each for each in fitchain("data", "list", "--mine")[1]["datasets"] if each["active"]]
    says = {"owner": f"serves {counted(len(offered), 'dataset')}; ", "scientist": "follows 0 requests; "}
    place = {"owner": home, "scientist": other_home}[role]
    variables = {
        "FITCHAIN_DEVNET": str(running_devnet.folder),
        "FITCHAIN_HOME": str(place),
        "FITCHAIN_PASSPHRASE_FILE": str(place / "passphrase"),
        "HOME": str(place),
    }
    command = [sys.executable, "-m", "fitchain.cli", "pod", role]
    with subprocess.Popen(command, cwd=ROOT, env=variables, stderr=subprocess.PIPE, text=True) as pod:
        assert pod.stderr is not None
        assert f"{says[role]}Ctrl-C stops" in pod.stderr.readline()
        pod.send_signal(number)
        assert pod.wait(LIMIT_S) == 0, pod.stderr.read()
        assert pod.stderr.read().splitlines()[0].endswith("stopping")
