// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ModelId} from "./Ids.sol";

/// @dev A run's proof as the chain keeps it.
struct Run {
    address owner;
    /// The training deadline, Unix time.
    uint40 deadline;
    /// Leaves of the transcript: ceil(T/k) + 1 while training, what the ended run has after it.
    uint32 leaves;
    /// log2 of A.
    uint8 groupBits;
    bool ended;
    // --- next slot
    /// Groups anchored so far; each covers A leaves.
    uint32 groups;
    /// The first 28 bytes of keccak256(abi.encode(groups, peaks)): with the count beside it in one slot an anchor
    /// rewrites a single slot, and finding two lists of peaks for it would take 2^112 hashes.
    bytes28 peaks;
    // --- next slots
    /// Order seed: keccak256(abi.encode(ctx, hash of the seed block, nonce)).
    bytes32 seed;
    bytes32 transcriptRoot;
    bytes32 modelRoot;
}

/// @dev A leaf of the transcript without what the run fixes (ctx, seed).
struct Leaf {
    uint32 index;
    uint32 step;
    bytes32 modelRoot;
    bytes32 optimizerRoot;
    /// Digest of the ordered record indices of the segment that ends here.
    bytes32 records;
    /// Salted digest of that segment's metrics.
    bytes32 metrics;
    bytes32 previous;
}

/// @dev How a run ends.
struct Ending {
    /// Perfect subtrees over the anchored groups, largest first.
    bytes32[] peaks;
    /// Perfect subtrees over the leaves after the last full group (count mod A of them), largest first.
    bytes32[] tail;
    Leaf last;
    /// Left siblings of the last leaf, from the leaf up to the smallest subtree's root.
    bytes32[] path;
    /// Weights sealed to the job's identity.
    bytes weightsCid;
    /// The job's identity sealed to the scientist; empty where verifiers audit the run.
    bytes keyCid;
}

/// @dev The identity of a trained model and where it comes from.
struct TrainedModel {
    bytes32 modelRoot;
    bytes32 transcriptRoot;
    ModelId parent;
    uint32 leaves;
    uint32 steps;
}
