"""The values of an agreement: terms, state, proof, ending; and the hashes that bind them, equal to
the contracts'.

Money is an int in base units of FIT, windows and times are in seconds, addresses carry their
checksum.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fitchain.pod.ports.chain.base import ChainEnum
from fitchain.pod.ports.store.base import Cid
from fitchain.pod.values.audit_mode import AuditMode
from fitchain.pod.values.digest import ZERO, Digest, Root
from fitchain.pod.values.ids import WHOLE_POOL, AgreementId, AuditId, AuditRef, DatasetId, ModelId, PanelId
from fitchain.pod.values.work import StepWork

if TYPE_CHECKING:
    from fitchain.pod.values.leaf import OpenedLeaf  # its numpy would be waited for by `fitchain --help`


class State(ChainEnum):
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
    HALVED = 11

    @property
    def ended(self) -> bool:
        """Whether nothing more can happen to the agreement."""
        return self in (State.SETTLED, State.CANCELLED, State.FORFEITED, State.REFUNDED, State.HALVED)


class Phase(ChainEnum):
    """Where an audit stands; what leads from one to the next stands in
    contracts/interfaces/IAudits.sol."""

    NONE = 0
    AWAITING = 1
    JOINING = 2
    WAITING = 3
    EVIDENCE = 4
    COMMITTING = 5
    REVEALING = 6
    MATCHED = 7
    RELEASED = 8
    CONCLUDED = 9

    @property
    def releasing(self) -> bool:
        """Whether the job's identity may be released."""
        return self in (Phase.MATCHED, Phase.RELEASED)


class AuditKind(ChainEnum):
    """Who opened an audit: the end of a run whose terms name verifiers; a dispute; somebody who
    doubts, later."""

    FIRST = 0
    DISPUTE = 1
    AGAIN = 2


class Outcome(ChainEnum):
    """What a verifier votes for, and what an audit concludes."""

    NONE = 0
    MATCH = 1
    MISMATCH = 2
    WITHHELD = 3
    INCONCLUSIVE = 4


AUDIT_AMOUNTS = ("fee_per_seat", "seat_stake", "counter_bond")
"""The fields of `AuditTerms` that are base units of FIT, which people read as FIT."""


@dataclass(frozen=True)
class AuditTerms:
    """How a run is audited, or may be disputed.

    Args:
        drawn_segments: segments that are drawn besides those that are always audited, q.
        verifiers: seats, m, odd; 0 means that nobody audits unless the scientist disputes.
        dispute_verifiers: seats of a dispute where m = 0, odd; 0 means that there is none.
        mode: what is disclosed.
        panel: who may be drawn; zero for the whole pool.
        window: seconds of each phase of an audit.
        wait: seconds from the opening on in which an audit that finds too few verifiers may be
            drawn on.
        fee_per_seat: FIT, base units, that a seat earns, f; with m = 0 locked only with a dispute.
        seat_stake: FIT, base units, that a seat locks and can lose, 10 f to 20 f.
        counter_bond: FIT, base units, that a disputing scientist locks besides the fees.
    """

    drawn_segments: int = 0
    verifiers: int = 0
    dispute_verifiers: int = 0
    mode: AuditMode = AuditMode.OPEN
    panel: PanelId = WHOLE_POOL
    window: int = 0
    wait: int = 0
    fee_per_seat: int = 0
    seat_stake: int = 0
    counter_bond: int = 0

    @property
    def seats(self) -> int:
        """Seats of an audit, or of a dispute where there is no audit; 0: there is neither."""
        return self.verifiers or self.dispute_verifiers

    @property
    def quorum(self) -> int:
        """How many equal votes are a verdict."""
        return self.seats // 2 + 1

    @property
    def fees(self) -> int:
        """FIT, base units, of all seats."""
        return self.seats * self.fee_per_seat

    @property
    def locked(self) -> int:
        """FIT, base units, that a request locks beside its price."""
        return self.fees if self.verifiers else 0


@dataclass(frozen=True)
class Terms:
    """What two parties agree on.

    Args:
        owner: the data owner's address.
        dataset, dataset_root: its id in the registry, and the root registered there.
        model, model_root: likewise; where the training starts.
        recipe: digest of the recipe.
        environment: digest of the recipe's environment record.
        steps: T >= 2, steps in all.
        segment_steps: k >= 2, steps between two leaves.
        group_leaves: A, leaves that an anchor covers, a power of two.
        step_bytes, step_calls, step_operations: the metered work of a step, see `StepWork`.
        price, bond: FIT in base units.
        acceptance_window, training_window, dispute_window: seconds.
        charge: what the job costs of the dataset's privacy budget, eight lanes of 32 bits; 0
            where the dataset has no ledger.
        nonce_commitment: `commit_nonce` of the scientist's part of every draw; zero where there are
            no seats.
        audit: the audit's terms.
    """

    owner: str
    dataset: DatasetId
    dataset_root: Root
    model: ModelId
    model_root: Root
    recipe: Digest
    environment: Digest
    steps: int
    segment_steps: int
    group_leaves: int
    step_bytes: int
    step_calls: int
    step_operations: int
    price: int
    bond: int
    acceptance_window: int
    training_window: int
    dispute_window: int
    charge: int = 0
    nonce_commitment: Digest = ZERO
    audit: AuditTerms = AuditTerms()

    @property
    def work(self) -> StepWork:
        """The metered work of a step."""
        return StepWork(self.step_bytes, self.step_calls, self.step_operations)


