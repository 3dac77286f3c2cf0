"""Every step of an agreement's life as one typed call, and what the chain says of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from fitchain.pod.ports.agreement.terms import (
    Agreement,
    Anchor,
    AskedAudit,
    AuditTerms,
    Ending,
    RunRecord,
    State,
    Terms,
    agreement_id,
    context,
)
from fitchain.pod.ports.chain.base import Event, Pending, Receipt, newest
from fitchain.pod.ports.chain.client import Chain
from fitchain.pod.ports.chain.permit import Permit, abi_name, sign_permit, struct_of
from fitchain.pod.ports.chain.reads import ReadEvents
from fitchain.pod.ports.store.base import Cid
from fitchain.pod.values.audit_mode import AuditMode
from fitchain.pod.values.digest import ZERO, Digest, sha256
from fitchain.pod.values.errors import InputRefused, NodeUnreachable, NotOnChain, Reverted
from fitchain.pod.values.ids import AgreementId, AuditRef

if TYPE_CHECKING:
    from fitchain.pod.values.leaf import OpenedLeaf  # its numpy would be waited for by `fitchain --help`

ANCHOR_GAS, ANCHOR_GAS_PER_PEAK = 150_000, 5_000
"""An anchor's limit. It cannot be estimated: the anchor before it may not be mined yet."""

MOST_PERMITS = 3
"""How many permits a call that locks FIT is tried with."""
NO_ALLOWANCE = "ERC20InsufficientAllowance"
"""The error of FitCoin when a permit did not hold (EIP-6093)."""

CONTRACTS = ("Agreements", "ProofOfTrain", "Audits")
"""Whose events tell the life of an agreement."""


