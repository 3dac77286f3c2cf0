// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {IAgreements} from "./interfaces/IAgreements.sol";
import {Contracts, IDirectory} from "./interfaces/IDirectory.sol";
import {IProofOfTrain} from "./interfaces/IProofOfTrain.sol";
import {SeedBlock} from "./libraries/SeedBlock.sol";
import {TermsDigest} from "./libraries/TermsDigest.sol";
import {Transcript} from "./libraries/Transcript.sol";
import {Tree} from "./libraries/Tree.sol";
import {Agreement, State} from "./types/Agreement.sol";
import {CallerIsNotOwner, DeadlinePassed, ListedElsewhere, requireCid, requireCidOrNone} from "./types/Errors.sol";
import {AgreementId} from "./types/Ids.sol";
import {DeliveredLeaf, Ending, RunEnd, RunRecord, TrainedModel} from "./types/Run.sol";
import {Terms} from "./types/Terms.sol";

/// @title ProofOfTrain
/// @notice Transcripts of runs; what it promises stands in IProofOfTrain.
/// @dev State, deadline and terms of an agreement are checked by Agreements, whom `begin` and `finish` call for it
///      and which calls nobody back but Audits; nothing else that they do before depends on it.
contract ProofOfTrain is IProofOfTrain {
    using SafeCast for uint256;
    using TermsDigest for Terms;

    /// @dev A RunRecord as it is kept.
    struct Run {
        uint40 deadline;
        uint32 leaves;
        uint8 groupBits;
        uint8 alwaysAudited;
        bool diverged;
        uint40 firstBlock;
        uint40 firstTime;
        uint40 lastBlock;
        uint40 lastTime;
        // --- next slot
        /// While training the peaks' commitment and in the last four bytes the groups; then the model root, for
        /// nobody needs those any more, and a slot of its own would cost 17,100 gas more.
        bytes32 progress;
        // --- next slots
        bytes32 seed;
        bytes32 transcriptRoot;
    }

    IAgreements public immutable agreements;

    mapping(AgreementId id => Run) private _runs;
    mapping(AgreementId id => bytes32) public fixedHash;

    constructor(IDirectory directory) {
        Contracts memory listed = directory.contracts();
        if (listed.proofOfTrain != address(this)) revert ListedElsewhere(address(this), listed.proofOfTrain);
        SeedBlock.requireHistory();
        agreements = IAgreements(listed.agreements);
    }

    // --- the seed

    /// @inheritdoc IProofOfTrain
    function fix(AgreementId id) external {
        Agreement memory agreed = agreements.agreement(id);
        if (agreed.state != State.Accepted) revert SeedNotAwaited(id);
        if (fixedHash[id] != 0) revert SeedAlreadyFixed(id, fixedHash[id]);
        if (block.timestamp > agreed.deadline) revert DeadlinePassed(agreed.deadline, block.timestamp);
        bytes32 blockHash = _seedHash(agreed.seedBlock);

        fixedHash[id] = blockHash;

        emit SeedFixed(id, agreed.seedBlock, blockHash);
    }

    /// @inheritdoc IProofOfTrain
    function begin(AgreementId id, Terms calldata terms, bytes32 nonce, bytes32 noiseRoot) external {
        if (msg.sender != terms.owner) revert CallerIsNotOwner(msg.sender, terms.owner);
        (address scientist, uint40 deadline, uint40 seedBlock) =
            agreements.startTraining(id, terms.digest(), keccak256(abi.encode(nonce, noiseRoot)));
        bytes32 blockHash = blockhash(seedBlock);
        if (blockHash == 0) blockHash = fixedHash[id];
        if (blockHash == 0) blockHash = _seedHash(seedBlock);
        bytes32 ctx = _context(id, terms, scientist);

        Run storage run_ = _runs[id];
        run_.deadline = deadline;
        run_.leaves = Transcript.leafCount(terms.steps, terms.segmentSteps);
        run_.groupBits = uint8(Tree.lastPeakHeight(terms.groupLeaves));
        bytes32 seed = keccak256(abi.encode(ctx, blockHash, nonce));
        run_.progress = _commit(seed, 0, new bytes32[](0));
        run_.seed = seed;

        emit Begun(id, ctx, seed, blockHash, nonce, noiseRoot);
    }

    // --- the transcript

    /// @inheritdoc IProofOfTrain
    function anchor(AgreementId id, bytes32 seed, bytes32[] calldata peaks, bytes32 groupRoot, bytes calldata noteCid)
        external
    {
        Run storage run_ = _runs[id];
        (uint32 groups, uint8 groupBits) = (_groups(run_), run_.groupBits);
        _requireRunning(id, run_);
        if (groups >= run_.leaves >> groupBits) revert GroupsAreComplete(groups);
        if (groupRoot == 0) revert GroupRootIsZero();
        requireCidOrNone(noteCid);
        _requirePeaks(run_, seed, groups, peaks);

        bytes32[] memory grown = Tree.append(peaks, groups, groupRoot);
        groups++;
        run_.progress = _commit(seed, groups, grown);
        _noteAnchor(run_);

        emit Anchored(id, groups << groupBits, groupRoot, noteCid);
    }

    /// @inheritdoc IProofOfTrain
    function finish(AgreementId id, Terms calldata terms, Ending calldata ending) external {
        Run storage run_ = _runs[id];
        if (msg.sender != terms.owner) revert CallerIsNotOwner(msg.sender, terms.owner);
        _requireRunning(id, run_);
        uint32 count = run_.leaves;
        if (ending.last.index != count - 1) revert LastIndexDiffers(ending.last.index, count - 1);
        if (ending.last.step != terms.steps) revert StepDiffers(ending.last.step, terms.steps);
        uint32 delivered = ending.delivered.length == 0 ? count - 1 : ending.delivered[0].leaf.index;
        run_.alwaysAudited = _alwaysAudited(count, delivered);
        _end(id, run_, terms, count, ending, terms.steps);

        emit Finished(
            id,
            run_.transcriptRoot,
            run_.progress,
            ending.last.modelRoot,
            delivered,
            count,
            ending.delivery,
            ending.identityCid
        );
    }

    /// @inheritdoc IProofOfTrain
    function diverge(AgreementId id, Terms calldata terms, Ending calldata ending) external {
        Run storage run_ = _runs[id];
        if (msg.sender != terms.owner) revert CallerIsNotOwner(msg.sender, terms.owner);
        _requireRunning(id, run_);
        uint32 step = ending.last.step;
        uint256 reached = uint256(ending.last.index) * terms.segmentSteps;
        if (reached >= terms.steps) revert RunIsComplete(reached, terms.steps);
        if (step != reached) revert StepDiffers(step, reached);
        if (ending.delivered.length != 0) revert DeliveredLeafRefused(ending.delivered.length, 0);
        uint32 count = ending.last.index + 1;
        (run_.alwaysAudited, run_.diverged) = (1 + _alwaysAudited(count, count - 1), true);
        _end(id, run_, terms, count, ending, step);

        emit DivergedAt(id, run_.transcriptRoot, run_.progress, count, step, ending.delivery, ending.identityCid);
    }

    // --- views

    /// @inheritdoc IProofOfTrain
    function run(AgreementId id) external view returns (RunRecord memory) {
        Run storage run_ = _runs[id];
        bool hasEnded = run_.alwaysAudited != 0;
        return RunRecord({
            deadline: run_.deadline,
            leaves: run_.leaves,
            groupBits: run_.groupBits,
            alwaysAudited: run_.alwaysAudited,
            diverged: run_.diverged,
            firstBlock: run_.firstBlock,
            firstTime: run_.firstTime,
            lastBlock: run_.lastBlock,
            lastTime: run_.lastTime,
            groups: hasEnded ? run_.leaves >> run_.groupBits : _groups(run_),
            peaks: hasEnded ? bytes28(0) : bytes28(run_.progress),
            seed: run_.seed,
            transcriptRoot: run_.transcriptRoot,
            modelRoot: hasEnded ? run_.progress : bytes32(0)
        });
    }

    /// @inheritdoc IProofOfTrain
    function auditedSegments(AgreementId id, uint16 drawnSegments) external view returns (uint24) {
        Run storage run_ = _runs[id];
        if (run_.alwaysAudited == 0) revert RunHasNotEnded(id);
        return _audited(run_, drawnSegments);
    }

    /// @inheritdoc IProofOfTrain
    function trainedModel(AgreementId id, Terms calldata terms) external view returns (TrainedModel memory) {
        Run storage run_ = _runs[id];
        if (run_.alwaysAudited == 0) revert RunHasNotEnded(id);
        bytes32 digest = terms.digest();
        bytes32 agreed = agreements.agreement(id).digest;
        if (digest != agreed) revert IAgreements.TermsDiffer(digest, agreed);
        return TrainedModel({
            modelRoot: run_.progress,
            transcriptRoot: run_.transcriptRoot,
            initial: terms.model,
            leaves: run_.leaves,
            steps: uint32(Math.min(uint256(run_.leaves - 1) * terms.segmentSteps, terms.steps))
        });
    }

    // --- checks

    function _seedHash(uint256 seedBlock) private view returns (bytes32 blockHash) {
        if (block.number == seedBlock) revert SeedBlockIsCurrent(seedBlock);
        blockHash = SeedBlock.hashOf(seedBlock);
        if (blockHash == 0) revert SeedBlockMissed(seedBlock, block.number);
    }

    function _requireRunning(AgreementId id, Run storage run_) private view {
        (uint256 deadline, uint256 ended) = (run_.deadline, run_.alwaysAudited);
        if (deadline == 0) revert RunNotBegun(id);
        if (ended != 0) revert RunHasEnded(id);
        if (block.timestamp > deadline) revert DeadlinePassed(deadline, block.timestamp);
    }

    /// @dev That the caller is the owner, and the seed the run's, follows from it.
    function _requirePeaks(Run storage run_, bytes32 seed, uint32 groups, bytes32[] calldata peaks) private view {
        bytes28 given = bytes28(_commit(seed, groups, peaks));
        if (given != bytes28(run_.progress)) revert PeaksDiffer(given, bytes28(run_.progress));
    }

    function _requireDelivery(AgreementId id, Terms calldata terms, Ending calldata ending) private pure {
        requireCid(ending.delivery);
        if (terms.audit.verifiers == 0) requireCid(ending.identityCid);
        else if (ending.identityCid.length != 0) revert IdentityBeforeVerdict(id);
    }

    /// @dev The leaf at index count - 1 is the last one of the smallest perfect subtree, which is the last of the tail
    ///      or, if the groups take in every leaf, the last peak.
    function _requireLastLeaf(Run storage run_, bytes32 ctx, uint32 count, Ending calldata ending) private view {
        uint32 groups = count >> run_.groupBits;
        uint32 rest = count - (groups << run_.groupBits);
        if (groups != _groups(run_)) revert GroupCountDiffers(_groups(run_), groups);
        _requirePeaks(run_, run_.seed, groups, ending.peaks);
        uint256 needed = Tree.peakCount(rest);
        if (ending.tail.length != needed) revert TailLengthDiffers(ending.tail.length, needed);
        needed = Tree.lastPeakHeight(count);
        if (ending.path.length != needed) revert PathLengthDiffers(ending.path.length, needed);

        bytes32 subtree = rest == 0 ? ending.peaks[ending.peaks.length - 1] : ending.tail[ending.tail.length - 1];
        bytes32 leaf = Transcript.leafDigest(ctx, run_.seed, ending.last);
        bytes32 computed = Tree.rootOverLast(leaf, ending.path);
        if (computed != subtree) revert LastLeafDiffers(computed, subtree);
    }

    /// @dev Of a finished run a leaf before the last may be the delivered one.
    function _requireDeliveredLeaf(
        bytes32 ctx,
        bytes32 seed,
        Terms calldata terms,
        uint32 count,
        bytes32 tree,
        DeliveredLeaf calldata delivered
    ) private view {
        (uint32 index, uint256 step) = (delivered.leaf.index, delivered.leaf.step);
        if (index == 0 || index >= count - 1) revert DeliveredLeafRefused(1, index);
        uint256 agreed = uint256(index) * terms.segmentSteps;
        if (step != agreed) revert StepDiffers(step, agreed);
        bytes32 leaf = Transcript.leafDigest(ctx, seed, delivered.leaf);
        bytes32 computed = Tree.rootOver(leaf, index, count, delivered.path);
        if (computed != tree) revert DeliveredLeafDiffers(computed, tree);
    }

    /// @dev The first, the last and the one that ends in the delivered leaf, as far as they differ.
    function _alwaysAudited(uint32 count, uint32 delivered) private pure returns (uint8 segments) {
        segments = count > 2 ? 2 : uint8(count - 1);
        if (delivered > 1 && delivered < count - 1) segments++;
    }

    /// @dev Of the segments that are left as many as are drawn; after `diverge` there is one more, without a leaf at
    ///      its end.
    function _audited(Run storage run_, uint256 drawnSegments) private view returns (uint24) {
        (uint256 always, uint256 segments) = (run_.alwaysAudited, run_.diverged ? run_.leaves : run_.leaves - 1);
        return uint24(always + Math.min(drawnSegments, segments - always));
    }

    // --- effects

    function _context(AgreementId id, Terms calldata terms, address scientist) private view returns (bytes32) {
        return keccak256(
            abi.encode(
                block.chainid,
                agreements,
                address(this),
                id,
                terms.owner,
                scientist,
                terms.recipe,
                terms.datasetRoot,
                terms.modelRoot,
                terms.steps,
                terms.segmentSteps,
                terms.groupLeaves
            )
        );
    }

    function _end(
        AgreementId id,
        Run storage run_,
        Terms calldata terms,
        uint32 count,
        Ending calldata ending,
        uint32 stepsDone
    ) private {
        _requireDelivery(id, terms, ending);
        run_.leaves = count;
        RunEnd memory end = RunEnd({
            stepsDone: stepsDone,
            groups: _groups(run_),
            audited: _audited(run_, terms.audit.drawnSegments),
            steps: terms.steps,
            disputeWindow: terms.disputeWindow,
            nonceCommitment: terms.nonceCommitment
        });
        address scientist = agreements.endTraining(id, terms.digest(), end, terms.audit);

        bytes32 ctx = _context(id, terms, scientist);
        _requireLastLeaf(run_, ctx, count, ending);
        bytes32 tree = Tree.bag(ending.peaks, ending.tail);
        run_.progress = ending.last.modelRoot;
        if (ending.delivered.length != 0) {
            if (ending.delivered.length > 1) revert DeliveredLeafRefused(ending.delivered.length, 0);
            _requireDeliveredLeaf(ctx, run_.seed, terms, count, tree, ending.delivered[0]);
            run_.progress = ending.delivered[0].leaf.modelRoot;
        }
        run_.transcriptRoot = Transcript.root(count, tree);
    }

    function _noteAnchor(Run storage run_) private {
        (uint40 number, uint40 time) = (block.number.toUint40(), block.timestamp.toUint40());
        if (run_.firstTime == 0) (run_.firstBlock, run_.firstTime) = (number, time);
        (run_.lastBlock, run_.lastTime) = (number, time);
    }

    function _groups(Run storage run_) private view returns (uint32) {
        return uint32(uint256(run_.progress));
    }

    /// @dev With the seed, which costs less as an argument than to be read: an anchor of a run whose beginning a
    ///      reorganisation undid would else fit the run that begins in its place, and that one could never end.
    function _commit(bytes32 seed, uint32 groups, bytes32[] memory peaks) private view returns (bytes32) {
        return bytes28(keccak256(abi.encode(msg.sender, seed, groups, peaks))) | bytes32(uint256(groups));
    }
}
