// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";

/// @title Permutation
/// @notice Permutes 0 to n - 1 by a seed, one position at a time.
/// @dev Alternating steps over two coordinates (Black and Rogaway, "Ciphers with arbitrary finite domains", 2002,
///      section 5) on a rectangle a x b of at least n cells, walked on until a cell below n: about one step in six
///      more for n = 5, fewer for larger n. Six steps: how often a third of 5 to 100 places holds a quorum of 3 or 5
///      seats is that of a uniform draw within what 60,000 draws can tell, for sets of places in a row and in steps.
library Permutation {
    /// @notice The rectangle for n > 0.
    function sides(uint256 n) internal pure returns (uint256 a, uint256 b) {
        a = Math.sqrt(n, Math.Rounding.Ceil);
        b = Math.ceilDiv(n, a);
    }

    /// @notice The place at position x < n.
    function placeAt(bytes32 seed, uint256 n, uint256 a, uint256 b, uint256 x) internal pure returns (uint256) {
        do {
            x = _permute(seed, a, b, x);
        } while (x >= n);
        return x;
    }

    /// @dev Step r adds keccak256(seed, r << 32 | other coordinate) to one coordinate; in assembly because a draw may
    ///      look at hundreds of positions.
    function _permute(bytes32 seed, uint256 a, uint256 b, uint256 x) private pure returns (uint256 y) {
        assembly ("memory-safe") {
            mstore(0x00, seed)
            let l := mod(x, a)
            let r := div(x, a)
            mstore(0x20, r)
            l := addmod(l, keccak256(0x00, 0x40), a)
            mstore(0x20, or(0x0100000000, l))
            r := addmod(r, keccak256(0x00, 0x40), b)
            mstore(0x20, or(0x0200000000, r))
            l := addmod(l, keccak256(0x00, 0x40), a)
            mstore(0x20, or(0x0300000000, l))
            r := addmod(r, keccak256(0x00, 0x40), b)
            mstore(0x20, or(0x0400000000, r))
            l := addmod(l, keccak256(0x00, 0x40), a)
            mstore(0x20, or(0x0500000000, l))
            r := addmod(r, keccak256(0x00, 0x40), b)
            y := add(mul(r, a), l)
        }
    }
}
