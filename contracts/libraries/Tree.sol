// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title Tree
/// @notice RFC 6962 Merkle trees over SHA-256 (section 2.1), kept as their peaks: the roots of the perfect subtrees
///         that the binary digits of the count name, largest first.
/// @dev Merging equal neighbours on append and bagging from right to left is what the deposit contract of Ethereum and
///      Merkle mountain ranges do; it yields the RFC's root because the RFC splits a tree at the largest power of two.
library Tree {
    /// @notice Hash of a leaf: SHA-256(0x00 || entry).
    function leafHash(bytes32 entry) internal pure returns (bytes32) {
        return sha256(abi.encodePacked(bytes1(0x00), entry));
    }

    /// @notice Hash of an inner node: SHA-256(0x01 || left || right).
    /// @dev In assembly because `sha256(abi.encodePacked(...))` copies its argument twice: 330 gas more a node, and an
    ///      anchor after many groups would cost more than 45,000.
    function nodeHash(bytes32 left, bytes32 right) internal view returns (bytes32 node) {
        assembly ("memory-safe") {
            let free := mload(0x40)
            mstore8(free, 0x01)
            mstore(add(free, 0x01), left)
            mstore(add(free, 0x21), right)
            if iszero(staticcall(gas(), 0x02, free, 0x41, 0x00, 0x20)) { revert(0, 0) }
            node := mload(0x00)
        }
    }

    /// @notice The peaks after one more subtree of the smallest size.
    /// @param peaks As many as `count` has ones.
    /// @param count Subtrees of the smallest size so far; its trailing ones are the peaks that merge.
    /// @param node The new subtree.
    function append(bytes32[] calldata peaks, uint256 count, bytes32 node)
        internal
        view
        returns (bytes32[] memory grown)
    {
        uint256 kept = peaks.length;
        for (; count & 1 == 1; count >>= 1) {
            unchecked {
                node = nodeHash(peaks[--kept], node); // too few peaks wrap around, and the index is refused
            }
        }

        grown = new bytes32[](kept + 1);
        for (uint256 i = 0; i < kept; i++) {
            grown[i] = peaks[i];
        }
        grown[kept] = node;
    }

    /// @notice Bags the peaks, then the smaller ones of `tail`, from right to left into the tree's root.
    /// @dev The two together hold at least one.
    function bag(bytes32[] calldata peaks, bytes32[] calldata tail) internal view returns (bytes32 root) {
        uint256 left = peaks.length;
        if (tail.length == 0) {
            root = peaks[--left];
        } else {
            root = tail[tail.length - 1];
            for (uint256 i = tail.length - 1; i > 0; i--) {
                root = nodeHash(tail[i - 1], root);
            }
        }
        for (; left > 0; left--) {
            root = nodeHash(peaks[left - 1], root);
        }
    }

    /// @notice Root of the perfect subtree whose last leaf holds `entry`.
    /// @param path Siblings from the leaf upwards; of a last leaf they all stand on the left.
    function rootOverLast(bytes32 entry, bytes32[] calldata path) internal view returns (bytes32 root) {
        root = leafHash(entry);
        for (uint256 i = 0; i < path.length; i++) {
            root = nodeHash(path[i], root);
        }
    }

    /// @notice Root of the tree of `count` leaves whose leaf `index` holds `entry` (RFC 9162, section 2.1.3.2); zero
    ///         if the path has another length.
    /// @param path Siblings from the leaf upwards.
    function rootOver(bytes32 entry, uint256 index, uint256 count, bytes32[] calldata path)
        internal
        view
        returns (bytes32 root)
    {
        uint256 last = count - 1;
        root = leafHash(entry);
        for (uint256 i = 0; i < path.length; i++) {
            if (last == 0) return 0;
            if (index & 1 == 1 || index == last) {
                root = nodeHash(path[i], root);
                while (index & 1 == 0 && index != 0) {
                    (index, last) = (index >> 1, last >> 1); // a lone node stands for its parent
                }
            } else {
                root = nodeHash(root, path[i]);
            }
            (index, last) = (index >> 1, last >> 1);
        }
        if (last != 0) return 0;
    }

    /// @notice How many peaks a tree of `count` leaves has: the ones in its binary form.
    function peakCount(uint256 count) internal pure returns (uint256 ones) {
        for (; count != 0; count &= count - 1) {
            ones++;
        }
    }

    /// @notice Height of the last peak of a tree of `count` > 0 leaves: the zeros at the end of its binary form.
    function lastPeakHeight(uint256 count) internal pure returns (uint256 zeros) {
        for (; count & 1 == 0; count >>= 1) {
            zeros++;
        }
    }
}
