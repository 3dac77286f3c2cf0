"""A job's trail: what leaves in it, that its lines follow on one another, and that its events are
the chain's."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest

from fitchain.cli.app import run
from fitchain.pod.compute.sandbox.confine import Enforcement
from fitchain.pod.jobs import history
from fitchain.pod.jobs.home import Home
from fitchain.pod.jobs.journal import Journal
from fitchain.pod.jobs.trail import EXPORTED, EXPORTED_OF, export_trail
from fitchain.pod.proof.trail import read_trail, write_trail
from fitchain.pod.values.digest import canonical_json
from fitchain.pod.values.errors import DigestMismatch, FitchainError, InputRefused
from fitchain.pod.values.ids import AgreementId
from fitchain.pod.values.job_folder import Kept
from tests.agreements import Parties, finished
from tests.certified_jobs import Job, played
from tests.certified_jobs import registered as registered_card
from tests.chain_fixtures import Account
from tests.cli_fixtures import Fitchain

SECRET = "patient 7"


HIDDEN = {
    "Refused": ["reason"],
    "Ignored": ["reason"],
    "Rejected": ["reason"],
    "Late": ["reason"],
    "Training": ["pid"],
    "Skipped": ["reason"],
    "Resumed": ["dropped_bytes"],
    "CheckpointRecorded": ["digest", "metrics", "kept"],
    "NoteRead": ["metrics"],
    "Assessing": ["limit_s"],
    "Assessed": ["digest", "references", "hits", "members", "non_members"],
    "NotAssessed": ["reason"],
    "Held": ["reason"],
    "HeldOutTold": ["result", "scale", "subgroups", "counting"],
    "Diverged": ["reason"],
    "EndedEarly": ["reason"],
    "Received": ["model", "certificate"],
    "Complained": ["reason"],
    "Declined": ["reason"],
    "EvidenceGiven": ["file"],
    "CannotReplay": ["reason"],
    "Examined": ["problems"],
    "CannotConsent": ["reason"],
    "Error": ["message", "hint"],
    "Refuted": ["message", "hint"],
    "Wiped": ["states"],
}
"""What of the history stays at home: whoever adds a field decides about it here."""


def test_what_leaves_of_the_history_is_decided_field_by_field() -> None:
    hidden = {
        entry.__name__: [field.name for field in dataclasses.fields(entry) if not is_exported(entry, field.name)]
        for entry in get_args(history.Entry)
    }
    assert {name: fields for name, fields in hidden.items() if fields} == HIDDEN


def is_exported(entry: type[history.Entry], field: str) -> bool:
    return field in EXPORTED | EXPORTED_OF.get(entry, frozenset())


@pytest.fixture(scope="module")
def job(parties: Parties) -> AgreementId:
    """An accepted result, and a history with secrets in it."""
    id, _ = finished(parties)
    parties.by_scientist.accept_result(id)
    journal = Journal(parties.owner.chain.settings.home / "journal.db")
    for entry in (
        history.Approved("a known group", ("the bond is higher than the price",)),
        history.Training(0, 560, 7_654_321, Enforcement("view", ("files",), ())),
        history.CheckpointRecorded(3, 12, id, {"loss": 0.123456}, True),
        history.Error(f"{SECRET} cannot be read", SECRET),
        history.Refused(SECRET),
        history.Removed((Kept.STATES, Kept.TRAINING), (history.Ended.AUDIT,), by_person=True),
    ):
        journal.record(id, entry)
    journal.close()
    return id


@pytest.fixture(scope="module")
def whole(parties: Parties, job: AgreementId, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("trail") / "trail.jsonl"
    with Home.open(parties.owner.chain.settings) as home:
        export_trail(home, job, parties.owner.address, path)
    return path


def test_trail_says_who_did_what_when_and_nothing_private(
    fitchain: Fitchain, parties: Parties, job: AgreementId, tmp_path: Path
) -> None:
    whole = tmp_path / "trail.jsonl"
    code, exported, _ = fitchain(parties.owner, "job", "trail", str(job), "--out", str(whole))
    assert code == 0
    text, lines = whole.read_text(), [json.loads(line) for line in whole.read_text().splitlines()]
    for secret in (SECRET, "0.123456", "7654321", str(parties.owner.chain.settings.home), "AGE-SECRET-KEY"):
        assert secret not in text
    assert [line["kind"] for line in lines[:2]] == ["header", "event"] and lines[-1]["kind"] == "end"
    assert (lines[0]["role"], lines[0]["account"]) == ("owner", parties.owner.address)
    names = [line["name"] for line in lines if line["kind"] == "event"]
    assert names[:3] == ["Requested", "Accepted", "Begun"] and names[-1] == "Settled"
    terms = lines[1]["args"]["terms"]
    assert (terms["recipe"], terms["price"]) == (str(parties.terms.recipe), str(parties.terms.price))
    said = {line["entry"]: line["body"] for line in lines if line["kind"] == "entry"}
    assert said["approved"] == {"reason": "a known group", "concerns": ["the bond is higher than the price"]}
    assert said["removed"]["what"] == ["states", "training"] and said["error"] == {}
    code, told, _ = fitchain(parties.scientist, "proof", "trail", str(whole), "--digest", exported["digest"])
    assert (code, told["events"], told["events_compared"], told["events_since"]) == (0, len(names), True, 0)
    assert told["deleted"][0]["what"] == ["states", "training"] and told["digest_given"]
    code, told, _ = fitchain(parties.owner, "job", "trail", str(job), "--out", str(whole))
    assert code == 3 and "is there already" in told["error"]["message"]  # what was exported is not written over


def changed(number: int, **fields: Any) -> Callable[[list[bytes]], list[bytes]]:
    """Another word in one line; -1 is the last."""

    def damage(lines: list[bytes]) -> list[bytes]:
        place = number - 1 if number > 0 else len(lines) + number
        lines[place] = canonical_json({**json.loads(lines[place]), **fields})
        return lines

    return damage


DAMAGES: dict[str, tuple[Callable[[list[bytes]], list[bytes]], type[FitchainError], str]] = {
    "a line is changed": (changed(3, time=5), DigestMismatch, "line 4 of the trail does not follow"),
    "the first is changed": (changed(1, exported=5), DigestMismatch, "line 2 of the trail does not follow"),
    "the last is changed": (changed(-1, lines=5), DigestMismatch, "is the last and says that there are 5"),
    "one is dropped": (lambda lines: lines[:3] + lines[4:], DigestMismatch, "line 4 of the trail does not follow"),
    "the first is dropped": (lambda lines: lines[1:], DigestMismatch, "line 1 of the trail is of the kind 'event'"),
    "two change places": (
        lambda lines: [*lines[:2], lines[3], lines[2], *lines[4:]],
        DigestMismatch,
        "line 3 of the trail does not follow",
    ),
    "one stands twice": (
        lambda lines: lines[:3] + lines[2:],
        DigestMismatch,
        "line 4 of the trail does not follow",
    ),
    "one comes behind the end": (lambda lines: [*lines, lines[3]], DigestMismatch, "has no place there"),
    "it is cut between lines": (lambda lines: lines[:5], InputRefused, "is cut off after line 5"),
    "there is nothing": (lambda lines: [], InputRefused, "is cut off after line 0"),
    "another form": (
        lambda lines: [*lines[:2], lines[2].replace(b":", b": ", 1), *lines[3:]],
        InputRefused,
        "line 3 of the trail cannot be read: it is not written as",
    ),
    "no JSON": (lambda lines: [*lines[:2], b"x", *lines[3:]], InputRefused, "line 3 of the trail cannot be read"),
    "another field": (changed(3, more=1), InputRefused, "line 3 of the trail cannot be read"),
    "another type": (changed(3, time="5"), InputRefused, "line 3 of the trail cannot be read"),
    "another version": (
        changed(1, version="fitchain/trail/v3"),
        InputRefused,
        "is of version v3, and this release of Fitchain reads v2",
    ),
}


@pytest.mark.parametrize("kind", DAMAGES)
def test_damage_is_refused_with_the_line_s_number(kind: str, whole: Path, tmp_path: Path) -> None:
    damage, error, match = DAMAGES[kind]
    lines = whole.read_bytes().splitlines()
    (tmp_path / "x").write_bytes(b"".join(line + b"\n" for line in damage(lines)))
    with pytest.raises(error, match=match):
        read_trail(tmp_path / "x")


def test_trail_that_is_cut_inside_a_line_is_refused(whole: Path, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(whole.read_bytes()[:-1])
    with pytest.raises(InputRefused, match=r"line \d+ of the trail cannot be read: it is cut off"):
        read_trail(tmp_path / "x")


def rewritten(whole: Path, path: Path, change: Callable[[list[dict[str, Any]]], object]) -> str:
    """What somebody wrote anew, whose lines follow on one another; the digest of its last line."""
    bodies = [json.loads(line) for line in whole.read_bytes().splitlines()[:-1]]
    change(bodies)
    return str(write_trail(path, bodies))


FORGED: dict[str, tuple[Callable[[list[dict[str, Any]]], object], str]] = {
    "an argument": (lambda bodies: bodies[1]["args"].update(offerCid="0x"), "line 2 of the trail has the event 'Req"),
    "a time": (lambda bodies: bodies[1].update(time=5), "or with other words"),
    "one less": (lambda bodies: bodies.pop(2), "line 3 of the trail has the event 'Begun'"),
    "the last less": (lambda bodies: bodies.remove(last_event(bodies)), "the trail lacks the event Settled"),
    "one more": (lambda bodies: bodies.append(last_event(bodies)), "and the chain has none there"),
}


def last_event(bodies: list[dict[str, Any]]) -> dict[str, Any]:
    return [body for body in bodies if body["kind"] == "event"][-1]


@pytest.mark.parametrize("kind", FORGED)
def test_events_that_are_not_the_chain_s_are_refuted(
    kind: str, fitchain: Fitchain, parties: Parties, whole: Path, tmp_path: Path
) -> None:
    change, match = FORGED[kind]
    rewritten(whole, tmp_path / "x", change)
    code, told, _ = fitchain(parties.scientist, "proof", "trail", str(tmp_path / "x"))
    assert code == 1 and match in told["error"]["message"]
    code, told, _ = fitchain(parties.scientist, "proof", "trail", str(tmp_path / "x"), "--offline")
    assert (code, told["events_compared"]) == (0, False)


def test_trail_that_was_written_anew_is_not_the_one_whose_digest_was_written_down(
    fitchain: Fitchain, parties: Parties, whole: Path, tmp_path: Path
) -> None:
    """The owner can say something else later; the chain's events do not tell."""
    written_down = str(read_trail(whole).digest)
    rewritten(whole, tmp_path / "x", lambda bodies: bodies.pop())
    assert fitchain(parties.scientist, "proof", "trail", str(tmp_path / "x"))[0] == 0
    code, told, _ = fitchain(parties.scientist, "proof", "trail", str(tmp_path / "x"), "--digest", written_down)
    assert code == 1 and "was written down" in told["error"]["message"]


