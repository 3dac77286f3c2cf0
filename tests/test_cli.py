"""The command line: what it takes, what it answers, with which exit code."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
from codecs import BOM_UTF8
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fitchain.cli.answers import require_yes
from fitchain.cli.app import app, run
from fitchain.cli.command import COMMON
from fitchain.cli.ids import find_address, match_id
from fitchain.cli.passphrase import ask_passphrase
from fitchain.cli.recipe_file import read_recipe
from fitchain.cli.views.amounts import format_duration, parse_duration, parse_fit
from fitchain.cli.views.curves import sparkline
from fitchain.cli.views.output import KeyValues, Report, Rows, print_report, printable
from fitchain.pod.ports.keys import import_key
from fitchain.pod.ports.passphrase import read_passphrase
from fitchain.pod.ports.settings import load
from fitchain.pod.values.amounts import amount_text
from fitchain.pod.values.digest import Digest, sha256
from fitchain.pod.values.errors import AccessRefused, FitchainError, InputRefused, NotFound
from tests.chain_fixtures import QUICK_WORK, secret_file

ROOT = Path(__file__).parent.parent


def ids(*words: str) -> list[Digest]:
    return [Digest(bytes.fromhex(word.ljust(64, "0"))) for word in words]


# Amounts


@given(st.integers(min_value=0, max_value=(1 << 128) - 1))
def test_an_amount_written_and_read_is_the_same(units: int) -> None:
    assert parse_fit(amount_text(units)) == units


@pytest.mark.parametrize(("text", "units"), [("0", 0), ("12.5", 125 * 10**17), (".5", 5 * 10**17), ("1.", 10**18)])
def test_an_amount_is_read_in_base_units(text: str, units: int) -> None:
    assert parse_fit(text) == units


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "-1",
        "1e3",
        "1,5",
        "0x10",
        "NaN",
        "\u0661",
        "1" * 30,
        "0." + "1" * 19,
        "1 ",
        "9" * 5000,
        "0." + "1" * 5000,
    ],
)
def test_what_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(InputRefused) as error:
        parse_fit(text, "ETH")
    assert len(error.value.message) < 250 and "FIT" not in error.value.message


def test_zeros_before_an_amount_are_nothing() -> None:
    assert parse_fit("0" * 5000 + "1.5") == parse_fit("1.50")


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("10m", 600), ("12h", 43200), ("7d", 604800)])
def test_a_length_of_time_is_read_in_seconds(text: str, seconds: int) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "s", "10", "1.5h", "-1d", "1w", "9" * 5000 + "d", "99999999999999999999d"])
def test_what_is_no_length_of_time_is_refused(text: str) -> None:
    with pytest.raises(InputRefused):
        parse_duration(text)


def test_a_length_of_time_is_told_in_its_two_largest_units() -> None:
    assert [format_duration(s) for s in (0, 59, 3661, 90000)] == ["0s", "59s", "1h 1m", "1d 1h"]


# Identifiers


def test_a_unique_prefix_names_an_identifier() -> None:
    first, second = ids("abcdef01", "abcdef02")
    assert match_id("0xabcdef01", lambda: [first, second], "job", "fitchain job list") == first


def test_a_whole_identifier_needs_no_list() -> None:
    whole = sha256(b"x")
    assert match_id(str(whole), lambda: pytest.fail("asked"), "job", "") == whole


@pytest.mark.parametrize("text", ["abcde", "", "0x", "zzzzzz", "0x" + "a" * 65])
def test_what_is_no_identifier_is_refused(text: str) -> None:
    with pytest.raises(InputRefused):
        match_id(text, lambda: ids("abcdef"), "job", "")


def test_a_prefix_of_two_identifiers_is_refused() -> None:
    with pytest.raises(InputRefused, match="begins 2 jobs"):
        match_id("abcdef", lambda: ids("abcdef01", "abcdef02"), "job", "")


def test_a_prefix_of_nothing_is_not_found() -> None:
    with pytest.raises(NotFound):
        match_id("123456", lambda: ids("abcdef"), "job", "")


# What is printed


def test_foreign_text_cannot_drive_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    evil = "\x1b[2J\x07[bold]x[/bold]\r\n"
    print_report(Report({}, [KeyValues([("name", evil)]), Rows(["name"], [[evil]])]), as_json=False)
    shown = capsys.readouterr().out
    assert "\x1b" not in shown and "\x07" not in shown and "[bold]x[/bold]" in shown
    assert printable(evil) == "\\x1b[2J\\x07[bold]x[/bold]\\r\\n"


def test_json_is_one_line_of_text_for_digests_and_paths(capsys: pytest.CaptureFixture[str]) -> None:
    print_report(Report({"id": sha256(b""), "file": Path("a\nb")}, ["not this"]), as_json=True)
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    assert json.loads(out) == {"id": str(sha256(b"")), "file": "a\nb"}


def test_a_sparkline_falls_with_its_values() -> None:
    assert sparkline([8, 7, 6, 5, 4, 3, 2, 1]) == "█▇▆▅▄▃▂▁"


@given(st.lists(st.floats(-1e6, 1e6), max_size=300))
def test_a_sparkline_is_never_wider_than_asked(values: list[float]) -> None:
    assert len(sparkline(values, width=40)) == min(40, len(values))


# The error boundary


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["job", "shw"],
        ["job", "show"],
        ["job", "show", "abcdef", "--no-such"],
        ["devnet", "up", "--port", "x"],
    ],
)
def test_a_wrong_command_line_answers_2_and_points_to_help(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.splitlines()[0].startswith("error: ") and told.err.splitlines()[1].startswith(
        " hint: see `fitchain"
    )


def test_an_error_is_one_line_and_one_hint(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["devnet", "fund", "0x00", "--fit", "many", "--home", str(tmp_path)]) == 3
    assert capsys.readouterr().err.splitlines() == [
        "error: the amount 'many' is not a decimal number of FIT",
        " hint: write it as 12.5, with a point and without a sign",
    ]


def test_with_json_an_error_is_an_object_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["devnet", "fund", "0x00", "--fit", "many", "--home", str(tmp_path), "--json"]) == 3
    error = json.loads(capsys.readouterr().out)["error"]
    assert (error["kind"], error["exit_code"]) == ("InputRefused", 3)


def test_debug_shows_where_an_error_comes_from(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(["devnet", "fund", "0x00", "--fit", "many", "--home", str(tmp_path), "--debug"])
    assert "Traceback" in capsys.readouterr().err


# Keys and passphrases


@pytest.fixture
def home(tmp_path: Path) -> Path:
    secret_file(tmp_path / "passphrase", "correct horse\n")
    return tmp_path


def keys(home: Path, *arguments: str) -> int:
    return run(["keys", *arguments, "--home", str(home), "--passphrase-file", str(home / "passphrase"), "--json"])


def test_a_new_key_is_listed_without_its_secrets(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert keys(home, "new") == 0
    made = json.loads(capsys.readouterr().out)
    assert keys(home, "list") == 0
    assert json.loads(capsys.readouterr().out)["keys"] == [{key: made[key] for key in ("name", "address", "recipient")}]


def test_a_backup_is_the_same_key_in_another_home(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keys(home, "new")
    keys(home, "backup", str(home / "key.backup"))
    capsys.readouterr()
    other = ["--home", str(tmp_path / "other"), "--passphrase-file", str(home / "passphrase")]
    assert run(["keys", "import", str(home / "key.backup"), *other, "--json"]) == 0
    imported = json.loads(capsys.readouterr().out)
    keys(home, "list")
    assert imported["address"] == json.loads(capsys.readouterr().out)["keys"][0]["address"]


def test_the_options_of_every_command_may_stand_before_it(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--home", str(home), "--json", "keys", "list"]) == 0
    assert json.loads(capsys.readouterr().out) == {"keys": []}


def test_without_a_terminal_no_passphrase_is_asked_for(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "fitchain.cli", "keys", "new", "--home", str(home)],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 3
    assert "no terminal to ask on" in done.stderr and "--passphrase-file" in done.stderr
    assert "FITCHAIN_PASSPHRASE_FILE" in done.stderr


def test_a_new_key_is_followed_by_what_to_do_next(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["keys", "new", "--home", str(home), "--passphrase-file", str(home / "passphrase")]) == 0
    assert capsys.readouterr().out.splitlines()[-1].split()[:4] == ["next", "fitchain", "keys", "backup"]


@pytest.mark.parametrize(("name", "reason"), [("absent", "there is no such file or folder"), ("", "it is a folder")])
def test_a_passphrase_file_that_cannot_be_read_is_told_in_words(
    name: str, reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / name
    assert run(["keys", "new", "--home", str(tmp_path), "--passphrase-file", str(path)]) == 3
    error, hint = capsys.readouterr().err.splitlines()
    assert error == f"error: the passphrase file {path} cannot be read: {reason}"
    assert "FITCHAIN_PASSPHRASE_FILE" in hint


def test_a_mark_of_byte_order_is_no_part_of_a_recipe(tmp_path: Path) -> None:
    (tmp_path / "recipe.toml").write_bytes(BOM_UTF8 + b"epochs = 20")
    assert read_recipe(tmp_path / "recipe.toml") == {"epochs": 20}


NOT_UTF8 = {
    "with a mark": ("key = 'ü'\n".encode("utf-16"), "is UTF-16 text"),
    "without a mark": ("key = 'ü'\n".encode("utf-16-le"), "is UTF-16 text"),
    "of Windows": ("\nkey = 'ü'\n".encode("cp1252"), "is no UTF-8 text: line 2 holds the byte 0xfc"),
}


@pytest.mark.parametrize("how", NOT_UTF8)
def test_a_text_in_another_encoding_is_named_with_what_to_do(tmp_path: Path, how: str) -> None:
    data, told = NOT_UTF8[how]
    for name in ("settings.toml", "key.hex", "recipe.toml", "passphrase"):
        secret_file(tmp_path / name, "").write_bytes(data.lstrip(b"\n") if name == "passphrase" else data)
    of_line_1 = told.replace("line 2", "line 1")
    for read, wanted in (
        (lambda: load(tmp_path, environ={}), told),
        (lambda: import_key(tmp_path, "a", tmp_path / "key.hex", "secret"), told),
        (lambda: read_recipe(tmp_path / "recipe.toml"), told),
        (lambda: read_passphrase(tmp_path / "passphrase"), of_line_1),
    ):
        with pytest.raises(InputRefused, match=wanted) as error:
            read()
        assert error.value.hint == "save it as UTF-8" and "ü" not in error.value.message


FILES_WITH_A_MARK = Path(__file__).parent / "cases" / "files_with_a_bom"


def test_the_files_of_windows_are_read(tmp_path: Path) -> None:
    home = shutil.copytree(FILES_WITH_A_MARK, tmp_path / "home")
    (home / "passphrase").chmod(0o600)
    assert load(home, environ={}).key == "default"
    assert read_recipe(home / "recipe.toml") == {"steps": 20}
    assert read_passphrase(home / "passphrase") == "swordfish staple"
    key = import_key(home, "one", home / "key.hex", "swordfish staple", work=QUICK_WORK)
    assert key.address == "0x2c7536E3605D9C16a7a3D7b1898e529396a65c23"


def test_an_empty_passphrase_file_is_refused(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    secret_file(home / "passphrase", "\n")
    assert keys(home, "new") == 3
    assert "is empty" in capsys.readouterr().err


# The whole


def test_the_command_names_every_group(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--help"]) == 0
    shown = capsys.readouterr().out
    for group in (
        "devnet",
        "deploy",
        "keys",
        "coin",
        "data",
        "model",
        "job",
        "panel",
        "verifier",
        "trust",
        "pod",
        "proof",
        "store",
        "demo",
    ):
        assert f"\n  {group} " in shown


def test_help_waits_for_nothing_heavy() -> None:
    heavy = ("torch", "web3", "sklearn", "numpy", "rich", "eth_account", "requests")
    asked = "import sys; from fitchain.cli.app import run; run(['--help']); "
    asked += f"print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", asked], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def leaves_of() -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command with its path."""
    import typer.main

    waiting: list[tuple[tuple[str, ...], Any]] = [((), typer.main.get_command(app))]
    while waiting:
        path, command = waiting.pop()
        if hasattr(command, "commands"):
            waiting += [((*path, name), each) for name, each in command.commands.items()]
        else:
            yield path, command


