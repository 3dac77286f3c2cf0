// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IAgreements} from "./interfaces/IAgreements.sol";
import {IProofOfTrain} from "./interfaces/IProofOfTrain.sol";
import {SeedBlock} from "./libraries/SeedBlock.sol";
import {Transcript} from "./libraries/Transcript.sol";
import {Tree} from "./libraries/Tree.sol";
import {Agreement, State} from "./types/Agreement.sol";
import {CID_LIMIT, CallerIsNotOwner, DeadlinePassed, requireCid} from "./types/Errors.sol";
import {AgreementId} from "./types/Ids.sol";
import {Ending, Leaf, Run, TrainedModel} from "./types/Run.sol";

/// @title ProofOfTrain
/// @notice Transcripts of runs; what it promises stands in IProofOfTrain.
/// @dev Every function runs checks, effects, event, interaction in this order; state and deadline of the agreement
///      itself are checked by Agreements, which deploys this contract and believes nobody else.
contract ProofOfTrain is IProofOfTrain {
    IAgreements public immutable agreements;

    mapping(AgreementId id => Run) private _runs;
    mapping(AgreementId id => bytes32) public fixedHash;

    constructor(IAgreements agreements_) {
        agreements = agreements_;
    }

    // --- the seed

    /// @inheritdoc IProofOfTrain
    function fix(AgreementId id) external {
        Agreement memory agreed = _agreed(id);
        if (agreed.state != State.Accepted) revert SeedNotAwaited(id);
        if (fixedHash[id] != 0) revert SeedAlreadyFixed(id, fixedHash[id]);
        if (block.timestamp > agreed.deadline) revert DeadlinePassed(agreed.deadline, block.timestamp);
        bytes32 blockHash = _seedHash(agreed.seedBlock);

        fixedHash[id] = blockHash;

        emit SeedFixed(id, agreed.seedBlock, blockHash);
    }

    /// @inheritdoc IProofOfTrain
    function begin(AgreementId id, bytes32 nonce) external {
        Agreement memory agreed = _agreed(id);
        if (msg.sender != agreed.owner) revert CallerIsNotOwner(msg.sender, agreed.owner);
        if (agreed.state != State.Accepted) revert SeedNotAwaited(id);
        bytes32 commitment = keccak256(abi.encode(nonce));
        if (commitment != agreed.nonceCommitment) revert NonceDiffers(commitment, agreed.nonceCommitment);
        bytes32 blockHash = fixedHash[id];
        if (blockHash == 0) blockHash = _seedHash(agreed.seedBlock);

        bytes32 seed = keccak256(abi.encode(agreed.ctx, blockHash, nonce));
        Run storage proof = _runs[id];
        proof.owner = agreed.owner;
        proof.deadline = agreed.deadline;
        proof.leaves = Transcript.leafCount(agreed.steps, agreed.segment);
        proof.groupBits = agreed.groupBits;
        proof.peaks = _commit(0, new bytes32[](0));
        proof.seed = seed;

        emit Begun(id, agreed.ctx, seed, nonce);

        agreements.startTraining(id);
    }

    // --- the transcript

    /// @inheritdoc IProofOfTrain
    function anchor(AgreementId id, bytes32[] calldata peaks, bytes32 groupRoot, bytes calldata noteCid) external {
        Run storage proof = _runs[id];
        _requireRunning(id, proof);
        (uint32 groups, uint32 leaves, uint8 groupBits) = (proof.groups, proof.leaves, proof.groupBits);
        if (groups >= leaves >> groupBits) revert GroupsAreComplete(groups);
        if (groupRoot == 0) revert GroupRootIsZero();
        if (noteCid.length > CID_LIMIT) revert NoteTooLong(noteCid.length, CID_LIMIT);
        _requirePeaks(proof, groups, peaks);

        bytes32[] memory grown = Tree.append(peaks, groups, groupRoot);
        groups++;
        (proof.groups, proof.peaks) = (groups, _commit(groups, grown));

        emit Anchored(id, groups << groupBits, groupRoot, noteCid);
    }

    /// @inheritdoc IProofOfTrain
    function finish(AgreementId id, Ending calldata ending) external {
        Run storage proof = _runs[id];
        _requireRunning(id, proof);
        Agreement memory agreed = _agreed(id);
        uint32 count = proof.leaves;
        if (ending.last.index != count - 1) revert LastIndexDiffers(ending.last.index, count - 1);
        if (ending.last.step != agreed.steps) revert StepDiffers(ending.last.step, agreed.steps);
        bytes32 root = _end(id, proof, agreed.ctx, count, ending);

        emit Finished(id, root, ending.last.modelRoot, count, ending.weightsCid, ending.keyCid);

        agreements.endTraining(id, agreed.steps);
    }

    /// @inheritdoc IProofOfTrain
    function diverge(AgreementId id, Ending calldata ending) external {
        Run storage proof = _runs[id];
        _requireRunning(id, proof);
        Agreement memory agreed = _agreed(id);
        uint32 step = ending.last.step;
        uint256 reached = uint256(ending.last.index) * agreed.segment;
        if (reached >= agreed.steps) revert RunIsComplete(reached, agreed.steps);
        if (step != reached) revert StepDiffers(step, reached);
        uint32 count = ending.last.index + 1;
        bytes32 root = _end(id, proof, agreed.ctx, count, ending);

        emit DivergedAt(id, root, ending.last.modelRoot, count, step, ending.weightsCid, ending.keyCid);

        agreements.endTraining(id, step);
    }

    // --- views

    /// @inheritdoc IProofOfTrain
    function run(AgreementId id) external view returns (Run memory) {
        return _runs[id];
    }

    /// @inheritdoc IProofOfTrain
    function trainedModel(AgreementId id) external view returns (TrainedModel memory) {
        Run storage proof = _runs[id];
        if (!proof.ended) revert RunHasNotEnded(id);
        Agreement memory agreed = _agreed(id);
        return TrainedModel({
            modelRoot: proof.modelRoot,
            transcriptRoot: proof.transcriptRoot,
            parent: agreed.model,
            leaves: proof.leaves,
            steps: agreed.stepsDone
        });
    }

    function _agreed(AgreementId id) private view returns (Agreement memory) {
        return agreements.agreement(id);
    }

    // --- checks

    function _seedHash(uint256 seedBlock) private view returns (bytes32 blockHash) {
        if (block.number == seedBlock) revert SeedBlockIsCurrent(seedBlock);
        blockHash = SeedBlock.hashOf(seedBlock);
        if (blockHash == 0) revert SeedBlockMissed(seedBlock, block.number);
    }

    function _requireRunning(AgreementId id, Run storage proof) private view {
        (address owner, uint256 deadline, bool ended) = (proof.owner, proof.deadline, proof.ended);
        if (owner == address(0)) revert RunNotBegun(id);
        if (msg.sender != owner) revert CallerIsNotOwner(msg.sender, owner);
        if (ended) revert RunHasEnded(id);
        if (block.timestamp > deadline) revert DeadlinePassed(deadline, block.timestamp);
    }

    function _requirePeaks(Run storage proof, uint32 groups, bytes32[] calldata peaks) private view {
        bytes28 given = bytes28(keccak256(abi.encode(groups, peaks)));
        if (given != proof.peaks) revert PeaksDiffer(given, proof.peaks);
    }

    function _requireDelivery(AgreementId id, Ending calldata ending) private view {
        requireCid(ending.weightsCid);
        if (!agreements.isAudited(id)) requireCid(ending.keyCid);
        else if (ending.keyCid.length != 0) revert KeyBeforeVerdict(id);
    }

    /// @dev The leaf at index count - 1 is the last one of the smallest perfect subtree, which is the last of the tail
    ///      or, if the groups take in every leaf, the last peak.
    function _requireLastLeaf(Run storage proof, bytes32 ctx, uint32 count, Ending calldata ending) private view {
        uint32 groups = count >> proof.groupBits;
        uint32 rest = count - (groups << proof.groupBits);
        if (groups != proof.groups) revert GroupCountDiffers(proof.groups, groups);
        _requirePeaks(proof, groups, ending.peaks);
        uint256 needed = Tree.peakCount(rest);
        if (ending.tail.length != needed) revert TailLengthDiffers(ending.tail.length, needed);
        needed = Tree.lastPeakHeight(count);
        if (ending.path.length != needed) revert PathLengthDiffers(ending.path.length, needed);

        bytes32 subtree = rest == 0 ? ending.peaks[ending.peaks.length - 1] : ending.tail[ending.tail.length - 1];
        bytes32 leaf = Transcript.leafDigest(ctx, proof.seed, ending.last);
        bytes32 computed = Tree.rootOverLast(leaf, ending.path);
        if (computed != subtree) revert LastLeafDiffers(computed, subtree);
    }

    // --- effects

    function _end(AgreementId id, Run storage proof, bytes32 ctx, uint32 count, Ending calldata ending)
        private
        returns (bytes32 root)
    {
        _requireDelivery(id, ending);
        _requireLastLeaf(proof, ctx, count, ending);

        root = Transcript.root(count, ending);
        proof.ended = true;
        proof.leaves = count;
        proof.transcriptRoot = root;
        proof.modelRoot = ending.last.modelRoot;
    }

    function _commit(uint32 groups, bytes32[] memory peaks) private pure returns (bytes28) {
        return bytes28(keccak256(abi.encode(groups, peaks)));
    }
}
