// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ModelId} from "./Ids.sol";

/// @dev A run's proof. The owner is bound by the commitment to the peaks.
struct RunRecord {
    /// The training deadline, Unix time; 0 where no run began.
    uint40 deadline;
    /// Leaves of the transcript: ceil(T/k) + 1 while training, what the ended run has after it.
    uint32 leaves;
    /// log2 of A.
    uint8 groupBits;
    /// How many segments every audit of the ended run looks at whatever is drawn; 0 until it ends.
    uint8 alwaysAudited;
    /// It ended before its last step: the segment after the last leaf is audited too.
    bool diverged;
    /// Block and Unix time of the first and of the last anchor; 0 where there is none.
    uint40 firstBlock;
    uint40 firstTime;
    uint40 lastBlock;
    uint40 lastTime;
    /// Groups anchored so far; each covers A leaves.
    uint32 groups;
    /// The first 28 bytes of keccak256(abi.encode(owner, groups, peaks)), while training: with the count beside it in
    /// one slot an anchor rewrites a single slot for it, and finding two lists of peaks would take 2^112 hashes.
    bytes28 peaks;
    /// Order seed: keccak256(abi.encode(ctx, hash of the seed block, nonce)).
    bytes32 seed;
    /// Once it ended.
    bytes32 transcriptRoot;
    /// Of the delivered leaf, once it ended.
    bytes32 modelRoot;
}

/// @dev A leaf that is opened on chain, without what the run fixes (ctx, seed). Its state stands in the leaf unsalted.
struct Leaf {
    uint32 index;
    uint32 step;
    bytes32 modelRoot;
    bytes32 optimizerRoot;
    /// Digest of the record indices of the segment that ends here.
    bytes32 records;
    /// Salted digest of that segment's metrics.
    bytes32 metrics;
    /// Digest of the results on the held-out records; zero where the recipe holds none out, and before the end.
    bytes32 heldOut;
    bytes32 previous;
}

/// @dev A leaf other than the last that is delivered.
struct DeliveredLeaf {
    Leaf leaf;
    /// Its audit path in the transcript's tree, from the leaf upwards (RFC 9162, section 2.1.3).
    bytes32[] path;
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
    /// Empty: the last leaf is delivered. Else the one that is, by the recipe's rule; after `diverge` always empty.
    DeliveredLeaf[] delivered;
    /// Weights and certificate, sealed to the job's identity.
    bytes delivery;
    /// The job's identity sealed to the scientist; empty where verifiers audit the run.
    bytes identityCid;
}

/// @dev The identity of a trained model and where it comes from.
struct TrainedModel {
    bytes32 modelRoot;
    bytes32 transcriptRoot;
    ModelId initial;
    uint32 leaves;
    uint32 steps;
}

/// @dev What ProofOfTrain reports to Agreements of a run that ended. All but the first three fields are of the terms.
struct RunEnd {
    uint32 stepsDone;
    uint32 groups;
    uint24 audited;
    uint32 steps;
    uint32 disputeWindow;
    bytes32 nonceCommitment;
}
