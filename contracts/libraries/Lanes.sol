// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title Lanes
/// @notice Eight unsigned 32-bit lanes in one word, the first in the lowest bits.
library Lanes {
    uint256 private constant LANES = 8;
    uint256 private constant BITS = 32;
    uint256 private constant FULL = type(uint32).max;

    /// @dev One unit in each lane.
    uint256 internal constant ONE_EACH = 0x00000001_00000001_00000001_00000001_00000001_00000001_00000001_00000001;

    /// @notice Lane by lane, stopping at 2^32 - 1.
    function saturatingAdd(uint256 a, uint256 b) internal pure returns (uint256 sum) {
        for (uint256 i = 0; i < LANES; i++) {
            uint256 lane = laneAt(a, i) + laneAt(b, i);
            sum |= (lane > FULL ? FULL : lane) << (BITS * i);
        }
    }

    /// @notice Whether some lane is zero.
    function hasZero(uint256 word) internal pure returns (bool) {
        for (uint256 i = 0; i < LANES; i++) {
            if (laneAt(word, i) == 0) return true;
        }
        return false;
    }

    /// @notice Whether no lane of `a` is above that of `b`.
    function nowhereAbove(uint256 a, uint256 b) internal pure returns (bool) {
        for (uint256 i = 0; i < LANES; i++) {
            if (laneAt(a, i) > laneAt(b, i)) return false;
        }
        return true;
    }

    /// @notice Whether some lane of `spent`, not full, is within that of `budget`, not zero.
    function somewhereWithin(uint256 spent, uint256 budget) internal pure returns (bool) {
        for (uint256 i = 0; i < LANES; i++) {
            uint256 lane = laneAt(spent, i);
            if (laneAt(budget, i) != 0 && lane != FULL && lane <= laneAt(budget, i)) return true;
        }
        return false;
    }

    /// @notice Lane `i`, from 0.
    function laneAt(uint256 word, uint256 i) internal pure returns (uint256) {
        return (word >> (BITS * i)) & FULL;
    }
}
