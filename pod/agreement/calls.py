"""Every step of an agreement's life as one typed call."""

from __future__ import annotations

from pod.agreement.terms import Agreement, Ending, Permit, Proof, Terms
from pod.chain.base import Event, Pending, Receipt
from pod.chain.client import Chain
from pod.digest import Digest
from pod.store.base import Cid


class Agreements:
    """The contracts Agreements and ProofOfTrain of one chain.

    Args:
        chain: the connection; without a signer it only reads.
    """

    def __init__(self, chain: Chain) -> None:
        self.chain = chain

    # The money's and the parties' side

    def request(self, salt: Digest, terms: Terms, offer: Cid, permit: Permit | None = None) -> Digest:
        """Ask an owner for a training; locks price and audit fee in one transaction.

        Args:
            salt: 32 bytes not used before; the id follows from it (`agreement_id`), so an interrupted request is found again.
            terms: what is offered.
            offer: CID of the offer (recipe, graph, sealed weights).
            permit: a signed allowance; one is signed here where none is given.

        Returns:
            the agreement's id.

        Raises:
            ChainUnusable: too little FIT or ETH, or the contract refuses (named, with its values).
        """
        raise NotImplementedError

    def accept(self, id: Digest, nonce_commitment: Digest, permit: Permit | None = None) -> Receipt:
        """Accept a request as its owner; locks the bond. The block of this transaction becomes the seed block."""
        raise NotImplementedError

    def reject(self, id: Digest) -> Receipt:
        """Decline a request as its owner; the scientist gets its money back."""
        raise NotImplementedError

    def cancel(self, id: Digest) -> Receipt:
        """Take a request back as its scientist, once the acceptance window has passed."""
        raise NotImplementedError

    def accept_result(self, id: Digest) -> Receipt:
        """Accept the result as the scientist; the price goes to the owner at once."""
        raise NotImplementedError

    def settle(self, id: Digest) -> Receipt:
        """Settle after the dispute window, as anyone."""
        raise NotImplementedError

    def expire(self, id: Digest) -> Receipt:
        """Forfeit the bond of an owner that missed the training deadline, as anyone."""
        raise NotImplementedError

    def withdraw(self) -> Receipt:
        """Collect what this account is owed."""
        raise NotImplementedError

    def owed(self, address: str) -> int:
        """FIT in base units that an address can withdraw."""
        raise NotImplementedError

    # The proof's side

    def begin(self, id: Digest, nonce: Digest) -> Receipt:
        """Reveal the nonce as the owner; fixes the order seed."""
        raise NotImplementedError

    def fix(self, id: Digest) -> Receipt:
        """Keep the seed block's hash while the chain can still give it, as anyone."""
        raise NotImplementedError

    def submit_anchor(
        self, id: Digest, peaks: list[Digest] | tuple[Digest, ...], root: Digest, note: Cid | None
    ) -> Pending:
        """Send an anchor without waiting for it; `chain.wait` waits. Anchors of one account are mined in the order sent.

        Args:
            peaks: the peaks before this group.
            root: root of this group's leaves.
            note: CID of the sealed note.
        """
        raise NotImplementedError

    def finish(self, id: Digest, ending: Ending) -> Receipt:
        """End a completed training."""
        raise NotImplementedError

    def diverge(self, id: Digest, ending: Ending) -> Receipt:
        """End a training that left the finite numbers, at its last finite leaf."""
        raise NotImplementedError

    # Reads

    def read(self, id: Digest) -> Agreement:
        """The agreement as it stands.

        Raises:
            NotFound: this deployment has none of that id.
        """
        raise NotImplementedError

    def proof(self, id: Digest) -> Proof:
        """What the chain keeps of its training, anchors included."""
        raise NotImplementedError

    def list(
        self, owner: str | None = None, scientist: str | None = None, from_block: int | None = None
    ) -> list[Digest]:
        """Ids of the agreements requested, oldest first, of one owner or one scientist where given."""
        raise NotImplementedError

    def offer(self, id: Digest) -> Cid:
        """CID of the offer that its request carried."""
        raise NotImplementedError

    def events(
        self, id: Digest | None = None, from_block: int | None = None, to_block: int | None = None
    ) -> list[Event]:
        """All events of both contracts in order, of one agreement where given."""
        raise NotImplementedError

    def context(self, agreement: Agreement, dataset_root: Digest, initial_model_root: Digest) -> Digest:
        """The context of an agreement on this deployment."""
        raise NotImplementedError