def test_trail_of_another_chain_is_compared_with_none(
    fitchain: Fitchain, parties: Parties, whole: Path, tmp_path: Path
) -> None:
    rewritten(whole, tmp_path / "x", lambda bodies: bodies[0].update(chain_id=1))
    code, told, _ = fitchain(parties.scientist, "proof", "trail", str(tmp_path / "x"))
    assert code == 3 and "on the chain 1" in told["error"]["message"]
    rewritten(whole, tmp_path / "y", lambda bodies: bodies[0].update(block=10**6))
    code, told, _ = fitchain(parties.scientist, "proof", "trail", str(tmp_path / "y"))
    assert code == 3 and "the trail goes to block 1000000" in told["error"]["message"]


def test_what_a_stranger_wrote_says_what_was_checked_and_what_was_not(
    parties: Parties, whole: Path, shown: Callable[..., str]
) -> None:
    text = " ".join(shown("proof", "trail", str(whole)).split())
    assert "are the chain's, and it has no others there" in text
    assert "compare it with the one written down: else the file may be another" in text
    assert f"the word of {parties.owner.address}, the job's owner" in text
    assert "signed by nobody: nobody can check them" in text and "kept states, leaves and what opens them" in text
    assert "not compared with a chain" in shown("proof", "trail", str(whole), "--offline")