class Agreements:
    """The contracts Agreements and ProofOfTrain of one chain.

    Every call that sends raises `Reverted` where the contract refuses, by name and with its values
    and before anything is sent, and `ChainUnusable` where the account cannot pay. Late calls are
    refused by the contract.

    Args:
        chain: the connection; without a signer it only reads.
    """

    def __init__(self, chain: Chain) -> None:
        self.chain = chain
        self._requests: dict[AgreementId, Event] = {}

    # The parties' side

    def request(self, salt: Digest, terms: Terms, offer: Cid, permit: Permit | None = None) -> AgreementId:
        """Ask an owner for a training; locks the price, and the fee of an agreed audit, in one
        transaction.

        Args:
            salt: 32 bytes not used before; the id follows from it (`agreement_id`), so an
                interrupted request is found again.
            terms: what is offered; the contract compares the two roots with the registry.
            offer: CID of the offer (recipe, graph, sealed weights).
            permit: a signed allowance; one is signed here where none is given.

        Returns:
            the agreement's id.
        """
        locked = terms.price + terms.audit.locked
        self.chain.require_fit(locked, "the request")
        self._send_locking(locked, permit, "request", salt, _terms_out(terms), bytes(offer))
        return agreement_id(self.chain.chain_id, self._at("Agreements"), self.chain.address, salt)

    def accept(self, id: AgreementId, key_commitment: Digest, permit: Permit | None = None) -> Receipt:
        """Accept a request as its owner; locks the bond. The block of this transaction becomes the
        seed block.

        Args:
            id: the agreement.
            key_commitment: `commit_key` of the owner's nonce and noise.
            permit: a signed allowance for the bond; one is signed here where none is given.
        """
        terms = self.terms(id)
        self.chain.require_fit(terms.bond, "the bond")
        return self._send_locking(terms.bond, permit, "accept", id, _terms_out(terms), key_commitment)

    def reject(self, id: AgreementId, reason: Cid | None = None) -> Receipt:
        """Decline a request as its owner; the scientist gets its money back, and the reason if one
        was sealed to it."""
        return self.chain.send("Agreements", "reject", id, cid_out(reason))

    def cancel(self, id: AgreementId) -> Receipt:
        """Take a request back as its scientist, once the acceptance window has passed."""
        return self.chain.send("Agreements", "cancel", id)

    def accept_result(self, id: AgreementId) -> Receipt:
        """Accept the result as the scientist; the price is the owner's at once."""
        return self.chain.send("Agreements", "acceptResult", id)

    def settle(self, id: AgreementId) -> Receipt:
        """Settle after the dispute window, as anyone."""
        return self.chain.send("Agreements", "settle", id)

    def complain(self, id: AgreementId) -> Receipt:
        """Say as the scientist, before a dispute, that what `finish` handed over does not open the
        delivery: if a seat of the dispute then releases the job's identity, the counter-bond comes
        back."""
        return self.chain.send("Agreements", "complain", id)

    def dispute(self, id: AgreementId, permit: Permit | None = None) -> Receipt:
        """Have an ended training without verifiers audited, as its scientist; locks the fees of the
        audit and the counter-bond.

        Args:
            id: the agreement.
            permit: a signed allowance for both; one is signed here where none is given.
        """
        terms = self.terms(id)
        locked = terms.audit.fees + terms.audit.counter_bond
        self.chain.require_fit(locked, "the dispute")
        return self._send_locking(locked, permit, "dispute", id, _terms_out(terms))

    def expire(self, id: AgreementId) -> Receipt:
        """Forfeit the bond of an owner that missed the training deadline, as anyone."""
        return self.chain.send("Agreements", "expire", id)

    # Audits asked for again

    def ask_again(
        self,
        id: AgreementId,
        terms: AuditTerms,
        nonce_commitment: Digest,
        consent_window: int,
        permit: Permit | None = None,
    ) -> AuditRef:
        """Ask for another audit of a run that was delivered, by a panel of this account's trust;
        locks its fees. The owner has to consent.

        Args:
            id: the agreement.
            terms: of the audit; no dispute and no counter-bond.
            nonce_commitment: `commit_nonce` of this account's part of the draw.
            consent_window: seconds for the owner to consent.
            permit: a signed allowance; one is signed here where none is given.

        Returns:
            which audit it will be.
        """
        self.chain.require_fit(terms.fees, "the audit")
        asked = id, _audit_out(terms), nonce_commitment, consent_window
        receipt = self._send_locking(terms.fees, permit, "askAgain", *asked)
        return AuditRef(id, int(receipt.event("AuditAsked").args["ordinal"]))

    def consent(self, asked: AskedAudit) -> Receipt:
        """Consent to another audit as the owner, which opens it."""
        ref, terms = asked.ref, _audit_out(asked.terms)
        return self.chain.send("Agreements", "consent", ref.agreement, ref.ordinal, terms, asked.nonce_commitment)

    def take_back(self, ref: AuditRef) -> Receipt:
        """Give the fees of an audit that was not consented to in time back to its asker, as
        anyone."""
        return self.chain.send("Agreements", "takeBack", ref.agreement, ref.ordinal)

    def asked_audits(self, id: AgreementId, asker: str | None = None) -> list[AskedAudit]:
        """Every audit of an agreement that was asked for again, in order; strangers can ask for any
        number.

        Args:
            id: the agreement.
            asker: only those of that account.
        """
        indexed: dict[str, Any] = {"id": id} | ({"asker": asker} if asker else {})
        block = self._requested(id).block
        asked = self.chain.events("Agreements", "AuditAsked", block, **indexed)
        return self._as_they_stand(asked)

    def consented_audits(self, id: AgreementId) -> list[AuditRef]:
        """The audits of an agreement that its owner consented to, in order; nobody else can add to
        them."""
        events = self.chain.events("Agreements", "AuditConsented", self._requested(id).block, id=id)
        return [AuditRef(id, event.args["ordinal"]) for event in events]

    def consented_count(self, id: AgreementId) -> int:
        """To how many audits of an agreement its owner consented, by the newest block, of which
        `consented_audits` may know none yet."""
        return int(self.chain.call("Agreements", "askedAndConsented", id, block="latest")[1])

    def asked_audit(self, ref: AuditRef) -> AskedAudit:
        """One audit that was asked for again, read from the one block in which it was: however many
        others are asked for.

        Raises:
            NotOnChain: nobody asked for it.
        """
        if asked := self.asked_audits_of([ref]):
            return asked[0]
        raise NotOnChain(
            f"nobody asked for audit {ref.ordinal} of {ref.agreement.short}",
            f"see `fitchain job show {ref.agreement.short}`",
        )

    def asked_audits_of(self, refs: Sequence[AuditRef]) -> list[AskedAudit]:
        """Several such audits in few round trips, without those for which nobody asked."""
        kept = self.chain.call_many([("Agreements", "asking", (ref.agreement, ref.ordinal)) for ref in refs])
        askings = {ref: asking for ref, asking in zip(refs, kept, strict=True) if asking["requestBlock"]}
        blocks = self.chain.events_many([_question_read(ref, asking) for ref, asking in askings.items()])
        return [
            asked_audit_of(event, *_answered(asking))
            for (ref, asking), events in zip(askings.items(), blocks, strict=True)
            for event in events
            if event.args["ordinal"] == ref.ordinal
        ]

    def open_among(self, refs: Sequence[AuditRef], now: int) -> list[AuditRef]:
        """Which of several such audits the owner may consent to now; in one round trip for a
        hundred.

        Args:
            refs: which.
            now: the chain's time, seconds since 1970.
        """
        kept = self.chain.call_many([("Agreements", "asking", (ref.agreement, ref.ordinal)) for ref in refs])
        return [
            ref
            for ref, asking in zip(refs, kept, strict=True)
            if asking["requestBlock"] and not any(_answered(asking)) and now <= asking["deadline"]
        ]

    def newest_questions(self, ids: Sequence[AgreementId], most: int) -> dict[AgreementId, range]:
        """The ordinals of the newest audits that were asked for again, by agreement, where there
        are any; in one round trip.

        Args:
            ids: the agreements.
            most: how many of each.
        """
        counts = self.chain.call_many([("Agreements", "askedAndConsented", (id,)) for id in ids])
        asked = {id: count[0] for id, count in zip(ids, counts, strict=True) if count[0]}
        return {id: range(max(count - most, 0) + 1, count + 1) for id, count in asked.items()}

    def _as_they_stand(self, asked: Sequence[Event]) -> list[AskedAudit]:
        """Questions with what became of them."""
        calls = [("Agreements", "asking", (event.args["id"], event.args["ordinal"])) for event in asked]
        kept = self.chain.call_many(calls)
        return [asked_audit_of(event, *_answered(asking)) for event, asking in zip(asked, kept, strict=True)]

    def audit_terms(self, ref: AuditRef) -> AuditTerms:
        """The terms of an audit: the agreement's own, or those that it was asked for with.

        Raises:
            NotOnChain: this deployment has no such agreement, or nobody asked for the audit.
        """
        return self.asked_audit(ref).terms if ref.ordinal else self.terms(ref.agreement).audit

    def asking(self, from_block: int | None = None, to_block: int | None = None) -> list[AuditRef]:
        """Audits that anybody asked for again in a range of blocks, oldest first."""
        events = self.chain.events("Agreements", "AuditAsked", from_block, to_block)
        return [AuditRef(event.args["id"], event.args["ordinal"]) for event in events]

    # Money

    def withdraw(self) -> Receipt:
        """Collect what this account is owed."""
        return self.chain.send("Agreements", "withdraw")

    def owed(self, address: str) -> int:
        """FIT in base units that an address can withdraw."""
        return int(self.chain.call("Agreements", "owed", address))

    def permit(self, value: int) -> Permit:
        """Sign an allowance for the Agreements contract; see `sign_permit`."""
        return sign_permit(self.chain, "Agreements", value)

    def _send_locking(self, value: int, permit: Permit | None, function: str, *args: Any) -> Receipt:
        """Send a call that locks FIT, its last argument the permit for it.

        A permit names how many came before it. Another call of this account that is mined first,
        as one is that the chain took back and the queue sends again, spends that number, and this
        call finds no allowance; a fresh permit lets it through.
        """
        tries = MOST_PERMITS
        while True:
            tries -= 1
            try:
                return self.chain.send("Agreements", function, *args, struct_of(permit or self.permit(value)))
            except Reverted as refusal:
                if permit is not None or refusal.error != NO_ALLOWANCE or not tries:
                    raise

    # The proof's side

    def begin(self, id: AgreementId, nonce: Digest, noise_root: Digest = ZERO) -> Receipt:
        """Reveal nonce and noise root as the owner; fixes the order seed. Waits for the block after
        the seed block, if need be."""
        self._await_seed(id)
        return self.chain.send("ProofOfTrain", "begin", id, _terms_out(self.terms(id)), nonce, noise_root)

    def fix(self, id: AgreementId) -> Receipt:
        """Keep the seed block's hash while the chain can still give it, as anyone. Waits as `begin`
        does."""
        self._await_seed(id)
        return self.chain.send("ProofOfTrain", "fix", id)

    def submit_anchor(
        self, id: AgreementId, seed: Digest, peaks: Sequence[Digest], root: Digest, note: Cid | None
    ) -> Pending:
        """Send an anchor without waiting for it; `chain.wait` waits. Anchors of one account are
        mined in the order sent.

        Args:
            id: the agreement.
            seed: of the run that was trained; in another, which began where a reorganisation of the
                chain undid the first, the contract refuses it.
            peaks: the peaks before this group, largest first.
            root: root of this group's leaves.
            note: CID of the sealed note.
        """
        gas = ANCHOR_GAS + ANCHOR_GAS_PER_PEAK * len(peaks)
        return self.chain.submit("ProofOfTrain", "anchor", id, seed, list(peaks), root, cid_out(note), gas=gas)

    def finish(self, id: AgreementId, ending: Ending) -> Receipt:
        """End a completed training, once its anchors are mined."""
        return self.chain.send("ProofOfTrain", "finish", id, _terms_out(self.terms(id)), _ending_out(ending))

    def diverge(self, id: AgreementId, ending: Ending) -> Receipt:
        """End a training that left the finite numbers, at its last finite leaf."""
        return self.chain.send("ProofOfTrain", "diverge", id, _terms_out(self.terms(id)), _ending_out(ending))

    # Reads

    def read(self, id: AgreementId) -> Agreement:
        """The agreement as it stands.

        Raises:
            NotOnChain: this deployment has none of that id, or none any more.
        """
        agreement = self.read_many([id])[0]
        if agreement.state is State.NONE:
            raise self._unknown(id)
        return agreement

    def missing_among(self, ids: Sequence[AgreementId]) -> list[AgreementId]:
        """Those of several agreements, known here or not, that the chain does not have."""
        answers = self.chain.call_many([("Agreements", "agreement", (id,)) for id in ids])
        return [id for id, kept in zip(ids, answers, strict=True) if State(kept["state"]) is State.NONE]

    def read_many(self, ids: Sequence[AgreementId]) -> list[Agreement]:
        """Several agreements in few round trips; one that was known here, and that the chain took
        back, is in no state. Raises as `read`."""
        names = (("Agreements", "agreement"), ("ProofOfTrain", "run"))
        answers = self.chain.call_many([(contract, name, (id,)) for id in ids for contract, name in names])
        blocks = {id: kept["requestBlock"] for id, kept in zip(ids, answers[::2], strict=True)}
        # A request that the chain took back may come again in another block, with other terms.
        unknown = [id for id in blocks if blocks[id] and blocks[id] != self._known_block(id)]
        self._remember([_request_read(id, blocks[id]) for id in unknown])
        self.chain.read_times(self._requested(id).block for id in ids)
        kept = zip(ids, answers[::2], answers[1::2], strict=True)
        return [agreement_of(self._requested(id), agreed, run) for id, agreed, run in kept]

    def forget(self) -> None:
        """Keep no request that was read, nor the time of any block: the chain took blocks back."""
        self._requests.clear()
        self.chain.forget_times()

    def requested_block(self, id: AgreementId) -> int:
        """The block of the request. Raises as `read`."""
        return self._requested(id).block

    def terms(self, id: AgreementId) -> Terms:
        """The terms, which never change. Raises as `read`."""
        return _terms_in(self._requested(id).args["terms"])

    def offer(self, id: AgreementId) -> Cid:
        """CID of the offer that the request carried.

        Raises:
            NotOnChain: this deployment has no such agreement.
            InputRefused: the request carried no CID.
        """
        return Cid.decode(self._requested(id).args["offerCid"])

    def request_digest(self, id: AgreementId) -> Digest:
        """SHA-256 of what a request says, its terms and its offer. Its id follows from the account
        and a salt alone: where the chain takes a request back, another one of that id may come."""
        said = self._requested(id).args
        return sha256(repr((said["terms"], said["offerCid"])).encode())

    def salt(self, id: AgreementId) -> Digest | None:
        """The salt that a request was sent with; None where the node has forgotten the transaction.
        Raises as `read`."""
        sent = self.chain.sent_args(self._requested(id).transaction, "Agreements", "request")
        return None if sent is None else Digest(bytes(sent[0]))

    def refusal(self, id: AgreementId) -> Cid | None:
        """CID of the reason that the owner gave for declining; None where it did not decline, or
        gave none."""
        declined = [event for event in self.events(id) if event.name == "Rejected"]
        return cid_in(declined[0].args["reasonCid"]) if declined else None

    def objects(self, id: AgreementId) -> list[Cid]:
        """Every object that an agreement's events name: offer, notes, delivery, evidence, keys, the
        reason of a refusal."""
        named = (
            event.args[name]
            for event in self.events(id)
            for name in event.args
            if name.endswith("Cid") or name == "delivery"
        )
        return [cid for data in named if (cid := cid_in(data)) is not None]

    def events(
        self, id: AgreementId | None = None, from_block: int | None = None, to_block: int | None = None
    ) -> list[Event]:
        """All events of these contracts and of Audits in the order of the chain, of one agreement
        where given, up to `chain.head()`."""
        if from_block is None and id is not None:
            from_block = self._known_block(id)
        return self.chain.events_of(CONTRACTS, id, from_block, to_block)

    def newest_event(self, id: AgreementId) -> Event:
        """The newest event of an agreement and of its own audit: of an ended one that with which it
        was over. Audits that were asked for again do not count."""
        events = [event for event in self.events(id) if not event.args.get("ordinal")]
        return newest(events, f"the job {id.short}")

    def run_record(self, id: AgreementId) -> RunRecord:
        """What the chain keeps of its training, anchors included. Raises as `read`."""
        return self.run_of(id, self.chain.events_of(["ProofOfTrain"], id, self._requested(id).block))

    def seed(self, id: AgreementId) -> Digest:
        """The order seed of a run by the newest block; zero before `begin`."""
        seed: Digest = self.chain.call("ProofOfTrain", "run", id, block="latest")["seed"]
        return seed

    def run_of(self, id: AgreementId, events: Sequence[Event]) -> RunRecord:
        """The same of an agreement whose events the caller has. Raises as `read`."""
        return run_record_of(self.terms(id).steps, [event for event in events if event.contract == "ProofOfTrain"])

    def context(self, agreement: Agreement) -> Digest:
        """The context of an agreement on this deployment, computed here."""
        terms = agreement.terms
        return context(
            self.chain.chain_id,
            self._at("Agreements"),
            self._at("ProofOfTrain"),
            agreement.id,
            terms.owner,
            agreement.scientist,
            terms.recipe,
            terms.dataset_root,
            terms.model_root,
            terms.steps,
            terms.segment_steps,
            terms.group_leaves,
        )

    def list(
        self, owner: str | None = None, scientist: str | None = None, from_block: int | None = None
    ) -> list[AgreementId]:
        """Ids of the agreements requested, oldest first, of one owner or scientist where given."""
        wanted: dict[str, Any] = {
            name: address for name, address in (("owner", owner), ("scientist", scientist)) if address
        }
        events = self.chain.events("Agreements", "Requested", from_block, **wanted)
        self._requests |= {event.args["id"]: event for event in events}
        return [event.args["id"] for event in events]

    def list_of(self, account: str) -> Sequence[AgreementId]:
        """Ids of the agreements in which an account is the owner or the scientist, oldest first."""
        reads = [ReadEvents(("Agreements",), "Requested", {role: account}) for role in ("owner", "scientist")]
        events = {event.args["id"]: event for requested in self.chain.events_many(reads) for event in requested}
        self._requests |= events
        return sorted(events, key=lambda id: (events[id].block, events[id].log_index))

    def _await_seed(self, id: AgreementId) -> None:
        """Wait until the seed block, where there is one, has a successor."""
        if seed_block := self.chain.call("Agreements", "agreement", id, block="latest")["seedBlock"]:
            self.chain.wait_beyond(seed_block)

    def _at(self, contract: str) -> str:
        return self.chain.deployment.addresses[contract]

    def _known_block(self, id: AgreementId) -> int | None:
        event = self._requests.get(id)
        return None if event is None else event.block

    def _requested(self, id: AgreementId) -> Event:
        """The event of the request, which holds what the contract does not keep."""
        if (event := self._requests.get(id)) is None:
            block = self.chain.call("Agreements", "agreement", id)["requestBlock"]
            event = self._remember([_request_read(id, block)] if block else []).get(id)
            if event is None:
                raise self._unknown(id)
        return event

    def _unknown(self, id: AgreementId) -> NotOnChain:
        return NotOnChain(
            f"the deployment at {self._at('Agreements')} on chain {self.chain.chain_id} has no job {id.short}",
            "see `fitchain job list`; a job of another deployment needs that deployment's settings",
        )

    def _remember(self, reads: Sequence[ReadEvents]) -> dict[AgreementId, Event]:
        """Read requests and keep them; those that were read."""
        requests = {event.args["id"]: event for events in self.chain.events_many(reads) for event in events}
        self._requests |= requests
        return requests


