// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title Lanes
/// @notice Eight unsigned 32-bit lanes in one word, the first in the lowest bits.
/// @dev All lanes are reckoned with at once. The highest bit of a lane, its *top*, is kept out of every sum and
///      difference, so that none runs over into the next lane, and is put right afterwards; a word that answers for
///      each lane answers in the tops. `unchecked` hides nothing: sums are of lanes of 31 bits, and what is taken from
///      a lane with its top set has 31. The tests compare each function with a plain loop over the lanes.
library Lanes {
    uint256 private constant BITS = 32;
    uint256 private constant FULL = type(uint32).max;

    /// @dev One unit in each lane.
    uint256 internal constant ONE_EACH = 0x00000001_00000001_00000001_00000001_00000001_00000001_00000001_00000001;
    uint256 private constant TOPS = ONE_EACH << 31;
    uint256 private constant REST = ~TOPS;

    /// @notice Lane by lane, stopping at 2^32 - 1.
    function saturatingAdd(uint256 a, uint256 b) internal pure returns (uint256 sum) {
        unchecked {
            sum = (a & REST) + (b & REST) ^ (a ^ b) & TOPS; // each lane modulo 2^32
            uint256 carries = (a & b | (a | b) & ~sum) & TOPS;
            sum |= (carries >> 31) * FULL;
        }
    }

    /// @notice Whether some lane is zero.
    function hasZero(uint256 word) internal pure returns (bool) {
        return _nonzero(word) != TOPS;
    }

    /// @notice Whether no lane of `a` is above that of `b`.
    function nowhereAbove(uint256 a, uint256 b) internal pure returns (bool) {
        return _notAbove(a, b) == TOPS;
    }

    /// @notice Whether some lane of `spent`, not full, is within that of `budget`, not zero.
    function somewhereWithin(uint256 spent, uint256 budget) internal pure returns (bool) {
        return _notAbove(spent, budget) & _nonzero(budget) & _nonzero(~spent) != 0;
    }

    /// @notice Lane `i`, from 0.
    function laneAt(uint256 word, uint256 i) internal pure returns (uint256) {
        return (word >> (BITS * i)) & FULL;
    }

    /// @dev The tops of the lanes that are not zero.
    function _nonzero(uint256 word) private pure returns (uint256) {
        unchecked {
            return (word | (word & REST) + REST) & TOPS;
        }
    }

    /// @dev The tops of the lanes of `a` that are at most those of `b`: where `b` alone has the top, or where both have
    ///      it or neither and the rest of `a` can be taken from that of `b` without borrowing the top.
    function _notAbove(uint256 a, uint256 b) private pure returns (uint256) {
        unchecked {
            uint256 unborrowed = (b | TOPS) - (a & REST);
            return (~a & b | ~(a ^ b) & unborrowed) & TOPS;
        }
    }
}
