// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IProofOfTrain} from "../../contracts/interfaces/IProofOfTrain.sol";
import {Agreement, State} from "../../contracts/types/Agreement.sol";
import {CID_LIMIT, CallerIsNotOwner, CidLengthRefused, DeadlinePassed} from "../../contracts/types/Errors.sol";
import {AgreementId} from "../../contracts/types/Ids.sol";
import {Ending, Leaf, Run, TrainedModel} from "../../contracts/types/Run.sol";
import {Terms} from "../../contracts/types/Terms.sol";
import {Fixture} from "./Fixture.sol";
import {ReferenceTree} from "./ReferenceTree.sol";

/// @notice How a run ends: finish, diverge, and what is known of the trained model afterwards.
contract EndingTest is Fixture {
    AgreementId private id;
    Ending private end;

    /// @dev A run whose groups are anchored, and its true ending.
    function setUp() public override {
        super.setUp();
        id = anchored();
        end = ending(id, defaultTerms());
    }

    function refusesToFinish(Ending memory forged, bytes memory reason) private {
        vm.expectRevert(reason);
        finish(id, forged);
    }

    function refusesToDiverge(AgreementId run, Ending memory forged, bytes memory reason) private {
        vm.expectRevert(reason);
        diverge(run, forged);
    }

    function diverge(AgreementId run, Ending memory how) private {
        vm.prank(owner);
        proof.diverge(run, how);
    }

    /// @dev Another run, in which the groups of the first `count` leaves are anchored.
    function another(uint256 count) private returns (AgreementId run) {
        run = requested("another", defaultTerms());
        accept(run);
        begin(run);
        anchor(run, defaultTerms(), count);
    }

    /// @dev The root that the smallest subtree of `forged` would need.
    function computed(Ending memory forged) private view returns (bytes32 root) {
        bytes32 leaf = hasher.digest(agreements.agreement(id).ctx, proof.run(id).seed, forged.last);
        root = sha256(abi.encodePacked(hex"00", leaf));
        for (uint256 i = 0; i < forged.path.length; i++) {
            root = sha256(abi.encodePacked(hex"01", forged.path[i], root));
        }
    }

    // --- finish: what it does

    function test_finish_fixesTranscriptRootAndModel() public {
        (Leaf[] memory leaves, bytes32[] memory digests) = transcript(id, defaultTerms(), 7);

        finish(id, end);

        Run memory known = proof.run(id);
        vm.assertTrue(known.ended, "the run has not ended");
        vm.assertEq(known.transcriptRoot, transcriptRoot(digests), "the root is not the tree's");
        vm.assertEq(known.modelRoot, leaves[6].modelRoot, "the model is not the last leaf's");
    }

    function test_finish_startsTheDisputeWindow() public {
        finish(id, end);

        Agreement memory known = agreements.agreement(id);
        assertState(id, State.Trained);
        vm.assertEq(known.deadline, block.timestamp + 2 hours, "the dispute deadline is another");
        vm.assertEq(known.stepsDone, 11, "the steps are not all done");
    }

    function test_finish_emitsFinished() public {
        (, bytes32[] memory digests) = transcript(id, defaultTerms(), 7);

        vm.expectEmit(address(proof));
        emit IProofOfTrain.Finished(id, transcriptRoot(digests), end.last.modelRoot, 7, cid("weights"), cid("key"));
        finish(id, end);
    }

    function test_finish_isInTimeAtTheDeadline() public {
        vm.warp(agreements.agreement(id).deadline);

        finish(id, end);

        assertState(id, State.Trained);
    }

    function testFuzz_finish_bagsTheTreesRoot(uint16 steps, uint8 segment, uint8 groupBits) public {
        Terms memory terms = defaultTerms();
        terms.steps = uint32(steps) % 200 + 1;
        terms.segment = uint32(segment) % 20 + 2;
        terms.group = uint32(1) << (groupBits % 6);
        AgreementId run = requested("another", terms);
        accept(run);
        begin(run);
        anchor(run, terms, leafCount(terms));
        (, bytes32[] memory digests) = transcript(run, terms, leafCount(terms));

        finish(run, ending(run, terms));

        vm.assertEq(proof.run(run).transcriptRoot, transcriptRoot(digests), "the root is not the tree's");
    }

    function test_trainedModel_namesModelAndLineage() public {
        finish(id, end);

        TrainedModel memory trainedModel = proof.trainedModel(id);
        vm.assertEq(trainedModel.modelRoot, end.last.modelRoot, "the model is another");
        vm.assertTrue(trainedModel.parent == model, "the parent is not the model agreed on");
        vm.assertEq(trainedModel.transcriptRoot, proof.run(id).transcriptRoot, "the transcript is another");
        vm.assertEq(trainedModel.leaves, 7, "the leaves are others");
        vm.assertEq(trainedModel.steps, 11, "the steps are others");
    }

    function test_trainedModel_refusesARunThatHasNotEnded() public {
        vm.expectRevert(abi.encodeWithSelector(IProofOfTrain.RunHasNotEnded.selector, id));
        proof.trainedModel(id);
    }

    // --- finish: what it refuses

    function test_finish_refusesAnotherLastIndex() public {
        Ending memory forged = end;
        forged.last.index = 5;

        refusesToFinish(forged, abi.encodeWithSelector(IProofOfTrain.LastIndexDiffers.selector, 5, 6));
    }

    function test_finish_refusesTheHighestIndex() public {
        Ending memory forged = end;
        forged.last.index = type(uint32).max;

        refusesToFinish(forged, abi.encodeWithSelector(IProofOfTrain.LastIndexDiffers.selector, type(uint32).max, 6));
    }

    function test_finish_refusesAnotherLastStep() public {
        Ending memory forged = end;
        forged.last.step = 12;

        refusesToFinish(forged, abi.encodeWithSelector(IProofOfTrain.StepDiffers.selector, 12, 11));
    }

    function test_finish_refusesWithoutAllGroups() public {
        AgreementId run = another(4);
        Ending memory truth = ending(run, defaultTerms());

        vm.expectRevert(abi.encodeWithSelector(IProofOfTrain.GroupCountDiffers.selector, 2, 3));
        finish(run, truth);
    }

    function test_finish_refusesOtherPeaks() public {
        Ending memory forged = end;
        forged.peaks[0] = "forged";
        bytes28 given = bytes28(keccak256(abi.encode(3, forged.peaks)));

        refusesToFinish(forged, abi.encodeWithSelector(IProofOfTrain.PeaksDiffer.selector, given, proof.run(id).peaks));
    }

    function test_finish_refusesALongerTail() public {
        Ending memory forged = end;
        forged.tail = new bytes32[](2);

        refusesToFinish(forged, abi.encodeWithSelector(IProofOfTrain.TailLengthDiffers.selector, 2, 1));
    }

    function test_finish_refusesNoTail() public {
        Ending memory forged = end;
        forged.tail = new bytes32[](0);

        refusesToFinish(forged, abi.encodeWithSelector(IProofOfTrain.TailLengthDiffers.selector, 0, 1));
    }

    function test_finish_refusesALongerPath() public {
        Ending memory forged = end;
        forged.path = new bytes32[](1);

        refusesToFinish(forged, abi.encodeWithSelector(IProofOfTrain.PathLengthDiffers.selector, 1, 0));
    }

    function test_finish_refusesAnotherSubtree() public {
        Ending memory forged = end;
        forged.tail[0] = "forged";

        refusesToFinish(
            forged, abi.encodeWithSelector(IProofOfTrain.LastLeafDiffers.selector, computed(end), bytes32("forged"))
        );
    }

    function testFuzz_finish_refusesALeafWithAnyDigestChanged(uint8 which, bytes32 forgery) public {
        Ending memory forged = end;
        Leaf memory leaf = forged.last;
        which %= 5;
        if (which == 0) leaf.modelRoot = forgery;
        if (which == 1) leaf.optimizerRoot = forgery;
        if (which == 2) leaf.records = forgery;
        if (which == 3) leaf.metrics = forgery;
        if (which == 4) leaf.previous = forgery;

        refusesToFinish(
            forged, abi.encodeWithSelector(IProofOfTrain.LastLeafDiffers.selector, computed(forged), end.tail[0])
        );
    }

    function test_finish_refusesTheTranscriptOfAnotherJob() public {
        AgreementId run = another(0);
        anchorAs(run, id);

        vm.expectPartialRevert(IProofOfTrain.LastLeafDiffers.selector);
        finish(run, end);
    }

    /// @dev Anchors in `run` the groups of `source`, as a copyist would.
    function anchorAs(AgreementId run, AgreementId source) private {
        (, bytes32[] memory digests) = transcript(source, defaultTerms(), 6);
        for (uint256 from = 0; from < 6; from += 2) {
            bytes32[] memory peaks = ReferenceTree.peaks(digests, 0, from);
            bytes32 root = ReferenceTree.root(digests, from, from + 2);
            vm.prank(owner);
            proof.anchor(run, peaks, root, "");
        }
    }

    function test_finish_refusesNoWeights() public {
        Ending memory forged = end;
        forged.weightsCid = "";

        refusesToFinish(forged, abi.encodeWithSelector(CidLengthRefused.selector, 0, CID_LIMIT));
    }

    function test_finish_refusesNoKey() public {
        Ending memory forged = end;
        forged.keyCid = "";

        refusesToFinish(forged, abi.encodeWithSelector(CidLengthRefused.selector, 0, CID_LIMIT));
    }

    function test_finish_refusesAnybodyElse() public {
        vm.expectRevert(abi.encodeWithSelector(CallerIsNotOwner.selector, scientist, owner));
        vm.prank(scientist);
        proof.finish(id, end);
    }

    function test_finish_refusesBeforeBegin() public {
        AgreementId run = requested("another", defaultTerms());
        accept(run);

        vm.expectRevert(abi.encodeWithSelector(IProofOfTrain.RunNotBegun.selector, run));
        finish(run, end);
    }

    function test_finish_refusesToFinishTwice() public {
        finish(id, end);

        refusesToFinish(end, abi.encodeWithSelector(IProofOfTrain.RunHasEnded.selector, id));
    }

    function test_finish_refusesAfterTheDeadline() public {
        timeOut(id);

        refusesToFinish(end, abi.encodeWithSelector(DeadlinePassed.selector, block.timestamp - 1, block.timestamp));
    }

    // --- diverge: what it does

    function testFuzz_diverge_fixesWhatWasProven(uint8 last) public {
        uint32 count = uint32(last) % 6 + 1;
        AgreementId run = another(count);
        Ending memory truth = ending(run, defaultTerms(), count);
        (, bytes32[] memory digests) = transcript(run, defaultTerms(), count);

        vm.expectEmit(address(proof));
        emit IProofOfTrain.DivergedAt(
            run, transcriptRoot(digests), truth.last.modelRoot, count, 2 * (count - 1), truth.weightsCid, truth.keyCid
        );
        diverge(run, truth);

        assertState(run, State.Diverged);
        vm.assertEq(proof.run(run).leaves, count, "the transcript has another length");
        vm.assertEq(agreements.agreement(run).stepsDone, 2 * (count - 1), "other steps are proven");
        vm.assertEq(proof.trainedModel(run).steps, 2 * (count - 1), "the model was trained by other steps");
    }

    // --- diverge: what it refuses

    function test_diverge_refusesACompleteRun() public {
        refusesToDiverge(id, end, abi.encodeWithSelector(IProofOfTrain.RunIsComplete.selector, 12, 11));
    }

    function test_diverge_refusesARunThatReachedItsLastStepExactly() public {
        Terms memory terms = defaultTerms();
        terms.steps = 12;
        AgreementId run = requested("another", terms);
        accept(run);
        begin(run);
        anchor(run, terms, 7);

        refusesToDiverge(run, ending(run, terms), abi.encodeWithSelector(IProofOfTrain.RunIsComplete.selector, 12, 12));
    }

    function test_diverge_refusesTheHighestIndex() public {
        Ending memory forged = end;
        forged.last.index = type(uint32).max;

        refusesToDiverge(
            id, forged, abi.encodeWithSelector(IProofOfTrain.RunIsComplete.selector, 2 * uint256(type(uint32).max), 11)
        );
    }

    function test_diverge_refusesAnotherStep() public {
        AgreementId run = another(4);
        Ending memory forged = ending(run, defaultTerms(), 4);
        forged.last.step = 7;

        refusesToDiverge(run, forged, abi.encodeWithSelector(IProofOfTrain.StepDiffers.selector, 7, 6));
    }

    function test_diverge_refusesToTakeBackAnAnchor() public {
        AgreementId run = another(4);
        Ending memory forged = ending(run, defaultTerms(), 3);

        refusesToDiverge(run, forged, abi.encodeWithSelector(IProofOfTrain.GroupCountDiffers.selector, 2, 1));
    }

    function test_diverge_refusesAForgedPath() public {
        AgreementId run = another(4);
        Ending memory forged = ending(run, defaultTerms(), 4);
        forged.path[0] = "forged";

        vm.expectPartialRevert(IProofOfTrain.LastLeafDiffers.selector);
        diverge(run, forged);
    }

    function test_diverge_refusesAnybodyElse() public {
        AgreementId run = another(4);
        Ending memory truth = ending(run, defaultTerms(), 4);

        vm.expectRevert(abi.encodeWithSelector(CallerIsNotOwner.selector, stranger, owner));
        vm.prank(stranger);
        proof.diverge(run, truth);
    }

    function test_diverge_refusesAfterFinish() public {
        finish(id, end);

        refusesToDiverge(id, end, abi.encodeWithSelector(IProofOfTrain.RunHasEnded.selector, id));
    }

    function test_diverge_refusesAfterTheDeadline() public {
        AgreementId run = another(4);
        Ending memory truth = ending(run, defaultTerms(), 4);
        timeOut(run);

        refusesToDiverge(
            run, truth, abi.encodeWithSelector(DeadlinePassed.selector, block.timestamp - 1, block.timestamp)
        );
    }
}
