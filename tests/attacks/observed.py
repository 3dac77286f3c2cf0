"""What protocol 1 let happen, as it was observed; the rule at which that fails now; and the attacks
of the table that play it, each of which succeeds where its rule is taken out. `docs/trust.md` has
the same table."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Observed:
    """One thing that happened.

    Args:
        number: of the observation that it belongs to, as tests/contracts/Attacks.t.sol counts them.
        what: happened.
        rule: at which it fails now.
        attacks: that play it, by their names.
    """

    number: int
    what: str
    rule: str
    attacks: tuple[str, ...]

    def __str__(self) -> str:
        return f"| {self.number} | {self.what} | {self.rule} | {'; '.join(self.attacks)} |"


OBSERVED = (
    Observed(
        1,
        "one account is owner, scientist and jury",
        "the chain says who they are, and the checker's list decides",
        ("a jury of one's own", "a trusted panel stuffed later", "bought members in a panel of one's own"),
    ),
    Observed(
        2,
        "two that never open the evidence agree on a trace of zeros",
        "the contract computes the trace of zeros and refuses it",
        ("pods that never look", "the trace of zeros", "the trace of zeros of another round"),
    ),
    Observed(
        2,
        "a majority says Withheld without looking",
        "Withheld is unpaid, and a verdict only the second time",
        ("Withheld at the first time",),
    ),
    Observed(
        3,
        "a panel's creator stuffs the panel after the request, or in its block",
        "the jury is who stood at the end of the block before `request`",
        ("a panel stuffed after the request", "a panel stuffed in the block of the request"),
    ),
    Observed(
        3,
        "it expels honest members before the draw",
        "who was expelled is still found by juries of earlier requests",
        ("members expelled before the draw",),
    ),
    Observed(
        4,
        "a stranger is made a member of a trap",
        "members join by their own transaction, and seats by another",
        ("a verifier invited into a trap", "members named against their will"),
    ),
    Observed(
        4,
        "one vote costs a whole stake",
        "a seat reserves its stake when it is joined, and that is what it can lose",
        ("a verifier that joined a trap", "a loss beyond the seat"),
    ),
    Observed(
        4,
        "whoever is offline in a joining window is punished",
        "who never joined loses nothing",
        ("a verifier's pod away for a while", "a verifier away for a joining window"),
    ),
    Observed(
        5,
        "a verifier that was slashed to nothing votes; one stake covers two seats",
        "what a seat reserves is taken from what is free",
        ("a vote without stake", "one stake for many seats"),
    ),
    Observed(
        5,
        "a liar takes its stake back before its vote counts",
        "what a seat has reserved cannot leave",
        ("reserved stake taken back",),
    ),
    Observed(
        6,
        "the owner wins, and releases garbage",
        "seats of the Match keep the key and release it; their fees wait for the end of the window",
        (
            "a garbage key, and pods that kept the real one",
            "garbage released, and then nothing",
            "seats that keep the key",
        ),
    ),
    Observed(
        7,
        "a scientist names a panel of its friends",
        "the owner's policy names its panels, and a person is shown any other",
        ("a scientist's own panel",),
    ),
    Observed(
        8,
        "a transcript hides its leaves behind an outline",
        "leaves are listed up to 100,000; of more the first, the delivered and the last are shown",
        ("an order hidden behind an outline", "a beginning hidden behind an outline"),
    ),
    Observed(
        9,
        "a builder picks the header of the block that opens an audit",
        "the asker's nonce, committed to before, is the other half of the seed",
        ("a builder's choice of the opening block",),
    ),
    Observed(
        9,
        "the last to join tries keys until no faked segment is drawn",
        "its link to this audit was fixed when it committed to its chain, and segments are drawn once",
        ("segments aimed at by the last to join", "segments drawn again"),
    ),
    Observed(
        9,
        "the asker waits, and takes the better of two seeds",
        "within its turn the nonce alone draws, after it the turn's hash alone",
        ("an asker that chooses between two seeds",),
    ),
    Observed(
        10,
        "refundable stakes choke the pool",
        "a place that is given up is filled; a draw finds who is left",
        ("a pool choked by stakes that leave",),
    ),
    Observed(
        10,
        "silent stakes stall it",
        "who is silent is away until it says that it is there, and nobody is drawn after the wait",
        ("stakes that are drawn and silent", "joining prolonged by declining"),
    ),
    Observed(
        11,
        "one member vetoes every dispute",
        "the jury is counted at the request, with spare members, and somebody else is drawn for who is silent",
        ("a panel of too few to spare one", "one absent and one lazy"),
    ),
    Observed(
        11,
        "a lazy verifier of two is always paid",
        "the number of seats is odd, and nobody is paid without a quorum",
        ("an even number of seats",),
    ),
    Observed(
        11,
        "seats that cost nothing block for nothing",
        "fees have a floor, stakes follow from fees",
        ("seats that cost nothing",),
    ),
    Observed(
        11,
        "the owner's line is cut for a window",
        "the first Withheld opens a second window",
        ("an owner's pod cut off for a window", "an owner cut off for a window"),
    ),
    Observed(
        12,
        "an owner that trained nothing diverges at leaf 0",
        "where nobody could dispute it, that is a missed deadline",
        ("a deadline escaped by diverging",),
    ),
    Observed(
        13,
        "a panel's number is cut; a panel of thousands of dead members fills a block",
        "checked casts; no loop over what strangers lengthen",
        ("a panel's number that is cut", "a panel of thousands of dead members"),
    ),
    Observed(
        13,
        "a false address in a deployment's file is believed",
        "every contract's code is compared, and what created it",
        ("a false address in a deployment's file", "contracts with made-up storage"),
    ),
    Observed(
        14,
        "who names no verifiers has nobody to ask",
        "a panel that both sides trust is named for a dispute",
        ("a request that names no verifiers",),
    ),
    Observed(
        14,
        "two bribes buy a Match",
        "fees and stakes follow from price and bond, and `proof cost` says what a quorum answers for",
        ("two bribes",),
    ),
    Observed(
        14,
        "an audit's phase ends before the replay",
        "phases follow from a rehearsal, and verifiers decline what they cannot do",
        ("a phase shorter than the replay", "a replay that takes too long"),
    ),
    Observed(
        15,
        "everything is anchored in one block",
        "the run's record says so, and `verify` prints it",
        ("a training in one block",),
    ),
)