def _request_read(id: AgreementId, block: int) -> ReadEvents:
    """A request, in the one block that it stands in."""
    return ReadEvents(("Agreements",), "Requested", {"id": id}, from_block=block, to_block=block)


def _question_read(ref: AuditRef, asking: dict[str, Any]) -> ReadEvents:
    """A question, in the one block that it stands in, among those of its asker there."""
    block, indexed = asking["requestBlock"], {"id": ref.agreement, "asker": asking["asker"]}
    return ReadEvents(("Agreements",), "AuditAsked", indexed, from_block=block, to_block=block)


def _answered(asking: dict[str, Any]) -> tuple[bool, bool]:
    """Whether a question was consented to, and whether its fees were taken back."""
    consented = bool(asking["consented"])
    return consented, not consented and not asking["fees"]


def agreement_of(requested: Event, kept: dict[str, Any], run: dict[str, Any]) -> Agreement:
    """An agreement from the event of its request, `Agreements.agreement` and `ProofOfTrain.run`."""
    state, terms, ended = State(kept["state"]), _terms_in(requested.args["terms"]), bool(run["alwaysAudited"])
    deadline = kept["deadline"]
    return Agreement(
        id=AgreementId(requested.args["id"]),
        scientist=kept["scientist"],
        terms=terms,
        state=state,
        requested_block=kept["requestBlock"],
        places=kept["places"],
        seed_block=kept["seedBlock"],
        steps_done=min((run["leaves"] - 1) * terms.segment_steps, terms.steps) if ended else 0,
        price_due=kept["price"],
        complained=kept["complained"],
        acceptance_deadline=requested.timestamp + terms.acceptance_window,
        training_deadline=(run["deadline"] or deadline) if kept["seedBlock"] else 0,
        dispute_deadline=deadline if ended and not terms.audit.verifiers else 0,
    )


