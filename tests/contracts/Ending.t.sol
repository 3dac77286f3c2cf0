// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IProofOfTrain} from "../../contracts/interfaces/IProofOfTrain.sol";
import {Agreement, State} from "../../contracts/types/Agreement.sol";
import {CID_LIMIT, CallerIsNotOwner, CidLengthRefused, DeadlinePassed} from "../../contracts/types/Errors.sol";
import {AgreementId} from "../../contracts/types/Ids.sol";
import {DeliveredLeaf, Ending, Leaf, RunRecord, TrainedModel} from "../../contracts/types/Run.sol";
import {DisclosureMode, Terms} from "../../contracts/types/Terms.sol";
import {Fixture} from "./Fixture.sol";
import {ReferenceTree} from "./ReferenceTree.sol";

/// @notice How a run ends: finish, diverge, and what is known of the trained model afterwards.
contract EndingTest is Fixture {
    AgreementId private id;
    Ending private end;

    /// @dev A run whose groups are anchored, and its true ending.
    function setUp() public override {
        super.setUp();
        id = anchored(disputable());
        Ending memory truth = ending(id);
        (end.peaks, end.tail, end.last, end.path) = (truth.peaks, truth.tail, truth.last, truth.path);
        (end.delivery, end.identityCid) = (truth.delivery, truth.identityCid);
    }

    function refusesToFinish(Ending memory forged, bytes memory reason) private {
        vm.expectRevert(reason);
        finish(id, forged);
    }

    function refusesToDiverge(AgreementId run, Ending memory forged, bytes memory reason) private {
        vm.expectRevert(reason);
        diverge(run, forged);
    }

    /// @dev Another run, in which the groups of the first `count` leaves are anchored.
    function another(uint256 count) private returns (AgreementId run) {
        run = requested("another", disputable());
        accept(run);
        begin(run);
        anchor(run, count);
    }

    /// @dev The root that the smallest subtree of `forged` would need.
    function computed(Ending memory forged) private view returns (bytes32 root) {
        bytes32 leaf = hasher.digest(contextOf(id), proof.run(id).seed, forged.last);
        root = sha256(abi.encodePacked(hex"00", leaf));
        for (uint256 i = 0; i < forged.path.length; i++) {
            root = sha256(abi.encodePacked(hex"01", forged.path[i], root));
        }
    }

    /// @dev A run that could be disputed may diverge anywhere.
    function disputable() private returns (Terms memory terms) {
        terms = defaultTerms();
        terms.audit.mode = DisclosureMode.Open;
        if (verifiers.placesOf(0).length == 0) fillPool();
        terms.audit.disputeVerifiers = 1;
    }

    function fillPool() private {
        for (uint160 i = 1; i < 4; i++) {
            address account = address(i << 32);
            fit.transfer(account, 1000 ether);
            approve(account, 1000 ether, address(verifiers));
            vm.prank(account);
            verifiers.stake(1000 ether, "link", noPermit());
            vm.prank(account);
            verifiers.joinPool();
        }
        vm.roll(vm.getBlockNumber() + 1);
    }

    // --- finish: what it does

    function test_finish_fixesTranscriptRootAndModel() public {
        (Leaf[] memory leaves, bytes32[] memory digests) = transcript(id, 7);

        finish(id, end);

        RunRecord memory known = proof.run(id);
        vm.assertEq(known.alwaysAudited, 2, "the run has not ended");
        vm.assertEq(known.groups, 3, "groups vanished");
        vm.assertEq(known.peaks, 0, "the chain commits to peaks still");
        vm.assertEq(known.transcriptRoot, transcriptRoot(digests), "the root is not the tree's");
        vm.assertEq(known.modelRoot, leaves[6].modelRoot, "the model is not the last leaf's");
    }

    function test_finish_startsTheDisputeWindow() public {
        finish(id, end);

        Agreement memory known = agreements.agreement(id);
        assertState(id, State.Trained);
        vm.assertEq(known.deadline, block.timestamp + 2 hours, "the dispute deadline is another");
        vm.assertEq(known.price, PRICE, "another price is due");
    }

    function test_finish_emitsFinished() public {
        (, bytes32[] memory digests) = transcript(id, 7);

        vm.expectEmit(address(proof));
        bytes32 root = end.last.modelRoot;
        emit IProofOfTrain.Finished(id, transcriptRoot(digests), root, root, 6, 7, cid("delivery"), cid("identity"));
        finish(id, end);
    }

    function test_finish_isInTimeAtTheDeadline() public {
        vm.warp(agreements.agreement(id).deadline);

        finish(id, end);

        assertState(id, State.Trained);
    }

    function testFuzz_finish_bagsTheTreesRoot(uint16 steps, uint8 segment, uint8 groupBits) public {
        Terms memory terms = disputable();
        terms.steps = uint32(steps) % 200 + 2;
        terms.segmentSteps = uint32(segment) % 20 + 2;
        terms.groupLeaves = uint32(1) << (groupBits % 6);
        AgreementId run = requested("another", terms);
        accept(run);
        begin(run);
        anchor(run, leafCount(terms));
        (, bytes32[] memory digests) = transcript(run, leafCount(terms));

        finish(run, ending(run));

        vm.assertEq(proof.run(run).transcriptRoot, transcriptRoot(digests), "the root is not the tree's");
    }

    function test_trainedModel_namesModelAndLineage() public {
        finish(id, end);

        TrainedModel memory trainedModel = proof.trainedModel(id, termsOf[id]);
        vm.assertEq(trainedModel.modelRoot, end.last.modelRoot, "the model is another");
        vm.assertTrue(trainedModel.initial == model, "the initial model is not the model agreed on");
        vm.assertEq(trainedModel.transcriptRoot, proof.run(id).transcriptRoot, "the transcript is another");
        vm.assertEq(trainedModel.leaves, 7, "the leaves are others");
        vm.assertEq(trainedModel.steps, 11, "the steps are others");
    }

    function test_trainedModel_refusesARunThatHasNotEnded() public {
        vm.expectRevert(abi.encodeWithSelector(IProofOfTrain.RunHasNotEnded.selector, id));
        proof.trainedModel(id, termsOf[id]);
    }

    // --- the delivered leaf

    function testFuzz_finish_deliversAnyLeafBetween(uint8 which) public {
        uint32 index = uint32(which) % 5 + 1;
        Ending memory chosen = endingAt(id, index);

        finish(id, chosen);

        RunRecord memory known = proof.run(id);
        vm.assertEq(known.modelRoot, chosen.delivered[0].leaf.modelRoot, "the model is not the delivered leaf's");
        vm.assertEq(known.alwaysAudited, index == 1 ? 2 : 3, "other segments are always audited");
        vm.assertEq(proof.auditedSegments(id, 2), index == 1 ? 4 : 5, "other segments are audited");
        vm.assertEq(proof.auditedSegments(id, 99), 6, "not every segment is audited");
    }

    function test_finish_emitsWhatIsDelivered() public {
        Ending memory chosen = endingAt(id, 3);
        (, bytes32[] memory digests) = transcript(id, 7);

        vm.expectEmit(address(proof));
        emit IProofOfTrain.Finished(
            id,
            transcriptRoot(digests),
            chosen.delivered[0].leaf.modelRoot,
            chosen.last.modelRoot,
            3,
            7,
            cid("delivery"),
            cid("identity")
        );
        finish(id, chosen);
    }

    function test_finish_refusesAForgedDeliveredLeaf() public {
        Ending memory forged = endingAt(id, 3);
        forged.delivered[0].leaf.modelRoot = "better";

        vm.expectPartialRevert(IProofOfTrain.DeliveredLeafDiffers.selector);
        finish(id, forged);
    }

    function test_finish_refusesAForgedPathOfTheDeliveredLeaf() public {
        Ending memory forged = endingAt(id, 3);
        forged.delivered[0].path[1] = "forged";

        vm.expectPartialRevert(IProofOfTrain.DeliveredLeafDiffers.selector);
        finish(id, forged);
    }

    function test_finish_refusesADeliveredLeafAtAnotherStep() public {
        Ending memory forged = endingAt(id, 3);
        forged.delivered[0].leaf.step = 8;

        refusesToFinish(forged, abi.encodeWithSelector(IProofOfTrain.StepDiffers.selector, 8, 6));
    }

    function test_finish_refusesToDeliverTheFirstTheLastAndTwo() public {
        refusesToFinish(endingAt(id, 0), abi.encodeWithSelector(IProofOfTrain.DeliveredLeafRefused.selector, 1, 0));
        refusesToFinish(endingAt(id, 6), abi.encodeWithSelector(IProofOfTrain.DeliveredLeafRefused.selector, 1, 6));
        Ending memory forged = endingAt(id, 3);
        DeliveredLeaf memory one = forged.delivered[0];
        forged.delivered = new DeliveredLeaf[](2);
        (forged.delivered[0], forged.delivered[1]) = (one, one);
        refusesToFinish(forged, abi.encodeWithSelector(IProofOfTrain.DeliveredLeafRefused.selector, 2, 0));
    }

    function test_diverge_refusesToDeliverAnotherLeafThanTheLast() public {
        AgreementId run = another(4);
        Ending memory forged = ending(run, 4);
        forged.delivered = new DeliveredLeaf[](1);

        refusesToDiverge(run, forged, abi.encodeWithSelector(IProofOfTrain.DeliveredLeafRefused.selector, 1, 0));
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
        Ending memory truth = ending(run);

        vm.expectRevert(abi.encodeWithSelector(IProofOfTrain.GroupCountDiffers.selector, 2, 3));
        finish(run, truth);
    }

    function test_finish_refusesOtherPeaks() public {
        Ending memory forged = end;
        forged.peaks[0] = "forged";
        bytes28 given = bytes28(keccak256(abi.encode(owner, runSeed[id], 3, forged.peaks)));

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
        which %= 6;
        bytes32[6] memory honest =
            [leaf.modelRoot, leaf.optimizerRoot, leaf.records, leaf.metrics, leaf.previous, leaf.heldOut];
        vm.assume(forgery != honest[which]); // the fuzzer takes values out of storage, too
        if (which == 0) leaf.modelRoot = forgery;
        if (which == 1) leaf.optimizerRoot = forgery;
        if (which == 2) leaf.records = forgery;
        if (which == 3) leaf.metrics = forgery;
        if (which == 4) leaf.previous = forgery;
        if (which == 5) leaf.heldOut = forgery;

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
        (, bytes32[] memory digests) = transcript(source, 6);
        for (uint256 from = 0; from < 6; from += 2) {
            bytes32[] memory peaks = ReferenceTree.peaks(digests, 0, from);
            bytes32 root = ReferenceTree.root(digests, from, from + 2);
            vm.prank(owner);
            proof.anchor(run, runSeed[run], peaks, root, "");
        }
    }

    function test_finish_refusesNoDelivery() public {
        Ending memory forged = end;
        forged.delivery = "";

        refusesToFinish(forged, abi.encodeWithSelector(CidLengthRefused.selector, 0, CID_LIMIT));
    }

    function test_finish_refusesNoIdentity() public {
        Ending memory forged = end;
        forged.identityCid = "";

        refusesToFinish(forged, abi.encodeWithSelector(CidLengthRefused.selector, 0, CID_LIMIT));
    }

    function test_finish_refusesAnybodyElse() public {
        vm.expectRevert(abi.encodeWithSelector(CallerIsNotOwner.selector, scientist, owner));
        vm.prank(scientist);
        proof.finish(id, termsOf[id], end);
    }

    function test_finish_refusesBeforeBegin() public {
        AgreementId run = requested("another", disputable());
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
        Ending memory truth = ending(run, count);
        (, bytes32[] memory digests) = transcript(run, count);

        vm.expectEmit(address(proof));
        emit IProofOfTrain.DivergedAt(
            run,
            transcriptRoot(digests),
            truth.last.modelRoot,
            count,
            2 * (count - 1),
            truth.delivery,
            truth.identityCid
        );
        diverge(run, truth);

        assertState(run, State.Diverged);
        vm.assertEq(proof.run(run).leaves, count, "the transcript has another length");
        vm.assertTrue(proof.run(run).diverged, "the run is not said to have diverged");
        vm.assertEq(proof.auditedSegments(run, 99), count, "the segment after the last leaf is not audited");
        uint256 due = uint256(PRICE) * 2 * (count - 1) / 11;
        vm.assertEq(agreements.agreement(run).price, due, "another price is due");
        assertOwed(scientist, PRICE - due);
        vm.assertEq(
            proof.trainedModel(run, termsOf[run]).steps, 2 * (count - 1), "the model was trained by other steps"
        );
    }

    // --- diverge: what it refuses

    function test_diverge_refusesACompleteRun() public {
        refusesToDiverge(id, end, abi.encodeWithSelector(IProofOfTrain.RunIsComplete.selector, 12, 11));
    }

    function test_diverge_refusesARunThatReachedItsLastStepExactly() public {
        Terms memory terms = disputable();
        terms.steps = 12;
        AgreementId run = requested("another", terms);
        accept(run);
        begin(run);
        anchor(run, 7);

        refusesToDiverge(run, ending(run), abi.encodeWithSelector(IProofOfTrain.RunIsComplete.selector, 12, 12));
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
        Ending memory forged = ending(run, 4);
        forged.last.step = 7;

        refusesToDiverge(run, forged, abi.encodeWithSelector(IProofOfTrain.StepDiffers.selector, 7, 6));
    }

    function test_diverge_refusesToTakeBackAnAnchor() public {
        AgreementId run = another(4);
        Ending memory forged = ending(run, 3);

        refusesToDiverge(run, forged, abi.encodeWithSelector(IProofOfTrain.GroupCountDiffers.selector, 2, 1));
    }

    function test_diverge_refusesAForgedPath() public {
        AgreementId run = another(4);
        Ending memory forged = ending(run, 4);
        forged.path[0] = "forged";

        vm.expectPartialRevert(IProofOfTrain.LastLeafDiffers.selector);
        diverge(run, forged);
    }

    function test_diverge_refusesAnybodyElse() public {
        AgreementId run = another(4);
        Ending memory truth = ending(run, 4);

        vm.expectRevert(abi.encodeWithSelector(CallerIsNotOwner.selector, stranger, owner));
        vm.prank(stranger);
        proof.diverge(run, termsOf[run], truth);
    }

    function test_diverge_refusesAfterFinish() public {
        finish(id, end);

        refusesToDiverge(id, end, abi.encodeWithSelector(IProofOfTrain.RunHasEnded.selector, id));
    }

    function test_diverge_refusesAfterTheDeadline() public {
        AgreementId run = another(4);
        Ending memory truth = ending(run, 4);
        timeOut(run);

        refusesToDiverge(
            run, truth, abi.encodeWithSelector(DeadlinePassed.selector, block.timestamp - 1, block.timestamp)
        );
    }
}