# What the owner signs


@pytest.fixture(scope="module")
def certified(open_account: Callable[..., Account], tmp_path_factory: pytest.TempPathFactory) -> Job:
    """A job with its certificate, of which the owner deleted something."""
    place = tmp_path_factory.mktemp("certified")
    parties = registered_card(open_account(), open_account(), place / "table.npz")
    job = played(parties, place / "model.safetensors", b"removed")
    (place / "certificate.json").write_bytes(job.certificate)
    journal = Journal(parties.owner.chain.settings.home / "journal.db")
    journal.record(job.id, history.Removed((Kept.STATES,), (history.Ended.REPLAY_FROM_STATES,)))
    journal.close()
    return job


def test_verify_tells_what_the_owner_signed_as_its_word(
    certified: Job, fitchain: Fitchain, tmp_path: Path, parties: Parties, capsys: pytest.CaptureFixture[str]
) -> None:
    owner, job = certified.parties.owner, certified
    verify = ("proof", "verify", str(job.model), str(job.model.parent / "certificate.json"), "--trail")
    files = {name: str(tmp_path / name) for name in ("signed", "unsigned", "of the scientist", "forged", "another")}
    assert fitchain(owner, "job", "trail", str(job.id), "--out", files["signed"], "--sign")[1]["signed"]
    assert fitchain(owner, "job", "trail", str(job.id), "--out", files["unsigned"])[0] == 0
    assert (
        fitchain(certified.parties.scientist, "job", "trail", str(job.id), "--out", files["of the scientist"])[0] == 0
    )
    code, told, _ = fitchain(parties.owner, *verify, files["signed"])
    assert code == 0 and told["holds"]
    assert told["stated"]["account"] == owner.address
    assert [each["what"] for each in told["stated"]["deleted"]] == [["states"]]
    assert run([*verify, files["signed"], "--home", str(parties.owner.chain.settings.home)]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "the owner states that kept states of its home were deleted on 20" in text
    assert "nobody can check that" in text
    bodies = [json.loads(line) for line in Path(files["signed"]).read_bytes().splitlines()]
    write_trail(Path(files["forged"]), bodies[:-1], parties.owner.keys)
    write_trail(Path(files["another"]), [{**bodies[0], "chain_id": 1}, *bodies[1:-1]], owner.keys)
    for name, exit_code, match in (
        ("unsigned", 3, "is signed by nobody"),
        ("of the scientist", 1, "the trail's account is"),
        ("forged", 1, f"says that {owner.address} signed it"),
        ("another", 1, "the trail's chain is 1"),
    ):
        code, told, _ = fitchain(parties.owner, *verify, files[name])
        assert code == exit_code and match in told["error"]["message"], name
    assert fitchain(parties.owner, "proof", "trail", files["signed"])[1]["signed"]
