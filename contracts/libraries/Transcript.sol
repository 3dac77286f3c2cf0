// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Ending, Leaf} from "../types/Run.sol";
import {Tree} from "./Tree.sol";

/// @title Transcript
/// @notice The digests that a transcript is made of; what pods compute as `tagged(tag, words...)` is here
///         sha256(abi.encode(sha256(tag), words...)).
library Transcript {
    /// @dev sha256("fitchain/state/v1")
    bytes32 internal constant STATE_TAG = 0xd9b26f280d705413ac4eb0172984e1b1ab416024aadaea31ac44f5772a4b588f;
    /// @dev sha256("fitchain/leaf/v1")
    bytes32 internal constant LEAF_TAG = 0xeec382b09c16fe6188baa1cbf3a3e2a86ebdd6384ed61f8c34006559c3dd8c32;
    /// @dev sha256("fitchain/transcript/v1")
    bytes32 internal constant TRANSCRIPT_TAG = 0x2a34323789a9c0c6352922b77876b5d834da644b247c23e09bfc3730e68f9ac2;

    /// @notice Leaves of a whole run: one before the first step and one after each segment, the last of which may be
    ///         short.
    /// @param steps T >= 1.
    /// @param segment k >= 2, so that the sum cannot overflow.
    function leafCount(uint32 steps, uint32 segment) internal pure returns (uint32) {
        return (steps - 1) / segment + 2;
    }

    /// @notice Digest of a model and its optimizer.
    function stateDigest(bytes32 modelRoot, bytes32 optimizerRoot) internal pure returns (bytes32) {
        return sha256(abi.encode(STATE_TAG, modelRoot, optimizerRoot));
    }

    /// @notice Digest of a leaf.
    function leafDigest(bytes32 ctx, bytes32 seed, Leaf calldata leaf) internal pure returns (bytes32) {
        bytes32 state = stateDigest(leaf.modelRoot, leaf.optimizerRoot);
        return sha256(
            abi.encode(LEAF_TAG, ctx, seed, leaf.index, leaf.step, state, leaf.records, leaf.metrics, leaf.previous)
        );
    }

    /// @notice Root of the transcript as it is published.
    function root(uint32 count, Ending calldata ending) internal view returns (bytes32) {
        return sha256(abi.encode(TRANSCRIPT_TAG, count, Tree.bag(ending.peaks, ending.tail)));
    }
}