@dataclass(frozen=True)
class Agreement:
    """An agreement as the chain has it.

    Args:
        id: keccak256(chain id, contract, scientist, salt).
        scientist: who asked.
        terms: what was agreed.
        state: where it stands.
        requested_block: the block of the request; the jury is who stood before it.
        places: of the panel or the pool at that time.
        seed_block: the block of acceptance, 0 before.
        steps_done: steps that the ended training proves, 0 before.
        price_due: FIT in base units, what the owner is due if nothing is held against it: less than
            agreed where the training diverged.
        complained: whether the scientist said, before any dispute, that what it was handed does not
            open the delivery.
        acceptance_deadline, training_deadline, dispute_deadline: seconds since 1970, to be met up
            to and including; 0 while not known.
    """

    id: AgreementId
    scientist: str
    terms: Terms
    state: State
    requested_block: int
    places: int
    seed_block: int
    steps_done: int
    price_due: int
    complained: bool
    acceptance_deadline: int
    training_deadline: int
    dispute_deadline: int

    @property
    def requested_at(self) -> int:
        """When it was requested, in seconds since 1970 by the chain's clock."""
        return self.acceptance_deadline - self.terms.acceptance_window

    @property
    def diverged(self) -> bool:
        """Whether its training ended before the last step."""
        return 0 < self.steps_done < self.terms.steps or self.state is State.DIVERGED


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
        ctx: the context that stands in every leaf; zero before `begin`.
        seed: the order seed; zero before `begin`.
        nonce, noise_root: what the owner revealed; zero before `begin`, the root also without
            noise.
        count: leaves anchored so far; after the end, all leaves.
        step: steps that the ending covers; 0 before.
        delivered: index of the leaf whose model is delivered; 0 before the end.
        transcript_root, model_root: recorded by the ending, the model of the delivered leaf; zero
            before.
        last_model_root: the model of the last leaf; zero before the end.
        delivery, identity: CIDs of the sealed delivery and of the sealed job identity; None before
            the end, or if they are no CIDs.
        anchors: in order.
        end_block: block of the ending, None before.
        diverged: whether it ended before its last step.
    """

    ctx: Digest
    seed: Digest
    nonce: Digest
    noise_root: Digest
    count: int
    step: int
    delivered: int
    transcript_root: Root
    model_root: Root
    last_model_root: Root
    delivery: Cid | None
    identity: Cid | None
    anchors: tuple[Anchor, ...]
    end_block: int | None
    diverged: bool = False


@dataclass(frozen=True)
class DeliveredLeaf:
    """A leaf other than the last that is delivered, with its audit path from the leaf upwards.

    Source: RFC 9162, section 2.1.3.
    """

    leaf: OpenedLeaf
    path: tuple[Digest, ...]


@dataclass(frozen=True)
class Ending:
    """What `finish` and `diverge` are given: `struct Ending` of the contracts.

    Args:
        peaks: peaks of the anchored groups, left to right.
        tail: perfect-subtree roots, largest first, of the leaves after the last anchored group.
        last: the last leaf, opened.
        path: left siblings of the last leaf within the smallest peak.
        delivery: CID of weights and certificate, sealed to the job's identity.
        identity: CID of the job's identity, sealed to the scientist; None while it is withheld.
        delivered: the leaf whose model is delivered; None for the last.
    """

    peaks: tuple[Digest, ...]
    tail: tuple[Digest, ...]
    last: OpenedLeaf
    path: tuple[Digest, ...]
    delivery: Cid
    identity: Cid | None
    delivered: DeliveredLeaf | None = None


@dataclass(frozen=True)
class AskedAudit:
    """An audit that somebody asked for again.

    Args:
        ref: the agreement, and the ordinal that the audit has.
        asker: who locked its fees.
        terms: of the audit.
        nonce_commitment: the asker's part of the draw, committed to.
        requested_block: the block in which it was asked for; the jury is who stood before it.
        places: of its panel at that time.
        deadline: seconds since 1970 up to which the owner may consent.
        consented: whether the owner did.
        taken_back: whether the fees went back because it did not.
    """

    ref: AuditRef
    asker: str
    terms: AuditTerms
    nonce_commitment: Digest
    requested_block: int
    places: int
    deadline: int
    consented: bool
    taken_back: bool

    def awaits(self, now: int) -> bool:
        """Whether the owner may consent to it at a time of the chain, in seconds since 1970."""
        return not (self.consented or self.taken_back) and now <= self.deadline


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


def audit_id(ref: AuditRef) -> AuditId:
    """What an audit's seed, votes and traces are bound to: keccak256(abi.encode(agreement id,
    ordinal))."""
    return AuditId(_keccak(["bytes32", "uint16"], [bytes(ref.agreement), ref.ordinal]))


def commit_nonce(nonce: Digest) -> Digest:
    """What the scientist commits to when it requests, and whoever asks for another audit:
    keccak256(abi.encode(nonce))."""
    return _keccak(["bytes32"], [bytes(nonce)])


def commit_key(nonce: Digest, noise_root: Digest = ZERO) -> Digest:
    """What the owner commits to when it accepts: keccak256(abi.encode(nonce, noise root)).

    Args:
        nonce: its part of the order seed.
        noise_root: root over the keys of the noise that it adds; zero without noise.
    """
    return _keccak(["bytes32", "bytes32"], [bytes(nonce), bytes(noise_root)])


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


def _keccak(types: list[str], values: list[Any]) -> Digest:
    from eth_abi.abi import encode
    from eth_utils.crypto import keccak

    return Digest(bytes(keccak(encode(types, values))))