def takes_text(parameter: Any) -> bool:
    return parameter.param_type_name == "argument" or not parameter.is_flag


def commands() -> list[list[str]]:
    import typer.main

    found = []
    for name, group in typer.main.get_command(app).commands.items():  # type: ignore[attr-defined]
        found += [[name, inner] for inner in getattr(group, "commands", [])] or [[name]]
    return found


@pytest.mark.parametrize("path", commands(), ids=" ".join)
def test_every_command_explains_itself_and_takes_the_common_options(
    path: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*path, "--help"]) == 0
    shown = capsys.readouterr().out
    assert all(option in shown for option in ("--home", "--rpc", "--store", "--passphrase-file", "--json", "--debug"))


def in_process(*arguments: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    """A command in a process of its own, with an encoding of its own."""
    command = [sys.executable, "-m", "fitchain.cli", *arguments]
    return subprocess.run(command, capture_output=True, env=os.environ | environment, check=False)


def printing(text: str, encoding: str) -> bytes:
    """What is written of a text where stdout has that encoding."""
    code = (
        "import sys; from fitchain.cli.views.output import Prose, Report, prepare_streams, print_report; "
        f"prepare_streams(); print_report(Report({{}}, [Prose({text!r}, [{text!r}])]), False)"
    )
    environment = os.environ | {"PYTHONIOENCODING": encoding}
    return subprocess.run([sys.executable, "-c", code], capture_output=True, env=environment, check=True).stdout


@pytest.mark.parametrize(
    ("encoding", "written"),
    [
        ("ascii", b"geb\\xfchr ... 137 \\u0645"),
        ("latin-1", b"geb\xfchr ... 137 \\u0645"),
        ("cp1252", b"geb\xfchr \x85 137 \\u0645"),
        ("utf-8", "gebühr … ▁▃▇ م".encode()),
    ],
)
def test_a_terminal_shows_what_its_encoding_has_and_the_rest_by_its_number(encoding: str, written: bytes) -> None:
    assert printing("gebühr … ▁▃▇ م", encoding).splitlines() == [written, b"  " + written]


@pytest.mark.parametrize("closed", [">&-", ">&- 2>&- <&-"])
def test_closed_streams_change_no_exit_code(tmp_path: Path, closed: str) -> None:
    """Exit 1 would say that something was refuted."""
    command = f'"$0" -m fitchain.cli keys list --home "$1" {closed}'
    assert subprocess.run(["sh", "-c", command, sys.executable, tmp_path], check=False).returncode == 0


POSIX = {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


def test_files_are_utf8_whatever_the_locale_says(tmp_path: Path) -> None:
    (tmp_path / "settings.toml").write_text('worker_prefix = ["ü"]\n', "utf-8")
    done = in_process("keys", "list", "--home", str(tmp_path), **POSIX)
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_text_that_the_locale_lacks_is_refused_by_its_option(tmp_path: Path) -> None:
    done = in_process("keys", "new", "--home", str(tmp_path), "--name", "gebühr", **POSIX)
    assert done.returncode == 3 and b"--name is given" in done.stderr and b"LC_ALL=C.UTF-8" in done.stderr
    done = in_process("keys", "list", "--home", str(tmp_path / "gebühr"), **POSIX)
    assert done.returncode == 0


ODD = (
    "",
    "-1",
    "9" * 5000,
    "nan",
    "1,5",
    "\x00",
    "a\nb",
    "=",
    "a=b=c",
    "a:b",
    "x.py:",
    "0x",
    "0x" + "1" * 64,
    "/dev/null",
)
STARTING = {"demo", "devnet up", "devnet down", "pod owner", "pod scientist", "pod verifier", "job watch"}
"""Commands that begin something, or wait."""


@pytest.mark.long
def test_no_odd_value_ends_in_a_bug(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before a chain is asked: an odd value, another each time, for each argument and each option."""
    monkeypatch.setenv("FITCHAIN_DEVNET", str(tmp_path / "devnet"))
    monkeypatch.chdir(tmp_path)
    odd_values = cycle(ODD)
    for path, command in leaves_of():
        if " ".join(path) in STARTING:
            continue
        for parameter in (each for each in command.params if each.name not in (*COMMON, "help") and takes_text(each)):
            line = [*path, "--home", str(tmp_path), *given_to(command, parameter, next(odd_values))]
            code = run(line)
            assert code in (0, 2, 3) and "this is a bug" not in capsys.readouterr().err, line


def given_to(command: Any, parameter: Any, odd: str) -> list[str]:
    """A command's parameters, as far as they are needed, and one of them with an odd value."""
    options, arguments = list[str](), list[str]()
    for each in command.params:
        value = odd if each is parameter else "1"
        if each.param_type_name == "argument":
            arguments.append(value)
        elif each is parameter or each.required:
            options.append(f"{each.opts[0]}={value}")
    return [*options, "--", *arguments]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (["store", "add", "9" * 5000], "source is given '99"),
        (["keys", "list", "--home", "9" * 5000], "--home is given '99"),
        (["keys", "list", "--store", "9" * 5000], "no file has a name of more than 255 bytes"),
        (["keys", "new", "--name", "a\0b"], "--name is given 'a\\x00b', which holds a character of number 0"),
        (["coin", "send", "0x" + "1" * 40, "9" * 5000], "an amount of 5000 digits"),
    ],
    ids=lambda value: " ".join(value)[:30],
)
def test_what_no_file_system_takes_is_refused_by_its_option(
    tmp_path: Path, line: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    home = [] if "--home" in line else ["--home", str(tmp_path)]
    assert run([*line, *home]) == 3
    assert told in capsys.readouterr().err.replace("\n", " ")


def test_a_closed_pipe_is_no_error(home: Path) -> None:
    command = f"{sys.executable} -m fitchain.cli keys list --home {home} | true"
    done = subprocess.run(["bash", "-c", f"set -o pipefail; {command}"], cwd=ROOT, capture_output=True, text=True)
    assert done.stderr == ""


def test_every_error_has_an_exit_code_that_an_auditor_can_tell_apart() -> None:
    def leaves(kind: type[FitchainError]) -> set[int]:
        return {kind.exit_code}.union(*(leaves(inner) for inner in kind.__subclasses__()))

    assert leaves(FitchainError) == {1, 3}
    assert os.EX_OK == 0


def test_an_address_is_taken_with_its_checksum_and_refused_with_another() -> None:
    right = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"  # of EIP-55 itself
    for typed in (right, right.lower(), "0x" + right[2:].upper(), right[2:], "0X" + right[2:]):
        assert find_address(typed) == right
    for typed in (right[:-1] + "e", right.replace("5aA", "5AA"), right[:-1], "vitalik.eth", "", right + "0"):
        with pytest.raises(InputRefused, match="mistyped" if len(typed) == len(right) else "not an address"):
            find_address(typed)


def test_a_closed_or_unreadable_input_is_nobodys_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    for stdin in (None, io.TextIOWrapper(io.BytesIO(b"\xff\xfe\n"), "utf-8")):
        monkeypatch.setattr(sys, "stdin", stdin)
        with pytest.raises(AccessRefused, match="nobody is there to ask"):
            require_yes("yes? ", "nothing was done")
        with pytest.raises(AccessRefused, match="no terminal to ask on"):
            ask_passphrase()
