// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @dev What a verifier locks: the same for all, so that a seat says nothing about who holds it.
uint96 constant FULL_STAKE = 1000 ether;

/// @dev Seats of an audit that fit into one word of 16-bit pool numbers.
uint8 constant SEAT_LIMIT = 15;

/// @dev Draws of one audit: the first, and at most two that replace who was absent.
uint8 constant ROUND_LIMIT = 3;

/// @dev Awaiting -> Joining -> Evidence -> Committing -> Revealing -> Matched or Concluded; Matched -> Released or
///      Concluded; from Joining, Committing and Revealing back to Joining in a new round.
enum Phase {
    None,
    Awaiting,
    Joining,
    Evidence,
    Committing,
    Revealing,
    Matched,
    Released,
    Concluded
}

/// @dev What a verifier votes and an audit concludes. Inconclusive: its environment is another, or there is no quorum.
enum Outcome {
    None,
    Match,
    Mismatch,
    Withheld,
    Inconclusive
}

/// @dev An audit; bit i of a bitmap stands for seat i. The seats themselves are kept for each round beside it.
struct Audit {
    Phase phase;
    /// 0 for the first draw, then one more for each redraw.
    uint8 round;
    uint8 seats;
    /// None until there is one.
    Outcome verdict;
    /// Opened by the scientist where the terms name no verifiers.
    bool disputed;
    /// Seconds of each phase.
    uint24 window;
    /// Unix time up to which the phase's step may be taken.
    uint40 deadline;
    /// Who was a verifier before this block may be drawn.
    uint32 openedBlock;
    /// The block whose hash draws: `openedBlock` unless the chain forgot it.
    uint32 challengeBlock;
    /// Members of the panel, or verifiers in the pool, when the audit was opened.
    uint16 panelLength;
    uint16 joined;
    uint16 declined;
    uint16 committed;
    uint16 revealed;
    // --- next slot
    /// keccak256(abi.encode(agreement id, hash of the challenge block)); 0 before the draw.
    bytes32 seed;
}

/// @dev A verifier's money.
struct Verifier {
    uint96 stake;
    /// Fees not yet withdrawn.
    uint96 earned;
    /// Unix time from which a leaving verifier may withdraw its stake; 0: it is not leaving.
    uint40 unbonded;
}

/// @dev When a verifier could be drawn: in its present or last spell, and in the one before, so that whoever falls
///      below the stake and tops it up stays in the draws of audits that were opened before.
struct Membership {
    /// Its number in the pool, from 1; 0: it never staked.
    uint16 number;
    /// First and last block of the spell; `until` is 0 while it lasts.
    uint48 since;
    uint48 until;
    uint48 earlierSince;
    uint48 earlierUntil;
}

using {isActive, wasActiveBefore} for Membership global;

/// @dev Whether it can be drawn for audits that are opened in later blocks.
function isActive(Membership memory membership) pure returns (bool) {
    return membership.since != 0 && membership.until == 0;
}

/// @dev Whether it could be drawn at the end of the block before `opened`.
function wasActiveBefore(Membership memory membership, uint256 opened) pure returns (bool) {
    if (membership.since < opened) return membership.isActive() || membership.until >= opened;
    return membership.earlierSince < opened && membership.earlierUntil >= opened;
}

/// @dev What Agreements keeps of the audit terms, in one slot.
struct AgreedAudit {
    uint96 fee;
    uint96 counterBond;
    uint24 window;
    uint8 verifiers;
    uint8 disputeVerifiers;
    /// The panel's number in the registry; 0: the whole pool.
    uint24 panel;
}

using {seatCount, feePerSeat} for AgreedAudit global;

/// @dev The seats that an audit has, or a dispute where there is no audit; 0: there is neither.
function seatCount(AgreedAudit memory agreed) pure returns (uint8) {
    return agreed.verifiers > 0 ? agreed.verifiers : agreed.disputeVerifiers;
}

/// @dev What each seat earns, rounded down.
function feePerSeat(AgreedAudit memory agreed) pure returns (uint256) {
    return agreed.fee / seatCount(agreed);
}
