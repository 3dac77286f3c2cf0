// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IAgreements} from "../../contracts/interfaces/IAgreements.sol";
import {IProofOfTrain} from "../../contracts/interfaces/IProofOfTrain.sol";
import {State} from "../../contracts/types/Agreement.sol";
import {CallerIsNotOwner, DeadlinePassed} from "../../contracts/types/Errors.sol";
import {AgreementId} from "../../contracts/types/Ids.sol";
import {RunRecord} from "../../contracts/types/Run.sol";
import {Terms} from "../../contracts/types/Terms.sol";
import {Fixture} from "./Fixture.sol";
import {History} from "./History.sol";

/// @notice The order seed: begin and fix, within 256 blocks, within EIP-2935's 8191, and beyond.
contract SeedTest is Fixture {
    function setUp() public override {
        super.setUp();
        History.remove();
    }

    /// @dev Lets the chain of EIP-2935 remember `hash` for the block before the present one.
    function remember(bytes32 hash) private {
        History.remember(vm.getBlockNumber() - 1, hash);
    }

    function seedOf(AgreementId id, bytes32 blockHash) private view returns (bytes32) {
        return keccak256(abi.encode(contextOf(id), blockHash, NONCE));
    }

    function tryToBegin(AgreementId id) private {
        vm.prank(owner);
        proof.begin(id, defaultTerms(), NONCE, NOISE_ROOT);
    }

    function later(uint256 blocks) private returns (uint256 present) {
        present = vm.getBlockNumber() + blocks;
        vm.roll(present);
    }

    // --- begin

    function test_begin_drawsTheSeedFromContextBlockAndNonce() public {
        AgreementId id = accepted();
        uint256 seedBlock = block.number;
        later(1);
        vm.setBlockhash(seedBlock, keccak256("block hash"));

        tryToBegin(id);

        vm.assertEq(proof.run(id).seed, seedOf(id, keccak256("block hash")), "the seed is another");
        assertState(id, State.Training);
    }

    function test_begin_keepsWhatTheRunNeeds() public {
        RunRecord memory known = proof.run(begun());

        vm.assertEq(known.deadline, block.timestamp + 1 days, "the deadline is another");
        vm.assertEq(known.leaves, 7, "the transcript has another length");
        vm.assertEq(known.groupBits, 1, "the group is another");
        vm.assertEq(known.groups, 0, "groups are anchored already");
    }

    function test_begin_emitsBegun() public {
        AgreementId id = accepted();
        later(1);
        bytes32 seed = seedOf(id, blockhash(block.number - 1));

        vm.expectEmit(address(proof));
        emit IProofOfTrain.Begun(id, contextOf(id), seed, blockhash(block.number - 1), NONCE, NOISE_ROOT);
        tryToBegin(id);
    }

    function test_begin_readsTheInstructionUpTo256Blocks() public {
        AgreementId id = accepted();
        uint256 seedBlock = block.number;
        later(256);
        vm.setBlockhash(seedBlock, keccak256("block hash"));

        tryToBegin(id);

        vm.assertEq(proof.run(id).seed, seedOf(id, keccak256("block hash")), "the seed is another");
    }

    function test_begin_readsTheHistoryContractBeyond256Blocks() public {
        AgreementId id = accepted();
        later(1);
        remember(keccak256("block hash"));
        later(8190);

        tryToBegin(id);

        vm.assertEq(proof.run(id).seed, seedOf(id, keccak256("block hash")), "the seed is another");
    }

    function test_begin_refusesWhatTheHistoryContractHasForgotten() public {
        AgreementId id = accepted();
        uint256 seedBlock = block.number;
        later(1);
        remember(keccak256("block hash"));
        uint256 present = later(8191);

        vm.expectRevert(abi.encodeWithSelector(IProofOfTrain.SeedBlockMissed.selector, seedBlock, present));
        tryToBegin(id);
    }

    function test_begin_refusesAMissedSeedBlockAndExpireIsTheWayOut() public {
        AgreementId id = accepted();
        uint256 seedBlock = block.number;
        uint256 present = later(257);

        vm.expectRevert(abi.encodeWithSelector(IProofOfTrain.SeedBlockMissed.selector, seedBlock, present));
        tryToBegin(id);

        timeOut(id);
        agreements.expire(id);
        assertState(id, State.Forfeited);
    }

    function test_begin_refusesInTheSeedBlock() public {
        AgreementId id = accepted();

        vm.expectRevert(abi.encodeWithSelector(IProofOfTrain.SeedBlockIsCurrent.selector, block.number));
        tryToBegin(id);
    }

    function test_begin_refusesAnotherNonceOrNoiseRoot() public {
        AgreementId id = accepted();
        later(1);
        Terms memory terms = defaultTerms();

        vm.expectPartialRevert(IAgreements.TermsDiffer.selector);
        vm.prank(owner);
        proof.begin(id, terms, "another", NOISE_ROOT);
        vm.expectPartialRevert(IAgreements.TermsDiffer.selector);
        vm.prank(owner);
        proof.begin(id, terms, NONCE, "another");
    }

    function test_begin_refusesOtherTerms() public {
        AgreementId id = accepted();
        later(1);
        Terms memory terms = defaultTerms();
        terms.steps++;

        vm.expectPartialRevert(IAgreements.TermsDiffer.selector);
        vm.prank(owner);
        proof.begin(id, terms, NONCE, NOISE_ROOT);
    }

    function test_begin_refusesAnybodyElse() public {
        AgreementId id = accepted();
        later(1);

        vm.expectRevert(abi.encodeWithSelector(CallerIsNotOwner.selector, scientist, owner));
        vm.prank(scientist);
        proof.begin(id, defaultTerms(), NONCE, NOISE_ROOT);
    }

    function test_begin_refusesARequest() public {
        AgreementId id = requested();
        later(1);

        vm.expectRevert(abi.encodeWithSelector(IAgreements.StateForbids.selector, id, stateOf(id)));
        tryToBegin(id);
    }

    function test_begin_refusesToBeginTwice() public {
        AgreementId id = begun();

        vm.expectRevert(abi.encodeWithSelector(IAgreements.StateForbids.selector, id, stateOf(id)));
        tryToBegin(id);
    }

    function test_begin_isInTimeAtTheDeadline() public {
        AgreementId id = accepted();
        later(1);
        vm.warp(agreements.agreement(id).deadline);

        tryToBegin(id);

        assertState(id, State.Training);
    }

    function test_begin_refusesAfterTheDeadline() public {
        AgreementId id = accepted();
        later(1);
        timeOut(id);

        vm.expectRevert(abi.encodeWithSelector(DeadlinePassed.selector, block.timestamp - 1, block.timestamp));
        tryToBegin(id);
    }

    // --- fix

    function test_fix_keepsTheHashForALateBegin() public {
        AgreementId id = accepted();
        uint256 seedBlock = block.number;
        later(200);
        vm.setBlockhash(seedBlock, keccak256("block hash"));

        vm.prank(stranger);
        proof.fix(id);
        later(20_000);
        tryToBegin(id);

        vm.assertEq(proof.fixedHash(id), keccak256("block hash"), "another hash is kept");
        vm.assertEq(proof.run(id).seed, seedOf(id, keccak256("block hash")), "the seed is another");
    }

    function test_fix_changesNoSeed() public {
        AgreementId id = accepted();
        uint256 seedBlock = block.number;
        later(1);
        bytes32 seed = seedOf(id, blockhash(seedBlock));

        proof.fix(id);
        tryToBegin(id);

        vm.assertEq(proof.run(id).seed, seed, "fixing the block changed the seed");
    }

    function test_fix_emitsSeedFixed() public {
        AgreementId id = accepted();
        uint256 seedBlock = block.number;
        later(1);

        vm.expectEmit(address(proof));
        emit IProofOfTrain.SeedFixed(id, seedBlock, blockhash(seedBlock));
        proof.fix(id);
    }

    function test_fix_refusesToFixTwice() public {
        AgreementId id = accepted();
        later(1);
        proof.fix(id);

        vm.expectRevert(
            abi.encodeWithSelector(IProofOfTrain.SeedAlreadyFixed.selector, id, blockhash(block.number - 1))
        );
        proof.fix(id);
    }

    function test_fix_refusesAMissedSeedBlock() public {
        AgreementId id = accepted();
        uint256 seedBlock = block.number;
        uint256 present = later(257);

        vm.expectRevert(abi.encodeWithSelector(IProofOfTrain.SeedBlockMissed.selector, seedBlock, present));
        proof.fix(id);
    }

    function test_fix_refusesInTheSeedBlock() public {
        AgreementId id = accepted();

        vm.expectRevert(abi.encodeWithSelector(IProofOfTrain.SeedBlockIsCurrent.selector, block.number));
        proof.fix(id);
    }

    function test_fix_refusesBeforeAcceptance() public {
        AgreementId id = requested();

        vm.expectRevert(abi.encodeWithSelector(IProofOfTrain.SeedNotAwaited.selector, id));
        proof.fix(id);
    }

    function test_fix_refusesAfterBegin() public {
        AgreementId id = begun();

        vm.expectRevert(abi.encodeWithSelector(IProofOfTrain.SeedNotAwaited.selector, id));
        proof.fix(id);
    }

    function test_fix_refusesAfterTheDeadline() public {
        AgreementId id = accepted();
        later(1);
        timeOut(id);

        vm.expectRevert(abi.encodeWithSelector(DeadlinePassed.selector, block.timestamp - 1, block.timestamp));
        proof.fix(id);
    }
}
