// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title Links
/// @notice A verifier's hash chain: link(i) = bytes26(keccak256(link(i + 1))), over the 26 bytes.
library Links {
    /// @notice The link `times` before `link`.
    function before(bytes26 link, uint256 times) internal pure returns (bytes26 found) {
        assembly ("memory-safe") {
            mstore(0x00, link)
            for {} times { times := sub(times, 1) } { mstore(0x00, keccak256(0x00, 26)) }
            found := and(mload(0x00), not(sub(shl(48, 1), 1)))
        }
    }
}
