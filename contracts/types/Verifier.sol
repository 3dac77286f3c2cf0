// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @dev A verifier, by its number from 1. Free is stake - locked.
struct Verifier {
    uint80 stake;
    /// What its seats in use have reserved of it.
    uint80 locked;
    /// Fees not yet withdrawn: as wide as the supply of FIT, lest a settlement fail for what somebody else let lie.
    uint96 earned;
    // --- next slot
    /// The last preimage that it revealed, or what it committed to, and the opening that it belongs to.
    bytes26 link;
    uint48 position;
    // --- next slot
    address account;
    /// It let a joining window pass and is out of every draw until it says that it is there again.
    bool away;
    /// It can join audits of later openings only: those opened when it committed to its chain could be aimed at.
    uint48 chainFrom;
    // --- next slot
    /// What is leaving, and the Unix time from which it may be withdrawn.
    uint80 unbonding;
    uint40 unbonded;
}

/// @dev How many places a panel or the pool has; all of them are taken.
struct Places {
    uint16 length;
    /// The block of the last change, and the length at the end of the block before it.
    uint40 changed;
    uint16 lengthBefore;
}

/// @dev An account in a panel or the pool.
struct Membership {
    /// Its place, from 1; 0: it does not stand.
    uint16 place;
    /// The panel's creator invited it.
    bool invited;
    /// It left by its own will, and was not expelled, and has not come back.
    bool gone;
    /// Block in which it joined last, and in which it left or was expelled last.
    uint40 joined;
    uint40 left;
}
