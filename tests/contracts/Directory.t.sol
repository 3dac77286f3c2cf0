// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Contracts, IDirectory} from "../../contracts/interfaces/IDirectory.sol";
import {Deployment} from "./Deployment.sol";
import {Fixture} from "./Fixture.sol";
import {History} from "./History.sol";

/// @notice How a deployment comes about, and on what chain it does not.
contract DirectoryTest is Fixture {
    bytes32 private constant SALT = "another";

    function another() private returns (IDirectory made) {
        made = IDirectory(Deployment.create(Deployment.code("Directory", abi.encode(this)), SALT));
    }

    function test_contracts_knowOneAnother() public view {
        Contracts memory listed = directory.contracts();

        vm.assertEq(listed.fitCoin, address(fit), "another token");
        vm.assertEq(address(agreements.fitCoin()), address(fit), "Agreements has another token");
        vm.assertEq(address(agreements.registry()), address(registry), "Agreements has another registry");
        vm.assertEq(address(agreements.verifiers()), address(verifiers), "Agreements has other verifiers");
        vm.assertEq(address(agreements.proofOfTrain()), address(proof), "Agreements has another ProofOfTrain");
        vm.assertEq(address(agreements.audits()), address(audits), "Agreements has other audits");
        vm.assertEq(address(proof.agreements()), address(agreements), "ProofOfTrain has other agreements");
        vm.assertEq(address(audits.agreements()), address(agreements), "Audits has other agreements");
        vm.assertEq(address(audits.verifiers()), address(verifiers), "Audits has other verifiers");
        vm.assertEq(address(verifiers.audits()), address(audits), "Verifiers has other audits");
        vm.assertEq(address(verifiers.fitCoin()), address(fit), "Verifiers has another token");
        vm.assertEq(address(verifiers.registry()), address(registry), "Verifiers has another registry");
        vm.assertEq(agreements.feeFloor(), Deployment.FEE_FLOOR, "the floor is another");
        vm.assertEq(audits.turnBlocks(), Deployment.TURN_BLOCKS, "the turn is another");
        vm.assertEq(agreements.minimumWindow(), 1, "the devnet's windows are long");
    }

    function test_fill_saysWhatIsListed() public {
        IDirectory made = another();
        Contracts memory listed = Deployment.contracts(made, SALT);

        vm.expectEmit(address(made));
        emit IDirectory.Filled(listed);
        made.fill(listed);
    }

    function test_fill_isTheDeployersAlone() public {
        IDirectory made = another();
        Contracts memory listed = Deployment.contracts(made, SALT);

        vm.expectRevert(abi.encodeWithSelector(IDirectory.CallerIsNotDeployer.selector, stranger, address(this)));
        vm.prank(stranger);
        made.fill(listed);
    }

    function test_fill_isOnce() public {
        Contracts memory listed = directory.contracts();

        vm.expectRevert(IDirectory.FilledAlready.selector);
        directory.fill(listed);
    }

    function test_contracts_refusesBeforeItIsFilled() public {
        IDirectory made = another();

        vm.expectRevert(IDirectory.NotFilled.selector);
        made.contracts();
    }

    /// @dev Else a deployment would believe a stranger's contract that happens to name the same directory.
    function test_create_refusesAContractThatStandsElsewhere() public {
        IDirectory made = another();
        made.fill(Deployment.contracts(made, SALT));
        bytes[6] memory codes = Deployment.codes(made);
        History.remember(block.number - 1, blockhash(block.number - 1));

        for (uint256 i = 1; i < 6; i++) {
            vm.assertEq(Deployment.tryToCreate(codes[i], "elsewhere"), address(0), "it was created elsewhere");
            vm.assertTrue(Deployment.tryToCreate(codes[i], SALT) != address(0), "it was not created in its place");
        }
    }

    /// @dev The constructors of ProofOfTrain and Audits compare the history contract's answer with BLOCKHASH.
    function test_create_refusesAChainThatForgetsItsBlocks() public {
        IDirectory made = another();
        made.fill(Deployment.contracts(made, SALT));
        bytes[6] memory codes = Deployment.codes(made);

        History.remove();
        vm.assertEq(Deployment.tryToCreate(codes[4], SALT), address(0), "created without a history contract");
        vm.assertEq(Deployment.tryToCreate(codes[5], SALT), address(0), "created without a history contract");
        History.remember(block.number - 1, "another hash");
        vm.assertEq(Deployment.tryToCreate(codes[4], SALT), address(0), "created beside a lying history contract");
        vm.assertEq(Deployment.tryToCreate(codes[5], SALT), address(0), "created beside a lying history contract");
        History.remember(block.number - 1, blockhash(block.number - 1));
        vm.assertTrue(Deployment.tryToCreate(codes[4], SALT) != address(0), "not created where history is served");
        vm.assertTrue(Deployment.tryToCreate(codes[5], SALT) != address(0), "not created where history is served");
    }
}
