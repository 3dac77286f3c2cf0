"""Every step of an agreement's life as one typed call, and what the chain says of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from fitchain.pod.ports.agreement.terms import (
    Agreement,
    Anchor,
    AuditTerms,
    Ending,
    Permit,
    RunRecord,
    State,
    Terms,
    agreement_id,
    context,
    permit_digest,
)
from fitchain.pod.ports.chain.base import Event, Pending, Receipt
from fitchain.pod.ports.chain.client import Chain
from fitchain.pod.ports.store.base import Cid
from fitchain.pod.values.audit_mode import AuditMode
from fitchain.pod.values.digest import ZERO, Digest, Root
from fitchain.pod.values.errors import AccessRefused, InputRefused, NotFound
from fitchain.pod.values.ids import AgreementId

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

PERMIT_S = 3600
"""How long a permit signed here can be used."""

ANCHOR_GAS, ANCHOR_GAS_PER_PEAK = 150_000, 5_000
"""An anchor's limit. It cannot be estimated: the anchor before it may not be mined yet."""

CONTRACTS = ("Agreements", "ProofOfTrain", "Audits")
"""Whose events tell the life of an agreement."""


DISPUTABLE = (State.TRAINED, State.DIVERGED, State.AUDITING, State.SETTLED)
"""States up to which, without verifiers, the deadline kept is that of the dispute window."""


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
            terms: what is offered.
            offer: CID of the offer (recipe, graph, sealed weights).
            permit: a signed allowance; one is signed here where none is given.

        Returns:
            the agreement's id.
        """
        locked = terms.price + terms.audit.locked
        self.chain.require_fit(locked, "the request")
        signed = permit or self.permit(locked)
        self.chain.send("Agreements", "request", salt, _terms_out(terms), bytes(offer), struct_of(signed))
        return agreement_id(self.chain.chain_id, self._at("Agreements"), self.chain.address, salt)

    def accept(self, id: AgreementId, nonce_commitment: Digest, permit: Permit | None = None) -> Receipt:
        """Accept a request as its owner; locks the bond. The block of this transaction becomes the
        seed block.

        Args:
            id: the agreement.
            nonce_commitment: `commit_nonce` of the owner's nonce.
            permit: a signed allowance for the bond; one is signed here where none is given.
        """
        bond = self.terms(id).bond
        self.chain.require_fit(bond, "the bond")
        return self.chain.send("Agreements", "accept", id, nonce_commitment, struct_of(permit or self.permit(bond)))

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

    def dispute(self, id: AgreementId, permit: Permit | None = None) -> Receipt:
        """Have an ended training without verifiers audited, as its scientist; locks the fee of the
        audit and the counter-bond.

        Args:
            id: the agreement.
            permit: a signed allowance for both; one is signed here where none is given.
        """
        audit = self.terms(id).audit
        locked = audit.fee + audit.counter_bond
        self.chain.require_fit(locked, "the dispute")
        return self.chain.send("Agreements", "dispute", id, struct_of(permit or self.permit(locked)))

    def expire(self, id: AgreementId) -> Receipt:
        """Forfeit the bond of an owner that missed the training deadline, as anyone."""
        return self.chain.send("Agreements", "expire", id)

    def withdraw(self) -> Receipt:
        """Collect what this account is owed."""
        return self.chain.send("Agreements", "withdraw")

    def owed(self, address: str) -> int:
        """FIT in base units that an address can withdraw."""
        return int(self.chain.call("Agreements", "owed", address))

    def permit(self, value: int) -> Permit:
        """Sign an allowance for the Agreements contract; see `sign_permit`."""
        return sign_permit(self.chain, "Agreements", value)

    # The proof's side

    def begin(self, id: AgreementId, nonce: Digest) -> Receipt:
        """Reveal the nonce as the owner; fixes the order seed. Waits for the block after the seed
        block, if need be."""
        self._await_seed(id)
        return self.chain.send("ProofOfTrain", "begin", id, nonce)

    def fix(self, id: AgreementId) -> Receipt:
        """Keep the seed block's hash while the chain can still give it, as anyone. Waits as `begin`
        does."""
        self._await_seed(id)
        return self.chain.send("ProofOfTrain", "fix", id)

    def submit_anchor(self, id: AgreementId, peaks: Sequence[Digest], root: Digest, note: Cid | None) -> Pending:
        """Send an anchor without waiting for it; `chain.wait` waits. Anchors of one account are
        mined in the order sent.

        Args:
            id: the agreement.
            peaks: the peaks before this group, largest first.
            root: root of this group's leaves.
            note: CID of the sealed note.
        """
        gas = ANCHOR_GAS + ANCHOR_GAS_PER_PEAK * len(peaks)
        return self.chain.submit("ProofOfTrain", "anchor", id, list(peaks), root, cid_out(note), gas=gas)

    def finish(self, id: AgreementId, ending: Ending) -> Receipt:
        """End a completed training, once its anchors are mined."""
        return self.chain.send("ProofOfTrain", "finish", id, _ending_out(ending))

    def diverge(self, id: AgreementId, ending: Ending) -> Receipt:
        """End a training that left the finite numbers, at its last finite leaf."""
        return self.chain.send("ProofOfTrain", "diverge", id, _ending_out(ending))

    # Reads

    def read(self, id: AgreementId) -> Agreement:
        """The agreement as it stands.

        Raises:
            NotFound: this deployment has none of that id.
        """
        return self.read_many([id])[0]

    def read_many(self, ids: Sequence[AgreementId]) -> list[Agreement]:
        """Several agreements in few round trips. Raises as `read`."""
        kept = self.chain.call_many([("Agreements", "agreement", (id,)) for id in ids])
        blocks = [words["seedBlock"] for words in kept] + [self.requested_block(id) for id in ids]
        self.chain.read_times(block for block in blocks if block)
        return [self._agreement(id, words) for id, words in zip(ids, kept, strict=True)]

    def requested_block(self, id: AgreementId) -> int:
        """The block of the request. Raises as `read`."""
        return self._requested(id).block

    def terms(self, id: AgreementId) -> Terms:
        """The terms, which never change. Raises as `read`."""
        return _terms_in(self._requested(id).args["terms"])

    def offer(self, id: AgreementId) -> Cid:
        """CID of the offer that the request carried.

        Raises:
            NotFound: this deployment has no such agreement.
            InputRefused: the request carried no CID.
        """
        return Cid.decode(self._requested(id).args["offerCid"])

    def refusal(self, id: AgreementId) -> Cid | None:
        """CID of the reason that the owner gave for declining; None where it did not decline, or
        gave none."""
        declined = [event for event in self.events(id) if event.name == "Rejected"]
        return cid_in(declined[0].args["reasonCid"]) if declined else None

    def objects(self, id: AgreementId) -> list[Cid]:
        """Every object that an agreement's events name: offer, notes, delivery, evidence, keys, the
        reason of a refusal."""
        named = (event.args[name] for event in self.events(id) for name in event.args if name.endswith("Cid"))
        return [cid for data in named if (cid := cid_in(data)) is not None]

    def events(
        self, id: AgreementId | None = None, from_block: int | None = None, to_block: int | None = None
    ) -> list[Event]:
        """All events of these contracts and of Audits in the order of the chain, of one agreement
        where given, up to `chain.head()`."""
        if from_block is None and id in self._requests:
            from_block = self._requests[id].block
        return self.chain.events_of(CONTRACTS, id, from_block, to_block)

    def run_record(self, id: AgreementId) -> RunRecord:
        """What the chain keeps of its training, anchors included. Raises as `read`."""
        requested = self._requested(id)
        ctx = self.chain.call("Agreements", "agreement", id)["ctx"]
        steps = requested.args["terms"]["steps"]
        return _run_record(ctx, steps, self.chain.events_of(["ProofOfTrain"], id, requested.block))

    def context(self, agreement: Agreement, dataset_root: Root, initial_model_root: Root) -> Digest:
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
            dataset_root,
            initial_model_root,
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

    def _await_seed(self, id: AgreementId) -> None:
        """Wait until the seed block, where there is one, has a successor."""
        if seed_block := self.chain.call("Agreements", "agreement", id, block="latest")["seedBlock"]:
            self.chain.wait_beyond(seed_block)

    def _at(self, contract: str) -> str:
        return self.chain.deployment.addresses[contract]

    def _requested(self, id: AgreementId) -> Event:
        """The event of the request, which holds what the contract does not keep."""
        if id not in self._requests:
            events = self.chain.events("Agreements", "Requested", id=id)
            if not events:
                raise NotFound(
                    f"the deployment at {self._at('Agreements')} on chain {self.chain.chain_id} has no agreement {id}",
                    "see `fitchain job list`; a job of another deployment needs that deployment's settings",
                )
            self._requests[id] = events[0]
        return self._requests[id]

    def _agreement(self, id: AgreementId, kept: dict[str, Any]) -> Agreement:
        requested, state, seed_block = self._requested(id), State(kept["state"]), kept["seedBlock"]
        terms = _terms_in(requested.args["terms"])
        accepted = self.chain.time_of(seed_block) if seed_block else 0
        return Agreement(
            id=id,
            scientist=kept["scientist"],
            terms=terms,
            state=state,
            nonce_commitment=kept["nonceCommitment"],
            seed_block=seed_block,
            steps_done=kept["stepsDone"],
            acceptance_deadline=requested.timestamp + terms.acceptance_window,
            training_deadline=accepted + terms.training_window if accepted else 0,
            dispute_deadline=kept["deadline"] if state in DISPUTABLE and not terms.audit.verifiers else 0,
        )


def sign_permit(chain: Chain, spender: str, value: int) -> Permit:
    """Sign an allowance of this account's FIT for a contract (EIP-2612), good for an hour.

    Whoever sees it may spend it: what it grants is an allowance for the contract and nothing else,
    so a call that carries a spent permit goes through by that allowance.

    Args:
        chain: the connection.
        spender: the contract, by name.
        value: FIT in base units; 0 needs none.

    Raises:
        AccessRefused: the connection has no key of ours.
    """
    if value == 0:
        return Permit()
    if (signer := chain.account) is None:
        raise AccessRefused("a permit needs a key of ours to sign it", "choose one with --key")
    nonce = chain.call("FitCoin", "nonces", signer.address, block="latest")
    deadline = chain.block("latest").timestamp + PERMIT_S
    coin, contract = (chain.deployment.addresses[name] for name in ("FitCoin", spender))
    signature = signer.sign_digest(
        permit_digest(chain.chain_id, coin, signer.address, contract, value, nonce, deadline)
    )
    return Permit(value, deadline, signature[64], Digest(signature[:32]), Digest(signature[32:64]))


def _run_record(ctx: Digest, steps: int, events: Sequence[Event]) -> RunRecord:
    """Put a run\'s record together from its events."""
    by_name = {event.name: event for event in events}
    anchors = tuple(_anchor(event) for event in events if event.name == "Anchored")
    begun = by_name["Begun"].args if "Begun" in by_name else {}
    end = by_name.get("Finished") or by_name.get("DivergedAt")
    ended = end.args if end else {}
    return RunRecord(
        ctx=ctx,
        seed=begun.get("seed", ZERO),
        nonce=begun.get("nonce", ZERO),
        count=ended["count"] if ended else anchors[-1].count if anchors else 0,
        step=ended.get("step", steps if ended else 0),
        transcript_root=ended.get("transcriptRoot", ZERO),
        model_root=ended.get("modelRoot", ZERO),
        delivery=cid_in(ended.get("weightsCid", b"")),
        identity=cid_in(ended.get("keyCid", b"")),
        anchors=anchors,
        end_block=end.block if end else None,
    )


