// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Terms} from "../types/Terms.sol";

/// @title TermsDigest
/// @notice What the chain keeps of the terms.
library TermsDigest {
    /// @dev 30 words: the tuple has no dynamic part, so calldata hold its ABI encoding.
    uint256 private constant LENGTH = 960;

    /// @notice keccak256(abi.encode(terms)), where the terms are clean; Agreements emits those that it takes, which
    ///         refuses others.
    function digest(Terms calldata terms) internal pure returns (bytes32 hash) {
        assembly ("memory-safe") {
            let free := mload(0x40)
            calldatacopy(free, terms, LENGTH)
            hash := keccak256(free, LENGTH)
        }
    }
}
