// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title ReferenceTree
/// @notice RFC 6962 section 2.1 as it is written, by recursion over all leaves: what the contracts' peaks are checked
///         against.
library ReferenceTree {
    /// @notice Merkle tree hash of entries[low:high], at least one.
    function root(bytes32[] memory entries, uint256 low, uint256 high) internal pure returns (bytes32) {
        if (high - low == 1) return sha256(abi.encodePacked(hex"00", entries[low]));
        uint256 middle = low + split(high - low);
        return sha256(abi.encodePacked(hex"01", root(entries, low, middle), root(entries, middle, high)));
    }

    function root(bytes32[] memory entries) internal pure returns (bytes32) {
        return root(entries, 0, entries.length);
    }

    /// @notice Roots of the perfect subtrees that make up entries[low:high], largest first.
    function peaks(bytes32[] memory entries, uint256 low, uint256 high) internal pure returns (bytes32[] memory found) {
        uint256 length;
        bytes32[] memory longest = new bytes32[](32);
        for (uint256 size = 1 << 31; size > 0; size >>= 1) {
            if ((high - low) & size == 0) continue;
            longest[length++] = root(entries, low, low + size);
            low += size;
        }
        found = prefix(longest, length);
    }

    /// @notice Siblings of the last of entries[0:count] inside its perfect subtree, from the leaf upwards.
    function lastPath(bytes32[] memory entries, uint256 count) internal pure returns (bytes32[] memory) {
        uint256 length;
        bytes32[] memory longest = new bytes32[](32);
        for (uint256 size = 1; count & size == 0; size <<= 1) {
            longest[length++] = root(entries, count - 2 * size, count - size);
        }
        return prefix(longest, length);
    }

    /// @notice Audit path of entry `index`, from the leaf upwards (section 2.1.1).
    function path(bytes32[] memory entries, uint256 index) internal pure returns (bytes32[] memory found) {
        bytes32[] memory downwards = new bytes32[](32);
        (uint256 low, uint256 high, uint256 length) = (0, entries.length, 0);
        while (high - low > 1) {
            uint256 middle = low + split(high - low);
            if (index < middle) {
                downwards[length++] = root(entries, middle, high);
                high = middle;
            } else {
                downwards[length++] = root(entries, low, middle);
                low = middle;
            }
        }
        found = new bytes32[](length);
        for (uint256 i = 0; i < length; i++) {
            found[i] = downwards[length - 1 - i];
        }
    }

    function prefix(bytes32[] memory items, uint256 length) internal pure returns (bytes32[] memory taken) {
        taken = new bytes32[](length);
        for (uint256 i = 0; i < length; i++) {
            taken[i] = items[i];
        }
    }

    /// @notice The largest power of two below `count` >= 2.
    function split(uint256 count) internal pure returns (uint256 power) {
        for (power = 1; power * 2 < count; power *= 2) {}
    }
}
