"""The values of an agreement: terms, state, proof, ending; and the hashes that bind them, equal to
the contracts'.

Money is an int in base units of FIT, windows and times are in seconds, addresses carry their
checksum.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Any

from fitchain.pod.ports.store.base import Cid
from fitchain.pod.values.audit_mode import AuditMode
from fitchain.pod.values.digest import ZERO, Digest, Root
from fitchain.pod.values.ids import WHOLE_POOL, AgreementId, DatasetId, ModelId, PanelId

if TYPE_CHECKING:
    from fitchain.pod.values.leaf import Leaf  # its numpy would be waited for by `fitchain --help`


class State(IntEnum):
    """Where an agreement stands (protocol section 8)."""

    NONE = 0
    REQUESTED = 1
    ACCEPTED = 2
    TRAINING = 3
    TRAINED = 4
    DIVERGED = 5
    AUDITING = 6
    SETTLED = 7
    CANCELLED = 8
    FORFEITED = 9
    REFUNDED = 10

    @property
    def ended(self) -> bool:
        """Whether nothing more can happen to the agreement."""
        return self in (State.SETTLED, State.CANCELLED, State.FORFEITED, State.REFUNDED)


class Phase(IntEnum):
    """Where an audit stands; what leads from one to the next stands in
    contracts/interfaces/IAudits.sol."""

    NONE = 0
    AWAITING = 1
    JOINING = 2
    EVIDENCE = 3
    COMMITTING = 4
    REVEALING = 5
    MATCHED = 6
    RELEASED = 7
    CONCLUDED = 8

    @property
    def over(self) -> bool:
        """Whether nothing is left to do but to release the key once more."""
        return self in (Phase.RELEASED, Phase.CONCLUDED)


class Outcome(IntEnum):
    """What a verifier votes for, and what an audit concludes."""

    NONE = 0
    MATCH = 1
    MISMATCH = 2
    WITHHELD = 3
    INCONCLUSIVE = 4


@dataclass(frozen=True)
class AuditTerms:
    """What an audit would look at and cost.

    Args:
        segments: inner segments that are drawn, q.
        verifiers: seats, m; 0 means that nobody audits unless the scientist disputes.
        dispute_verifiers: seats of a dispute where m = 0; 0 means that there is none.
        mode: what is disclosed.
        panel: who may be drawn; zero for the whole pool.
        window: seconds of each phase of an audit.
        fee: FIT, base units, for the verifiers; with m = 0 locked only with a dispute.
        counter_bond: FIT, base units, that a disputing scientist locks.
    """

    segments: int = 0
    verifiers: int = 0
    dispute_verifiers: int = 0
    mode: AuditMode = AuditMode.OPEN
    panel: PanelId = WHOLE_POOL
    window: int = 0
    fee: int = 0
    counter_bond: int = 0

    @property
    def seats(self) -> int:
        """Seats of an audit, or of a dispute where there is no audit; 0: there is neither."""
        return self.verifiers or self.dispute_verifiers

    @property
    def locked(self) -> int:
        """FIT, base units, that a request locks beside its price."""
        return self.fee if self.verifiers else 0


@dataclass(frozen=True)
class Terms:
    """What two parties agree on.

    Args:
        owner: the data owner's address.
        dataset, model: their ids in the registry.
        recipe: digest of the recipe.
        steps: T, steps in all.
        segment_steps: k, steps between two leaves.
        group_leaves: A, leaves that an anchor covers, a power of two.
        price, bond: FIT in base units.
        acceptance_window, training_window, dispute_window: seconds.
        audit: the audit's terms.
    """

    owner: str
    dataset: DatasetId
    model: ModelId
    recipe: Digest
    steps: int
    segment_steps: int
    group_leaves: int
    price: int
    bond: int
    acceptance_window: int
    training_window: int
    dispute_window: int
    audit: AuditTerms = AuditTerms()


@dataclass(frozen=True)
class Permit:
    """A signed allowance (EIP-2612). A deadline of 0 means that none is given."""

    value: int = 0
    deadline: int = 0
    v: int = 0
    r: Digest = ZERO
    s: Digest = ZERO


@dataclass(frozen=True)
class Agreement:
    """An agreement as the chain has it.

    Args:
        id: keccak256(chain id, contract, scientist, salt).
        scientist: who asked.
        terms: what was agreed.
        state: where it stands.
        nonce_commitment: keccak256 of the owner's nonce, zero before acceptance.
        seed_block: the block of acceptance, 0 before.
        steps_done: steps that the ended training proves, 0 before.
        acceptance_deadline, training_deadline, dispute_deadline: seconds since 1970, to be met up
            to and including; 0 while not known.
    """

    id: AgreementId
    scientist: str
    terms: Terms
    state: State
    nonce_commitment: Digest
    seed_block: int
    steps_done: int
    acceptance_deadline: int
    training_deadline: int
    dispute_deadline: int

    @property
    def diverged(self) -> bool:
        """Whether its training ended before the last step."""
        return (
            self.state in (State.DIVERGED, State.AUDITING, State.SETTLED, State.REFUNDED)
            and self.steps_done < self.terms.steps
        )


@dataclass(frozen=True)
class Anchor:
    """One anchored group of leaves.

    Args:
        count: leaves anchored so far, this group included.
        root: RFC 6962 root of the group's leaves.
        note: CID of the note sealed to the scientist; None if there is none, or if it is no CID.
        block: number of its block.
        transaction: hash of its transaction.
    """

    count: int
    root: Digest
    note: Cid | None
    block: int
    transaction: Digest


@dataclass(frozen=True)
class RunRecord:
    """What the chain keeps of one training.

    Args:
        ctx: the context that stands in every leaf.
        seed: the order seed; zero before `begin`.
        nonce: the owner's revealed nonce; zero before `begin`.
        count: leaves anchored so far; after the end, all leaves.
        step: steps that the ending covers; 0 before.
        transcript_root, model_root: recorded by the ending; zero before.
        delivery, identity: CIDs of the sealed delivery and of the sealed job identity; None before
            the end, or if they are no CIDs.
        anchors: in order.
        end_block: block of the ending, None before.
    """

    ctx: Digest
    seed: Digest
    nonce: Digest
    count: int
    step: int
    transcript_root: Root
    model_root: Root
    delivery: Cid | None
    identity: Cid | None
    anchors: tuple[Anchor, ...]
    end_block: int | None


@dataclass(frozen=True)
class Ending:
    """What `finish` and `diverge` are given: `struct Ending` of the contracts.

    Args:
        peaks: peaks of the anchored groups, left to right.
        tail: perfect-subtree roots, largest first, of the leaves after the last anchored group.
        last: the last leaf, `struct Leaf` there.
        path: left siblings of the last leaf within the smallest peak.
        delivery: CID of weights and certificate, sealed to the job's identity.
        identity: CID of the job's identity, sealed to the scientist; None while it is withheld.
    """

    peaks: tuple[Digest, ...]
    tail: tuple[Digest, ...]
    last: Leaf
    path: tuple[Digest, ...]
    delivery: Cid
    identity: Cid | None


def agreement_id(chain_id: int, agreements: str, scientist: str, salt: Digest) -> AgreementId:
    """The id that a request will have: keccak256(abi.encode(chain id, Agreements, scientist,
    salt)).

    Args:
        agreements: address of the contract.
        salt: 32 bytes of the scientist's choice, not used before.
    """
    return AgreementId(
        _keccak(["uint256", "address", "address", "bytes32"], [chain_id, agreements, scientist, bytes(salt)])
    )


def commit_nonce(nonce: Digest) -> Digest:
    """What the owner commits to when it accepts: keccak256(abi.encode(nonce))."""
    return _keccak(["bytes32"], [bytes(nonce)])


# As many parameters as the words that are hashed: the contract's abi.encode, spelt with names.
def context(
    chain_id: int,
    agreements: str,
    proof_of_train: str,
    agreement: AgreementId,
    owner: str,
    scientist: str,
    recipe: Digest,
    dataset_root: Root,
    initial_model_root: Root,
    steps: int,
    segment_steps: int,
    group_leaves: int,
) -> Digest:
    """The context that stands in every leaf, so that no proof serves another job, chain or
    deployment.

    Args:
        chain_id: the chain.
        agreements, proof_of_train: addresses of the contracts.
        agreement: the agreement's id.
        owner, scientist: their addresses.
        recipe: digest of the recipe.
        dataset_root, initial_model_root: as registered.
        steps, segment_steps, group_leaves: T, k, A.

    Returns:
        keccak256(abi.encode(...)) of these, in this order.
    """
    addresses, words = ["address"] * 2, ["bytes32"] * 3
    types = ["uint256", *addresses, "bytes32", *addresses, *words, "uint256", "uint256", "uint256"]
    roots = [bytes(recipe), bytes(dataset_root), bytes(initial_model_root)]
    head = [chain_id, agreements, proof_of_train, bytes(agreement), owner, scientist]
    return _keccak(types, [*head, *roots, steps, segment_steps, group_leaves])


def order_seed(ctx: Digest, block_hash: Digest, nonce: Digest) -> Digest:
    """The seed of every order and generator: keccak256(abi.encode(ctx, hash of the seed block,
    nonce))."""
    return _keccak(["bytes32"] * 3, [bytes(ctx), bytes(block_hash), bytes(nonce)])


def permit_digest(chain_id: int, coin: str, holder: str, spender: str, value: int, nonce: int, deadline: int) -> Digest:
    """What a permit signs, bound to one token on one chain.

    Args:
        chain_id: the chain.
        coin: address of FitCoin.
        holder, spender: whose FIT who may take.
        value: base units.
        nonce: the holder's permits so far.
        deadline: seconds since 1970.

    Source: EIP-2612, "Specification"; EIP-712, "Definition of domainSeparator".
    """
    domain = _keccak(
        ["bytes32", "bytes32", "bytes32", "uint256", "address"],
        [_text_hash(_DOMAIN), _text_hash("FitCoin"), _text_hash("1"), chain_id, coin],
    )
    message = _keccak(
        ["bytes32", "address", "address", "uint256", "uint256", "uint256"],
        [_text_hash(_PERMIT), holder, spender, value, nonce, deadline],
    )
    from eth_utils.crypto import keccak

    return Digest(bytes(keccak(b"\x19\x01" + bytes(domain) + bytes(message))))


_DOMAIN = "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
_PERMIT = "Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)"


def _text_hash(text: str) -> bytes:
    from eth_utils.crypto import keccak

    return bytes(keccak(text=text))


def _keccak(types: list[str], values: list[Any]) -> Digest:
    from eth_abi.abi import encode
    from eth_utils.crypto import keccak

    return Digest(bytes(keccak(encode(types, values))))
