// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IProofOfTrain} from "../../contracts/interfaces/IProofOfTrain.sol";
import {CID_LIMIT, CidLengthRefused, DeadlinePassed} from "../../contracts/types/Errors.sol";
import {AgreementId} from "../../contracts/types/Ids.sol";
import {RunRecord} from "../../contracts/types/Run.sol";
import {Terms} from "../../contracts/types/Terms.sol";
import {Fixture} from "./Fixture.sol";
import {ReferenceTree} from "./ReferenceTree.sol";

contract AnchorTest is Fixture {
    bytes32[] private none;

    function commit(AgreementId id, uint256 groups, bytes32[] memory peaks) private view returns (bytes28) {
        return bytes28(keccak256(abi.encode(owner, runSeed[id], groups, peaks)));
    }

    function tryToAnchor(AgreementId id, bytes32[] memory peaks, bytes32 root) private {
        vm.prank(owner);
        proof.anchor(id, runSeed[id], peaks, root, cid("note"));
    }

    // --- what it does

    function test_anchor_commitsToThePeaks() public {
        AgreementId id = anchored();
        (, bytes32[] memory digests) = transcript(id, 6);

        RunRecord memory known = proof.run(id);
        vm.assertEq(known.groups, 3, "another number of groups is anchored");
        vm.assertEq(known.peaks, commit(id, 3, ReferenceTree.peaks(digests, 0, 6)), "the peaks are not the tree's");
    }

    function test_anchor_emitsAnchored() public {
        AgreementId id = begun();
        tryToAnchor(id, none, "first");
        bytes32[] memory peaks = new bytes32[](1);
        peaks[0] = "first";

        vm.expectEmit(address(proof));
        emit IProofOfTrain.Anchored(id, 4, "second", cid("note"));
        tryToAnchor(id, peaks, "second");
    }

    function test_anchor_takesNoNote() public {
        AgreementId id = begun();

        vm.prank(owner);
        proof.anchor(id, runSeed[id], none, "first", "");

        vm.assertEq(proof.run(id).groups, 1, "the group is not anchored");
    }

    function test_anchor_isInTimeAtTheDeadline() public {
        AgreementId id = begun();
        vm.warp(agreements.agreement(id).deadline);

        tryToAnchor(id, none, "first");

        vm.assertEq(proof.run(id).groups, 1, "the group is not anchored");
    }

    function test_anchor_recordsBlockAndTimeOfTheFirstAndTheLast() public {
        AgreementId id = begun();
        (, bytes32[] memory digests) = transcript(id, 6);
        (uint256 block_, uint256 time) = (vm.getBlockNumber(), vm.getBlockTimestamp());
        for (uint256 i = 0; i < 3; i++) {
            tryToAnchor(id, ReferenceTree.peaks(digests, 0, 2 * i), ReferenceTree.root(digests, 2 * i, 2 * i + 2));
            vm.roll(block_ + 7 * (i + 1));
            vm.warp(time + 50 * (i + 1));
        }

        RunRecord memory known = proof.run(id);
        vm.assertEq(known.firstBlock, block_, "the first block is another");
        vm.assertEq(known.firstTime, time, "the first time is another");
        vm.assertEq(known.lastBlock, block_ + 14, "the last block is another");
        vm.assertEq(known.lastTime, time + 100, "the last time is another");
    }

    /// @dev Group roots are nodes of the tree, so over leaves hashed in pairs the peaks are the reference tree's.
    function testFuzz_anchor_keepsTheTreesPeaks(uint8 count, bytes32 salt) public {
        Terms memory terms = defaultTerms();
        terms.steps = 2 * 2 * 256;
        AgreementId id = begun(terms);
        uint256 groups = uint256(count) % 40 + 1;
        bytes32[] memory leaves = new bytes32[](2 * groups);
        for (uint256 i = 0; i < 2 * groups; i++) {
            leaves[i] = keccak256(abi.encode(salt, i));
        }

        for (uint256 i = 0; i < groups; i++) {
            tryToAnchor(id, ReferenceTree.peaks(leaves, 0, 2 * i), ReferenceTree.root(leaves, 2 * i, 2 * i + 2));
        }

        bytes32[] memory peaks = ReferenceTree.peaks(leaves, 0, 2 * groups);
        vm.assertEq(proof.run(id).peaks, commit(id, groups, peaks), "the peaks are not the tree's");
    }

    // --- what it refuses

    function test_anchor_refusesOtherPeaks() public {
        AgreementId id = begun();
        tryToAnchor(id, none, "first");
        bytes32[] memory peaks = new bytes32[](1);
        peaks[0] = "forged";
        bytes28 kept = proof.run(id).peaks;

        vm.expectRevert(abi.encodeWithSelector(IProofOfTrain.PeaksDiffer.selector, commit(id, 1, peaks), kept));
        tryToAnchor(id, peaks, "second");
    }

    function test_anchor_refusesTheSameCallTwice() public {
        AgreementId id = begun();
        tryToAnchor(id, none, "first");
        bytes28 kept = proof.run(id).peaks;

        vm.expectRevert(abi.encodeWithSelector(IProofOfTrain.PeaksDiffer.selector, commit(id, 1, none), kept));
        tryToAnchor(id, none, "first");
    }

    function test_anchor_refusesMoreGroupsThanTheTranscriptHas() public {
        AgreementId id = anchored();
        (, bytes32[] memory digests) = transcript(id, 6);
        bytes32[] memory peaks = ReferenceTree.peaks(digests, 0, 6);

        vm.expectRevert(abi.encodeWithSelector(IProofOfTrain.GroupsAreComplete.selector, 3));
        tryToAnchor(id, peaks, "fourth");
    }

    function test_anchor_refusesARootOfZero() public {
        AgreementId id = begun();

        vm.expectRevert(IProofOfTrain.GroupRootIsZero.selector);
        tryToAnchor(id, none, 0);
    }

    function test_anchor_refusesALongNote() public {
        AgreementId id = begun();

        vm.expectRevert(abi.encodeWithSelector(CidLengthRefused.selector, CID_LIMIT + 1, CID_LIMIT));
        vm.prank(owner);
        proof.anchor(id, runSeed[id], none, "first", new bytes(CID_LIMIT + 1));
    }

    function test_anchor_refusesAnybodyElse() public {
        AgreementId id = begun();

        bytes28 given = bytes28(keccak256(abi.encode(scientist, runSeed[id], uint256(0), none)));
        bytes28 kept = proof.run(id).peaks;

        vm.expectRevert(abi.encodeWithSelector(IProofOfTrain.PeaksDiffer.selector, given, kept));
        vm.prank(scientist);
        proof.anchor(id, runSeed[id], none, "first", "");
    }

    /// @dev Its peaks before the first group are those of every run: there are none.
    function test_anchor_refusesTheFirstGroupOfARunUnderAnotherSeed() public {
        AgreementId id = begun();
        bytes32 seed = keccak256("the seed of a run whose beginning a reorganisation undid");
        bytes28 given = bytes28(keccak256(abi.encode(owner, seed, uint256(0), none)));
        bytes28 kept = proof.run(id).peaks;

        vm.expectRevert(abi.encodeWithSelector(IProofOfTrain.PeaksDiffer.selector, given, kept));
        vm.prank(owner);
        proof.anchor(id, seed, none, "first", "");
    }

    function test_anchor_refusesBeforeBegin() public {
        AgreementId id = accepted();

        vm.expectRevert(abi.encodeWithSelector(IProofOfTrain.RunNotBegun.selector, id));
        tryToAnchor(id, none, "first");
    }

    function test_anchor_refusesAfterTheEnd() public {
        AgreementId id = trained();

        vm.expectRevert(abi.encodeWithSelector(IProofOfTrain.RunHasEnded.selector, id));
        tryToAnchor(id, none, "first");
    }

    function test_anchor_refusesAfterTheDeadline() public {
        AgreementId id = begun();
        timeOut(id);

        vm.expectRevert(abi.encodeWithSelector(DeadlinePassed.selector, block.timestamp - 1, block.timestamp));
        tryToAnchor(id, none, "first");
    }
}
