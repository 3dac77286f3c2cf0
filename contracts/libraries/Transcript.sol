// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Leaf} from "../types/Run.sol";

/// @title Transcript
/// @notice The digests that a transcript is made of; what pods compute as `tagged(tag, words...)` is here
///         sha256(abi.encode(sha256(tag), words...)).
/// @dev A leaf is the SHA-256 of 320 bytes:
///      | bytes   | content                                                                                |
///      |---------|----------------------------------------------------------------------------------------|
///      | 0-31    | sha256("fitchain/leaf/v2")                                                             |
///      | 32-63   | ctx                                                                                    |
///      | 64-95   | order seed                                                                             |
///      | 96-127  | index j, big-endian                                                                    |
///      | 128-159 | step s_j = min(j k, T), big-endian                                                     |
///      | 160-191 | state: of leaf 0, the delivered and the last one the state digest; of every other       |
///      |         | tagged("fitchain/salted-state/v2", salt, state digest)                                  |
///      | 192-223 | records: digest of the record indices of the segment that ends here                     |
///      | 224-255 | metrics: salted digest of that segment's metrics                                        |
///      | 256-287 | held-out: digest of the results on the held-out records, or zero                        |
///      | 288-319 | the leaf before; zero in leaf 0                                                         |
///      The state digest is tagged("fitchain/state/v2", model root, optimizer root).
library Transcript {
    /// @dev sha256("fitchain/state/v2")
    bytes32 internal constant STATE_TAG = 0x1aae5d61f2a1f351d5bd5f899e1a4a5be2644dc42f7fdc6d39d13a7bdc0fd91f;
    /// @dev sha256("fitchain/leaf/v2")
    bytes32 internal constant LEAF_TAG = 0x60d884c418f95b1774b9c2e9908f237044074d4934db2719324c0b5981f65725;
    /// @dev sha256("fitchain/transcript/v2")
    bytes32 internal constant TRANSCRIPT_TAG = 0x021ca2e63095075c9aff8f0a3d77f78e4bd9e5273359ffa2357f1b1baf46f074;
    /// @dev sha256("fitchain/trace/v2")
    bytes32 internal constant TRACE_TAG = 0xd534c8e3250a4928e372739d9da799e9a19209cd18dac4bca5e42635846a93c5;

    /// @notice Leaves of a whole run: one before the first step and one after each segment, the last of which may be
    ///         short.
    /// @param steps T >= 1.
    /// @param segmentSteps k >= 2, so that the sum cannot overflow.
    function leafCount(uint32 steps, uint32 segmentSteps) internal pure returns (uint32) {
        return (steps - 1) / segmentSteps + 2;
    }

    /// @notice Digest of a model and its optimizer.
    function stateDigest(bytes32 modelRoot, bytes32 optimizerRoot) internal pure returns (bytes32) {
        return sha256(abi.encode(STATE_TAG, modelRoot, optimizerRoot));
    }

    /// @notice Digest of a leaf whose state is not salted.
    function leafDigest(bytes32 ctx, bytes32 seed, Leaf calldata leaf) internal pure returns (bytes32) {
        bytes32 state = stateDigest(leaf.modelRoot, leaf.optimizerRoot);
        return sha256(
            abi.encode(
                LEAF_TAG,
                ctx,
                seed,
                leaf.index,
                leaf.step,
                state,
                leaf.records,
                leaf.metrics,
                leaf.heldOut,
                leaf.previous
            )
        );
    }

    /// @notice Root of the transcript as it is published.
    /// @param tree Root of the RFC 6962 tree over the leaves.
    function root(uint32 count, bytes32 tree) internal pure returns (bytes32) {
        return sha256(abi.encode(TRANSCRIPT_TAG, count, tree));
    }

    /// @notice The trace of a vote over `count` segments none of which was replayed.
    function emptyTrace(bytes32 audit, uint256 round, uint256 count) internal pure returns (bytes32) {
        bytes memory words = new bytes(32 * (count + 4));
        assembly ("memory-safe") {
            mstore(add(words, 0x20), 0xd534c8e3250a4928e372739d9da799e9a19209cd18dac4bca5e42635846a93c5)
            mstore(add(words, 0x40), audit)
            mstore(add(words, 0x60), round)
            mstore(add(words, 0x80), count)
        }
        return sha256(words);
    }
}
