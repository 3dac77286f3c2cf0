// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @dev The most seats of an audit: three words of five.
uint8 constant SEAT_LIMIT = 15;

/// @dev How often an audit is voted on anew because seats that had joined were absent.
uint8 constant REDRAW_LIMIT = 2;

/// @dev Awaiting -> Joining -> Evidence -> Committing -> Revealing -> Matched or Concluded; Matched -> Released ->
///      Concluded. Joining -> Waiting where too few have a free stake, and back by another draw; from Committing and
///      Revealing back to Joining where seats were absent; from Evidence and Revealing back to Evidence once, where the
///      evidence was withheld.
enum Phase {
    None,
    Awaiting,
    Joining,
    Waiting,
    Evidence,
    Committing,
    Revealing,
    Matched,
    Released,
    Concluded
}

/// @dev What a verifier votes and an audit concludes. Inconclusive as a vote: I cannot judge; as a verdict: no quorum.
enum Outcome {
    None,
    Match,
    Mismatch,
    Withheld,
    Inconclusive
}

/// @dev Who opened it: the end of a run whose terms name verifiers; a dispute; somebody who doubts, later.
enum AuditKind {
    First,
    Dispute,
    Again
}

/// @dev An audit; bit i of a bitmap stands for seat i. Who sits where is kept beside it.
struct Audit {
    Phase phase;
    AuditKind kind;
    /// None until there is one.
    Outcome verdict;
    uint8 seats;
    /// One more for each vote that is taken anew; bound into commitments and traces.
    uint8 round;
    uint8 redraws;
    /// The first Withheld was said: the present vote is the second and last of that kind.
    bool withheldBefore;
    /// The segment seed is fixed.
    bool segmentsFixed;
    bool complained;
    /// The owner submitted evidence for the seats that joined.
    bool submitted;
    /// Unix time up to which the phase's step may be taken; in Waiting the time from which it may be drawn on.
    uint40 deadline;
    /// Unix time after which nobody is drawn any more.
    uint40 waitDeadline;
    /// Seconds of each phase.
    uint24 window;
    /// Segments that are audited.
    uint24 audited;
    /// Seats that joined and still stand; from a Match on those that voted for it.
    uint16 joined;
    uint16 committed;
    uint16 revealed;
    // --- next slot
    uint80 feePerSeat;
    uint80 seatStake;
    /// The block whose hash is the one half of the seed.
    uint40 openedBlock;
    /// How many audits this deployment had opened with this one: its link in every verifier's chain.
    uint40 opening;
    /// Seats that released the job's identity.
    uint16 released;
    // --- next slot
    /// The asker's commitment until the draw, then keccak256(abi.encode(audit id, hash of `openedBlock`, nonce)).
    bytes32 seed;
}

/// @dev What Agreements says of an audit that it opens.
struct Opening {
    AuditKind kind;
    uint8 seats;
    uint24 window;
    uint32 wait;
    uint24 audited;
    uint80 feePerSeat;
    uint80 seatStake;
    bytes32 nonceCommitment;
    bool complained;
}

/// @dev Whom an audit may draw.
struct Jury {
    /// None of the three is drawn.
    address owner;
    address scientist;
    address asker;
    /// The panel's number; 0: the pool.
    uint32 panel;
    uint16 places;
    uint40 requestBlock;
}

/// @dev What a verdict does to one seat.
struct SeatSettlement {
    /// The verifier's number.
    uint32 number;
    /// The stake that the seat had locked.
    uint80 unlocked;
    /// What of it is burned.
    uint80 lost;
    uint80 earned;
}
