"""A trail: what happened to a job, exported as lines that follow on one another, to be read by a
stranger.

Each line but the first carries the digest of the line before, and the last says how many there are.
That shows that nothing was changed since somebody wrote the last digest down, and nothing else:
whoever has the file can write another. The account may sign the last line, by which it says all of
it; that makes nothing of it true. What stands in it is of two kinds: entries, which are the
word of whoever exported it, and events of the chain, which anybody can compare with the chain.

It knows lines and events, and nothing of homes and journals.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

from fitchain.pod.ports.agreement import Agreements
from fitchain.pod.ports.chain import Chain, Event
from fitchain.pod.ports.chain.base import Signer
from fitchain.pod.proof.certificate.envelope import SIGNATURE_BYTES, recover, signed_digest
from fitchain.pod.values.digest import Digest, Json, canonical_json, parse_json, sha256, tagged
from fitchain.pod.values.errors import (
    ChainUnusable,
    ClaimMismatch,
    DigestMismatch,
    HostUnusable,
    InputRefused,
    NodeUnreachable,
    NotFound,
    OtherVersion,
    SignatureMismatch,
    reason_of,
)
from fitchain.pod.values.files import new_file
from fitchain.pod.values.ids import AgreementId
from fitchain.pod.values.limits import MOST_TRAIL_LINES, TRAIL_LINE
from fitchain.pod.values.recipe.fields import Fields, text
from fitchain.pod.values.versions import require_version

VERSION = "fitchain/trail/v2"
HEADER, ENTRY, EVENT, DISCLOSED, END = "header", "entry", "event", "disclosed", "end"
FIELDS = {
    HEADER: ("version", "agreement", "chain_id", "contract", "account", "role", "exported", "block"),
    ENTRY: ("time", "ordinal", "entry", "body"),
    EVENT: ("time", "block", "log_index", "transaction", "contract", "name", "args"),
    DISCLOSED: ("notes", "metrics", "audits"),
    END: ("lines", "signature"),
}
"""What a line of each kind has, besides its kind and the digest of the line before."""
SIGNED_TYPE = "application/vnd.fitchain.trail+json"
"""What the account signs is the last line without its signature, as a payload of this type (DSSE's
pre-authentication encoding, as a certificate's)."""
ROLES = ("owner", "scientist", "other")


@dataclass(frozen=True)
class TrailLine:
    """One line: its number from 1 on, its kind, what it says, its digest."""

    number: int
    kind: str
    body: Mapping[str, Any]
    digest: Digest


@dataclass(frozen=True)
class Trail:
    """A trail whose lines follow on one another.

    Args:
        agreement: of the job.
        chain_id: of its chain.
        contract: the address of Agreements there.
        account: whose home exported it, as the home says.
        role: of that account in the job.
        exported: when, in seconds since 1970 by that home's clock.
        block: up to which the chain's events are in it.
        is_signed: whether that account signed it.
        lines: all of them, the first and the last included.
    """

    agreement: AgreementId
    chain_id: int
    contract: str
    account: str
    role: str
    exported: int
    block: int
    is_signed: bool
    lines: tuple[TrailLine, ...]

    @property
    def digest(self) -> Digest:
        """That of the last line, which stands for all."""
        return self.lines[-1].digest

    def of_kind(self, kind: str) -> list[TrailLine]:
        """The lines of one kind, in order."""
        return [line for line in self.lines if line.kind == kind]


def line_digest(line: bytes) -> Digest:
    """The digest of a line, its line feed left out."""
    return tagged(VERSION, sha256(line))


def header_of(chain: Chain, id: AgreementId, account: str, role: str, exported: int, block: int) -> dict[str, Json]:
    """The first line's fields; see `Trail`."""
    return {
        "kind": HEADER,
        "version": VERSION,
        "agreement": str(id),
        "chain_id": chain.chain_id,
        "contract": chain.addresses["Agreements"],
        "account": account,
        "role": role,
        "exported": exported,
        "block": block,
    }


def event_body(event: Event) -> dict[str, Json]:
    """An event of the chain as a line has it; numbers of contracts stand as decimal texts."""
    return {
        "kind": EVENT,
        "time": event.timestamp,
        "block": event.block,
        "log_index": event.log_index,
        "transaction": str(event.transaction),
        "contract": event.contract,
        "name": event.name,
        "args": _json(event.args),
    }


def write_trail(path: Path, bodies: Iterable[Mapping[str, Json]], signer: Signer | None = None) -> Digest:
    """Write a trail into a new file.

    Args:
        path: the file.
        bodies: the lines' fields, the header's first, without the last line.
        signer: the header's account; None leaves it unsigned.

    Returns:
        the digest of the last line.

    Raises:
        InputRefused: there is a file of that name, or no such folder; or a line is beyond a limit.
        HostUnusable: its disk is full, say; nothing of it is left.
    """
    digest: Digest | None = None
    with new_file(path) as file:
        for line in _lines(bodies, signer):
            digest = line_digest(line)
            file.write(line + b"\n")
    assert digest is not None
    return digest


def _lines(bodies: Iterable[Mapping[str, Json]], signer: Signer | None) -> Iterator[bytes]:
    """Each body as a line, and the last line."""
    digest, number = None, 0
    for number, body in enumerate(bodies, 1):
        line = canonical_json({**body, "previous": digest and str(digest)})
        if len(line) > TRAIL_LINE.text_bytes or number >= MOST_TRAIL_LINES:
            raise InputRefused(
                f"line {number} of the trail is beyond a limit: a line has {TRAIL_LINE.text_bytes} bytes, "
                f"a trail {MOST_TRAIL_LINES} lines at most"
            )
        yield line
        digest = line_digest(line)
    end: dict[str, Json] = {"kind": END, "lines": number + 1, "previous": str(digest)}
    signature = None if signer is None else "0x" + signer.sign_digest(_signed(end)).hex()
    yield canonical_json({**end, "signature": signature})


def _signed(end: Mapping[str, Json]) -> Digest:
    """What is signed of the last line."""
    return signed_digest(SIGNED_TYPE, canonical_json({**end}))


def read_trail(path: Path) -> Trail:
    """Read a trail, and check that its lines follow on one another.

    Raises:
        NotFound: there is no such file.
        InputRefused: it is no trail, or cut off, or beyond a limit; with the line's number.
        DigestMismatch: a line does not follow on the one before: something was changed, dropped or
            moved there.
        SignatureMismatch: another account signed it than it says, or none.
        HostUnusable: it cannot be read.
    """
    lines = list[TrailLine]()
    for number, data in enumerate(_read(path), 1):
        lines.append(_line(number, data, lines[-1] if lines else None))
    last = lines[-1] if lines else None
    if last is None or last.kind != END:
        raise InputRefused(f"{path.name} is cut off after line {len(lines)}: the last line of a trail says so", AGAIN)
    head = Fields("line 1 of the trail", lines[0].body, lines[0].body)
    account = head.text("account", 42)
    return Trail(
        agreement=AgreementId(head.digest("agreement")),
        chain_id=head.integer("chain_id", 0, 2**53 - 1),
        contract=head.text("contract", 42),
        account=account,
        role=head.choice("role", ROLES),
        exported=head.integer("exported", 0, 2**53 - 1),
        block=head.integer("block", 0, 2**53 - 1),
        is_signed=_is_signed(last.body, account),
        lines=tuple(lines),
    )


def _is_signed(end: Mapping[str, Any], account: str) -> bool:
    """Whether a last line is signed, by the account that the first one names.

    Raises:
        SignatureMismatch: it is signed by somebody else, or over something else.
    """
    if end["signature"] is None:
        return False
    signed = {name: value for name, value in end.items() if name != "signature"}
    signer = recover(_signed(signed), bytes.fromhex(end["signature"][2:]))
    if signer != account:
        raise SignatureMismatch(f"the trail says that {account} signed it, and its signature is {signer}'s", AGAIN)
    return True


SIGNATURE = re.compile(f"0x[0-9a-f]{{{2 * SIGNATURE_BYTES}}}")
AGAIN = "ask whoever exported it for the file again"


def _read(path: Path) -> Iterator[bytes]:
    """The lines of a file, of none more than may be there."""
    try:
        with path.open("rb") as file:
            number = 0
            while data := file.readline(TRAIL_LINE.text_bytes + 2):
                number += 1
                if number > MOST_TRAIL_LINES:
                    raise InputRefused(f"{path.name} has more than {MOST_TRAIL_LINES} lines, which is the limit")
                if len(data) == TRAIL_LINE.text_bytes + 2:
                    raise InputRefused(f"line {number} of the trail has more than {TRAIL_LINE.text_bytes} bytes")
                yield data
    except FileNotFoundError:
        raise NotFound(f"there is no file {path}") from None
    except IsADirectoryError:
        raise InputRefused(f"{path} is a folder and not a file") from None
    except OSError as error:
        raise HostUnusable(f"{path} cannot be read: {reason_of(error)}") from None


def _line(number: int, data: bytes, before: TrailLine | None) -> TrailLine:
    """Read a line, and compare it with the one before."""
    what, line = f"line {number} of the trail", data.removesuffix(b"\n")
    try:
        value = parse_json(line, TRAIL_LINE)
        if line == data or canonical_json(value) != line:
            raise InputRefused("it is not written as a trail's lines are" if line != data else "it is cut off")
        kind = Fields(what, value, ("kind",), value).choice("kind", FIELDS)
        if kind == HEADER:
            require_version("the trail", value, VERSION)
        fields = Fields(what, value, ("kind", "previous", *FIELDS[kind]))
        _require_types(fields, kind)
    except OtherVersion:
        raise
    except InputRefused as error:
        raise InputRefused(f"{what} cannot be read: {error.message}", AGAIN) from None
    if (before is None) != (kind == HEADER) or (before is not None and before.kind == END):
        raise DigestMismatch(f"{what} is of the kind {kind!r}, which has no place there: lines were moved", AGAIN)
    follows = None if before is None else str(before.digest)
    if value["previous"] != follows:
        raise DigestMismatch(
            f"{what} does not follow on the line before: it names {text('previous', str(value['previous']), 80)}, and "
            f"that line's digest is {follows}: something was changed, dropped or moved there",
            AGAIN,
        )
    if kind == END and fields.integer("lines", 1, MOST_TRAIL_LINES) != number:
        raise DigestMismatch(f"{what} is the last and says that there are {value['lines']}", AGAIN)
    return TrailLine(number, kind, value, line_digest(line))


def _require_types(fields: Fields, kind: str) -> None:
    """Check that the fields of a line are of their types; what a header says is read later.

    Raises:
        InputRefused: one is not.
    """
    for name in FIELDS[kind]:
        if name in ("time", "ordinal", "block", "log_index", "notes", "lines", "exported", "chain_id"):
            fields.integer(name, 0, 2**53 - 1)
        elif name in ("entry", "contract", "name", "version", "account", "role"):
            fields.text(name, 100)
        elif name in ("transaction", "agreement"):
            fields.digest(name)
        elif name in ("metrics", "audits"):
            fields.items(name, 0, TRAIL_LINE.items)
        elif name == "signature":
            if fields.value[name] is not None and not SIGNATURE.fullmatch(fields.text(name, 132)):
                raise InputRefused(f"{fields.what}: signature is 0x and 130 hex digits, or null")
        elif not isinstance(fields.value[name], dict):
            raise InputRefused(f"{fields.what}: {name} is a JSON object")


def compare_events(trail: Trail, chain: Chain) -> int:
    """Compare a trail's events with those of the chain: all of them, in order, and none besides, up
    to the trail's block.

    Args:
        trail: whose lines follow on one another.
        chain: without a key, of a node of the checker's own.

    Returns:
        how many events the chain has since then.

    Raises:
        ChainUnusable: the node is of another chain or deployment, has not come to that block, or
            does not answer.
        ClaimMismatch: they differ; with the line's number.
    """
    if (chain.chain_id, chain.addresses["Agreements"]) != (trail.chain_id, trail.contract):
        raise ChainUnusable(
            f"the trail is about Agreements at {trail.contract} on the chain {trail.chain_id}, and this is "
            f"{chain.addresses['Agreements']} on the chain {chain.chain_id}",
            "name a node of that chain with --rpc",
        )
    if (head := chain.head()) < trail.block:
        raise NodeUnreachable(f"the node has come to block {head}, and the trail goes to block {trail.block}")
    calls = Agreements(chain)
    calls.requested_block(trail.agreement)  # from which on its events are read
    events = calls.events(trail.agreement)
    chain.read_times(event.block for event in events)
    past = [event for event in events if event.block <= trail.block]
    lines, number = trail.of_kind(EVENT), 1
    for line, event in zip_longest(lines, past):
        if line is None:
            raise ClaimMismatch(
                f"after line {number} the trail lacks the event {event.name} of block {event.block}, which the chain "
                "has"
            )
        number = line.number
        if event is None or {**line.body, "previous": None} != {**event_body(event), "previous": None}:
            has = "none there" if event is None else f"{event.name} of block {event.block} there, or with other words"
            raise ClaimMismatch(
                f"line {number} of the trail has the event {str(line.body['name'])[:40]!r} of block "
                f"{str(line.body['block'])[:20]}, and the chain has {has}"
            )
    return len(events) - len(past)


def require_owners(trail: Trail, agreement: AgreementId, owner: str, agreements: str, chain_id: int) -> None:
    """Check that a trail is what the owner of a run says of it.

    Args:
        trail: whose lines follow on one another.
        agreement, owner: of the run.
        agreements, chain_id: the address of its Agreements, and its chain.

    Raises:
        ClaimMismatch: it is about another run, or somebody else's.
        InputRefused: nobody signed it.
    """
    for what, stated, wanted in (
        ("agreement", trail.agreement, agreement),
        ("account", trail.account, owner),
        ("contract", trail.contract, agreements),
        ("chain", trail.chain_id, chain_id),
    ):
        if stated != wanted:
            raise ClaimMismatch(f"the trail's {what} is {stated}, and the certificate has {wanted}")
    if not trail.is_signed:
        raise InputRefused(
            "the trail is signed by nobody: what it says is nobody's word",
            "ask the owner for one of `fitchain job trail JOB --out FILE --sign`",
        )


def _json(value: Any) -> Json:
    """An argument of an event as JSON."""
    match value:
        case bool() | str():
            return value
        case int():
            return str(int(value))
        case Digest():
            return str(value)
        case bytes():
            return "0x" + value.hex()
        case Mapping():
            return {str(name): _json(inner) for name, inner in value.items()}
        case list() | tuple():
            return [_json(inner) for inner in value]
    raise TypeError(f"an event has no argument of the type {type(value)}")
