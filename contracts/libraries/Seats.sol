// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title Seats
/// @notice The seats of one round in one word: 16 bits each hold the pool number of who was drawn, 0 where nobody was.
library Seats {
    /// @notice Who sits there; 0 beyond the last seat.
    function numberAt(uint256 seats, uint256 seat) internal pure returns (uint16) {
        return uint16(seats >> (16 * seat));
    }

    /// @notice The word with `number` in an empty seat.
    function put(uint256 seats, uint256 seat, uint256 number) internal pure returns (uint256) {
        return seats | (number << (16 * seat));
    }

    /// @notice Whether somebody sits there.
    function holds(uint256 seats, uint256 number) internal pure returns (bool) {
        for (; seats != 0; seats >>= 16) {
            if (uint16(seats) == number) return true;
        }
        return false;
    }

    /// @notice A bitmap of the seats that are taken.
    function taken(uint256 seats) internal pure returns (uint16 bitmap) {
        for (uint16 bit = 1; seats != 0; bit <<= 1) {
            if (uint16(seats) != 0) bitmap |= bit;
            seats >>= 16;
        }
    }
}
