// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title Seats
/// @notice The seats of an audit in three words, five in each: 48 bits a seat, in the lower 32 the number of the
///         verifier that is drawn to it (0: nobody), in the upper 16 how many of its own positions the draw has
///         looked at. The upper 16 bits of the first word say how many positions were looked at from the last
///         backwards.
library Seats {
    uint256 private constant PER_WORD = 5;
    uint256 private constant BITS = 48;
    uint256 private constant ENTRY = (1 << BITS) - 1;
    uint256 private constant BACK_SHIFT = 240;

    /// @notice Who is drawn to a seat.
    function numberAt(uint256[3] memory seats, uint256 seat) internal pure returns (uint32) {
        return uint32(seats[seat / PER_WORD] >> (BITS * (seat % PER_WORD)));
    }

    /// @notice How many of its own positions a seat has looked at.
    function cursorAt(uint256[3] memory seats, uint256 seat) internal pure returns (uint256) {
        return uint16(seats[seat / PER_WORD] >> (BITS * (seat % PER_WORD) + 32));
    }

    /// @notice Writes a seat.
    function put(uint256[3] memory seats, uint256 seat, uint256 number, uint256 cursor) internal pure {
        uint256 shift = BITS * (seat % PER_WORD);
        uint256 word = seats[seat / PER_WORD] & ~(ENTRY << shift);
        seats[seat / PER_WORD] = word | ((cursor << 32 | number) << shift);
    }

    /// @notice Positions looked at from the last backwards.
    function back(uint256[3] memory seats) internal pure returns (uint256) {
        return seats[0] >> BACK_SHIFT;
    }

    /// @notice Writes them.
    function putBack(uint256[3] memory seats, uint256 count) internal pure {
        seats[0] = (seats[0] & ((1 << BACK_SHIFT) - 1)) | (count << BACK_SHIFT);
    }

    /// @notice A bitmap of the seats that somebody is drawn to.
    function taken(uint256[3] memory seats, uint256 count) internal pure returns (uint16 bitmap) {
        for (uint256 seat = 0; seat < count; seat++) {
            if (numberAt(seats, seat) != 0) bitmap |= uint16(1 << seat);
        }
    }

    /// @notice Whether the verifier of that number is drawn to one of the seats.
    function holds(uint256[3] memory seats, uint256 count, uint256 number) internal pure returns (bool) {
        for (uint256 seat = 0; seat < count; seat++) {
            if (numberAt(seats, seat) == number) return true;
        }
        return false;
    }

    /// @notice Whether somebody sits there who was drawn before a draw began anew: of every other seat a position was
    ///         looked at.
    function beganAnew(uint256[3] memory seats, uint256 count) internal pure returns (bool) {
        for (uint256 seat = 0; seat < count; seat++) {
            if (numberAt(seats, seat) != 0 && cursorAt(seats, seat) == 0) return true;
        }
        return false;
    }

    /// @notice Nobody is drawn to the seats of `bitmap` any more; where the draw has come to stays.
    function clear(uint256[3] memory seats, uint256 count, uint256 bitmap) internal pure {
        for (uint256 seat = 0; seat < count; seat++) {
            if (bitmap >> seat & 1 == 1) put(seats, seat, 0, cursorAt(seats, seat));
        }
    }

    /// @notice The draw begins anew, but for who stays.
    function rewind(uint256[3] memory seats, uint256 count) internal pure {
        for (uint256 seat = 0; seat < count; seat++) {
            put(seats, seat, numberAt(seats, seat), 0);
        }
        putBack(seats, 0);
    }
}