def _anchor(event: Event) -> Anchor:
    args = event.args
    return Anchor(args["count"], args["root"], cid_in(args["noteCid"]), event.block, event.transaction)


def cid_in(data: bytes) -> Cid | None:
    """A CID that a stranger wrote; None where it is none."""
    try:
        return Cid.decode(data)
    except InputRefused:
        return None


def cid_out(cid: Cid | None) -> bytes:
    """A CID as the contracts take it; nothing for None."""
    return b"" if cid is None else bytes(cid)


def struct_of(value: DataclassInstance) -> dict[str, Any]:
    """A dataclass as the contract's struct, under its names: acceptance_window is acceptanceWindow
    there."""
    return {_abi_name(field.name): getattr(value, field.name) for field in fields(value)}


def _terms_out(terms: Terms) -> dict[str, Any]:
    return struct_of(terms) | {"audit": struct_of(terms.audit) | {"mode": terms.audit.mode.value}}


def _terms_in(body: dict[str, Any]) -> Terms:
    audit = {field.name: body["audit"][_abi_name(field.name)] for field in fields(AuditTerms)}
    values = {field.name: body[_abi_name(field.name)] for field in fields(Terms)}
    return Terms(**values | {"audit": AuditTerms(**audit | {"mode": AuditMode(audit["mode"])})})


_ABI_NAMES = {"segment_steps": "segment", "group_leaves": "group"}
"""Fields whose name in the contracts' structs does not follow from their own."""


def _abi_name(name: str) -> str:
    """A field's name in the contracts' structs."""
    first, *rest = _ABI_NAMES.get(name, name).split("_")
    return first + "".join(word.capitalize() for word in rest)


def _ending_out(ending: Ending) -> dict[str, Any]:
    """An ending as the contract's struct."""
    last = ending.last
    leaf = {
        "index": last.index,
        "step": last.step,
        "modelRoot": last.model,
        "optimizerRoot": last.optimizer,
        "records": last.records,
        "metrics": last.metrics,
        "previous": last.previous,
    }
    subtrees = {"peaks": list(ending.peaks), "tail": list(ending.tail), "last": leaf, "path": list(ending.path)}
    return subtrees | {"weightsCid": bytes(ending.delivery), "keyCid": cid_out(ending.identity)}