def run_record_of(steps: int, events: Sequence[Event]) -> RunRecord:
    """A run's record from its events.

    Args:
        steps: T of the terms.
        events: of the agreement by ProofOfTrain, in order.
    """
    by_name = {event.name: event for event in events}
    anchors = tuple(_anchor(event) for event in events if event.name == "Anchored")
    begun = by_name["Begun"].args if "Begun" in by_name else {}
    end = by_name.get("Finished") or by_name.get("DivergedAt")
    ended = end.args if end else {}
    return RunRecord(
        ctx=begun.get("ctx", ZERO),
        seed=begun.get("seed", ZERO),
        nonce=begun.get("nonce", ZERO),
        noise_root=begun.get("noiseRoot", ZERO),
        count=ended["count"] if ended else anchors[-1].count if anchors else 0,
        step=ended.get("step", steps if ended else 0),
        delivered=ended.get("delivered", ended["count"] - 1) if ended else 0,
        transcript_root=ended.get("transcriptRoot", ZERO),
        model_root=ended.get("modelRoot", ZERO),
        last_model_root=ended.get("lastModelRoot", ended.get("modelRoot", ZERO)),
        delivery=cid_in(ended.get("delivery", b"")),
        identity=cid_in(ended.get("identityCid", b"")),
        anchors=anchors,
        end_block=end.block if end else None,
        diverged="DivergedAt" in by_name,
    )


