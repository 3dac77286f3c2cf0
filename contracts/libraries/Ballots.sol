// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Outcome} from "../types/Audit.sol";

/// @title Ballots
/// @notice What is kept of a seat in one word: who sits there in the lower 160 bits, and above it first the beginning
///         of the link that it revealed, then its vote. In between, while a commitment stands, the word is the
///         commitment alone.
library Ballots {
    uint256 private constant ACCOUNT_BITS = 160;
    uint256 private constant OUTCOME_BITS = 8;

    /// @notice A seat that was joined: account and the first 12 bytes of its link.
    function joined(address account, bytes26 link) internal pure returns (bytes32) {
        return bytes32(bytes12(link)) | bytes32(uint256(uint160(account)));
    }

    /// @notice A seat that stays for another vote.
    function seated(address account) internal pure returns (bytes32) {
        return bytes32(uint256(uint160(account)));
    }

    /// @notice A revealed vote: account, outcome, and 88 bits of a hash over the trace, by which votes are compared.
    ///         Whoever finds another trace to a hash has seen that trace, and could have voted it.
    function revealed(address account, Outcome outcome, bytes32 trace) internal pure returns (bytes32) {
        uint256 mark = uint256(keccak256(abi.encode(trace))) << (ACCOUNT_BITS + OUTCOME_BITS);
        return bytes32(mark | uint256(outcome) << ACCOUNT_BITS | uint160(account));
    }

    /// @notice Who sits there, where the word is no commitment.
    function accountOf(bytes32 ballot) internal pure returns (address) {
        return address(uint160(uint256(ballot)));
    }

    /// @notice The beginning of the link of a seat that was joined.
    function linkOf(bytes32 ballot) internal pure returns (bytes12) {
        return bytes12(ballot);
    }

    /// @notice The outcome of a revealed vote.
    function outcomeOf(bytes32 ballot) internal pure returns (Outcome) {
        return Outcome(uint8(uint256(ballot) >> ACCOUNT_BITS));
    }

    /// @notice What two votes are compared by: outcome and trace.
    function voteOf(bytes32 ballot) internal pure returns (uint256) {
        return uint256(ballot) >> ACCOUNT_BITS;
    }
}
