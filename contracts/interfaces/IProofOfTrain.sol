// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {AgreementId} from "../types/Ids.sol";
import {Ending, RunRecord, TrainedModel} from "../types/Run.sol";
import {Terms} from "../types/Terms.sol";
import {IAgreements} from "./IAgreements.sol";

/// @title ProofOfTrain
/// @notice The transcript of a run while it happens: its seed, its anchors, its root; and the identity of what it
///         trained.
/// @dev The transcript is an RFC 6962 tree over leaf digests. A group holds a power of two of leaves, so its root is
///      a node of that tree; the chain commits to the perfect subtrees over all groups (the peaks), callers pass
///      them, and the contract itself bags them into the root.
///      ctx = keccak256(abi.encode(chain id, Agreements, ProofOfTrain, agreement id, owner, scientist, recipe digest,
///      dataset root, initial model root, T, k, A)) stands in every leaf. The bytes of a leaf stand in the library
///      Transcript. Leaf 0 is bound by the root; whoever checks a certificate checks it there.
/// @dev Warning: a seed block that nobody fixed and the chain has forgotten is never drawn again; the bond is
///      forfeited at the training deadline.
/// @dev Warning: noise keys that are not those of the noise root of `accept` convict the owner.
interface IProofOfTrain {
    /// @notice The seed block's hash is kept, whatever the chain forgets.
    event SeedFixed(AgreementId indexed id, uint256 seedBlock, bytes32 blockHash);
    /// @notice The run began; `seed` orders its records, `noiseRoot` commits to the keys of its noise.
    event Begun(AgreementId indexed id, bytes32 ctx, bytes32 seed, bytes32 blockHash, bytes32 nonce, bytes32 noiseRoot);
    /// @notice The first `count` leaves are fixed; `root` is that of the group that completes them.
    event Anchored(AgreementId indexed id, uint32 count, bytes32 root, bytes noteCid);
    /// @notice The run ended after all its steps. Leaf `delivered` holds the model `modelRoot`, the last one
    ///         `lastModelRoot`; `identityCid` is empty where it is audited.
    event Finished(
        AgreementId indexed id,
        bytes32 transcriptRoot,
        bytes32 indexed modelRoot,
        bytes32 lastModelRoot,
        uint32 delivered,
        uint32 count,
        bytes delivery,
        bytes identityCid
    );
    /// @notice The run ended at `step`, its last finite leaf, with the model `modelRoot`; `identityCid` as in Finished.
    event DivergedAt(
        AgreementId indexed id,
        bytes32 transcriptRoot,
        bytes32 indexed modelRoot,
        uint32 count,
        uint32 step,
        bytes delivery,
        bytes identityCid
    );

    /// @notice The agreement is not accepted, or its run began already: there is no seed to fix.
    error SeedNotAwaited(AgreementId id);
    /// @notice The seed block's hash is kept already.
    error SeedAlreadyFixed(AgreementId id, bytes32 blockHash);
    /// @notice A block's hash is known from the next block on.
    error SeedBlockIsCurrent(uint256 seedBlock);
    /// @notice The chain has forgotten the seed block and it is never drawn again; `expire` is the way out.
    error SeedBlockMissed(uint256 seedBlock, uint256 currentBlock);
    /// @notice The run has not begun.
    error RunNotBegun(AgreementId id);
    /// @notice The run has ended and its transcript is fixed.
    error RunHasEnded(AgreementId id);
    /// @notice The run has not ended.
    error RunHasNotEnded(AgreementId id);
    /// @notice All groups that the transcript can fill are anchored.
    error GroupsAreComplete(uint32 groups);
    /// @notice The root of a group is a hash, not zero.
    error GroupRootIsZero();
    /// @notice The peaks are not those that the chain commits to, the seed is another run's, or the caller is not the
    ///         owner.
    error PeaksDiffer(bytes28 given, bytes28 kept);
    /// @notice Every full group of the transcript is anchored before the run ends, and none beyond it.
    error GroupCountDiffers(uint32 anchored, uint32 needed);
    /// @notice The last leaf of a finished run has another index.
    error LastIndexDiffers(uint32 given, uint32 agreed);
    /// @notice A leaf stands at another step.
    error StepDiffers(uint256 given, uint256 agreed);
    /// @notice A run that reached its last step is finished, not diverged.
    error RunIsComplete(uint256 step, uint256 steps);
    /// @notice The leaves after the last full group make up another number of perfect subtrees.
    error TailLengthDiffers(uint256 given, uint256 needed);
    /// @notice The last leaf lies at another depth of the smallest subtree.
    error PathLengthDiffers(uint256 given, uint256 needed);
    /// @notice With verifiers the job's identity is handed over after the verdict, by `Audits.release`.
    error IdentityBeforeVerdict(AgreementId id);
    /// @notice The last leaf is not the last leaf of the tree: its path leads to another root.
    error LastLeafDiffers(bytes32 computed, bytes32 subtree);
    /// @notice At most one leaf is delivered, one before the last of a finished run.
    error DeliveredLeafRefused(uint256 leaves, uint256 index);
    /// @notice The delivered leaf is not the tree's: its path leads to another root.
    error DeliveredLeafDiffers(bytes32 computed, bytes32 root);

    /// @notice Keeps the hash of the seed block while the chain can still give it; open to anyone.
    function fix(AgreementId id) external;

    /// @notice Reveals the owner's nonce and the root over the keys of its noise, and begins the run.
    /// @param terms As requested.
    /// @param noiseRoot Zero where the recipe asks for no noise.
    function begin(AgreementId id, Terms calldata terms, bytes32 nonce, bytes32 noiseRoot) external;

    /// @notice Fixes the next A leaves of the transcript.
    /// @param seed The run's, as Begun told it: whoever anchors says which run it has trained.
    /// @param peaks The perfect subtrees over the groups anchored so far, largest first.
    /// @param groupRoot RFC 6962 root of the next A leaves.
    /// @param noteCid Binary CID of a note sealed to the scientist; may be empty.
    function anchor(AgreementId id, bytes32 seed, bytes32[] calldata peaks, bytes32 groupRoot, bytes calldata noteCid)
        external;

    /// @notice Ends a run after its last step: fixes the transcript's root and the trained model.
    /// @param terms As requested.
    function finish(AgreementId id, Terms calldata terms, Ending calldata ending) external;

    /// @notice Ends a run that left the finite numbers at its last finite leaf, before its last step.
    /// @param terms As requested.
    function diverge(AgreementId id, Terms calldata terms, Ending calldata ending) external;

    /// @notice The proof of a run; deadline zero where none began.
    function run(AgreementId id) external view returns (RunRecord memory);

    /// @notice How many segments an audit looks at that draws `drawnSegments`.
    /// @dev Reverts with RunHasNotEnded.
    function auditedSegments(AgreementId id, uint16 drawnSegments) external view returns (uint24);

    /// @notice What an ended run trained, and from what.
    /// @dev Reverts with RunHasNotEnded, or as Agreements does where these are not the terms.
    /// @param terms As requested.
    function trainedModel(AgreementId id, Terms calldata terms) external view returns (TrainedModel memory);

    /// @notice The seed block's hash as kept by `fix`; zero if nobody called it.
    function fixedHash(AgreementId id) external view returns (bytes32);

    /// @notice The contract that holds terms and money.
    function agreements() external view returns (IAgreements);
}
