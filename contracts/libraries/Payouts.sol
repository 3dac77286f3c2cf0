// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {AuditKind, Outcome} from "../types/Audit.sol";

/// @title Payouts
/// @notice Who gets what of the money that an agreement or an audit has locked: the one table, by verdict.
/// @dev P the price due, B the bond, F = m f the fees of all seats, C the counter-bond (0 but in a dispute), p seats
///      that are paid, v >= p seats that voted for a Match. What a payout names adds up to what its escrow holds.
///      |                        | owner   | scientist               | seats | burned          |
///      |------------------------|---------|-------------------------|-------|-----------------|
///      | given back             |         | P + F                   |       |                 |
///      | deadline missed        |         | P + F + C + B/2         |       | B/2             |
///      | settled, released      | P + B   |                         |       |                 |
///      | never released         |         | P + B/2                 |       | B/2             |
///      | Mismatch               |         | P + F + C + (B - p f)/2 | p f   | (B - p f)/2     |
///      | Withheld               |         | P + F + C + B/2         |       | B/2             |
///      | Inconclusive           | B       | P + F                   |       |                 |
///      | Inconclusive, dispute  | B + P/2 | P/2 + F + C             |       |                 |
///      | release window over    |         | (m - v) f               | p f   | (v - p) f       |
///      | ... of a dispute, also | C/2     |                         |       | C/2             |
///      | ... or, answered       |         | C                       |       |                 |
///      An odd half: the owner's half of P and of C is rounded down, so is the scientist's half of a bond; the rest
///      is the other column's. Of an audit asked again the asker has the scientist's place: p f to seats, (m - p) f
///      back.
library Payouts {
    /// @dev What is locked, in base units of FIT.
    struct Escrow {
        uint256 price;
        uint256 bond;
        uint256 fees;
        uint256 counterBond;
    }

    /// @dev Where it goes.
    struct Payout {
        uint256 toOwner;
        uint256 toScientist;
        uint256 toVerifiers;
        uint256 burned;
    }

    /// @notice Nobody accepted.
    function givenBack(Escrow memory e) internal pure returns (Payout memory) {
        return Payout({toOwner: 0, toScientist: e.price + e.fees, toVerifiers: 0, burned: 0});
    }

    /// @notice The owner let its deadline pass: half of the bond is burned, so that nobody gains who is both parties.
    function deadlineMissed(Escrow memory e) internal pure returns (Payout memory) {
        uint256 half = e.bond / 2;
        return Payout({
            toOwner: 0, toScientist: e.price + e.fees + e.counterBond + half, toVerifiers: 0, burned: e.bond - half
        });
    }

    /// @notice Undisputed, or released after a Match; fees and counter-bond wait for the end of the release window.
    function settled(Escrow memory e) internal pure returns (Payout memory) {
        return Payout({toOwner: e.price + e.bond, toScientist: 0, toVerifiers: 0, burned: 0});
    }

    /// @notice Nobody released the key of a Match; fees and counter-bond are divided by `releaseOver`.
    function neverReleased(Escrow memory e) internal pure returns (Payout memory) {
        uint256 half = e.bond / 2;
        return Payout({toOwner: 0, toScientist: e.price + half, toVerifiers: 0, burned: e.bond - half});
    }

    /// @notice A verdict that divides everything at once: any but a Match.
    /// @param toSeats What the paid seats earn: p f.
    function verdict(AuditKind kind, Outcome outcome, Escrow memory e, uint256 toSeats)
        internal
        pure
        returns (Payout memory)
    {
        if (outcome == Outcome.Mismatch) return _mismatch(e, toSeats);
        if (outcome == Outcome.Withheld) return deadlineMissed(e);
        uint256 half = kind == AuditKind.Dispute ? e.price / 2 : 0;
        return Payout({
            toOwner: e.bond + half, toScientist: e.price - half + e.fees + e.counterBond, toVerifiers: 0, burned: 0
        });
    }

    /// @notice Fees, and in a dispute the counter-bond, once the release window is over.
    /// @param fee f.
    /// @param returned The counter-bond goes back: a complaint was answered, or nobody released at all.
    function releaseOver(uint256 fee, uint256 seats, uint256 matching, uint256 paid, uint256 counterBond, bool returned)
        internal
        pure
        returns (Payout memory p)
    {
        p.toVerifiers = paid * fee;
        p.toScientist = (seats - matching) * fee;
        p.burned = (matching - paid) * fee;
        if (returned) {
            p.toScientist += counterBond;
        } else {
            p.toOwner = counterBond / 2;
            p.burned += counterBond - counterBond / 2;
        }
    }

    /// @notice An audit that was asked again; the asker stands in the scientist's place.
    function askedAgain(uint256 fee, uint256 seats, uint256 paid) internal pure returns (Payout memory) {
        return Payout({toOwner: 0, toScientist: (seats - paid) * fee, toVerifiers: paid * fee, burned: 0});
    }

    /// @dev The fees of a caught owner come out of its bond.
    function _mismatch(Escrow memory e, uint256 toSeats) private pure returns (Payout memory) {
        uint256 rest = e.bond - toSeats;
        return Payout({
            toOwner: 0,
            toScientist: e.price + e.fees + e.counterBond + rest / 2,
            toVerifiers: toSeats,
            burned: rest - rest / 2
        });
    }
}