def _anchor(event: Event) -> Anchor:
    args = event.args
    return Anchor(args["count"], args["root"], cid_in(args["noteCid"]), event.block, event.transaction)


def asked_audit_of(event: Event, consented: bool, taken_back: bool = False) -> AskedAudit:
    """An audit that was asked for again, from the event of the question and what became of it."""
    return AskedAudit(
        ref=AuditRef(event.args["id"], event.args["ordinal"]),
        asker=event.args["asker"],
        terms=_audit_in(event.args["terms"]),
        nonce_commitment=event.args["nonceCommitment"],
        requested_block=event.block,
        places=event.args["places"],
        deadline=event.args["deadline"],
        consented=consented,
        taken_back=taken_back,
    )


def terms_of(requested: Event) -> Terms:
    """The terms that a request carried."""
    return _terms_in(requested.args["terms"])


def cid_in(data: bytes) -> Cid | None:
    """A CID that a stranger wrote; None where it is none."""
    try:
        return Cid.decode(data)
    except InputRefused:
        return None


def cid_out(cid: Cid | None) -> bytes:
    """A CID as the contracts take it; nothing for None."""
    return b"" if cid is None else bytes(cid)


def _audit_out(terms: AuditTerms) -> dict[str, Any]:
    return struct_of(terms) | {"mode": terms.mode.value}


def _audit_in(body: dict[str, Any]) -> AuditTerms:
    values = {field.name: body[abi_name(field.name)] for field in fields(AuditTerms)}
    return AuditTerms(**values | {"mode": _mode_in(values["mode"])})


def _mode_in(number: int) -> AuditMode:
    """A mode by the contract's number.

    Raises:
        NodeUnreachable: there is none of that number, so the node made it up.
    """
    try:
        return AuditMode(number)
    except ValueError:
        raise NodeUnreachable(f"the node says {number} for a mode of audits, which has 0 to 2") from None


def _terms_out(terms: Terms) -> dict[str, Any]:
    return struct_of(terms) | {"audit": _audit_out(terms.audit)}


def _terms_in(body: dict[str, Any]) -> Terms:
    values = {field.name: body[abi_name(field.name)] for field in fields(Terms)}
    return Terms(**values | {"audit": _audit_in(values["audit"])})


def _leaf_out(opened: OpenedLeaf) -> dict[str, Any]:
    """A leaf that is opened on chain as the contract's struct."""
    leaf = opened.leaf
    return {
        "index": leaf.index,
        "step": leaf.step,
        "modelRoot": opened.model,
        "optimizerRoot": opened.optimizer,
        "records": leaf.records,
        "metrics": leaf.metrics,
        "heldOut": leaf.held_out,
        "previous": leaf.previous,
    }


def _ending_out(ending: Ending) -> dict[str, Any]:
    """An ending as the contract's struct."""
    delivered = ending.delivered
    return {
        "peaks": list(ending.peaks),
        "tail": list(ending.tail),
        "last": _leaf_out(ending.last),
        "path": list(ending.path),
        "delivered": [{"leaf": _leaf_out(delivered.leaf), "path": list(delivered.path)}] if delivered else [],
        "delivery": bytes(ending.delivery),
        "identityCid": cid_out(ending.identity),
    }
