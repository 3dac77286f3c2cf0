// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Agreements} from "../../contracts/Agreements.sol";
import {FitCoin} from "../../contracts/FitCoin.sol";
import {Registry} from "../../contracts/Registry.sol";
import {State} from "../../contracts/types/Agreement.sol";
import {AgreementId} from "../../contracts/types/Ids.sol";
import {Ending} from "../../contracts/types/Run.sol";
import {Permit, Terms} from "../../contracts/types/Terms.sol";
import {Fixture} from "./Fixture.sol";
import {ReferenceTree} from "./ReferenceTree.sol";
import {TreeCaller} from "./TreeCaller.sol";

/// @notice What a job and a deployment cost, as whole transactions. The figures are kept in snapshots/, and `forge
///         test` fails when one changes: `FORGE_SNAPSHOT_CHECK=false forge test --mc GasTest` writes the new ones for
///         review. forge-config: default.isolate = true
contract GasTest is Fixture {
    uint256 private total;
    TreeCaller private tree = new TreeCaller();

    function test_job_costsWhatTheSnapshotSays() public {
        Terms memory terms = defaultTerms();
        Permit memory permit = signedPermit(SCIENTIST_KEY, PRICE);
        vm.prank(scientist);
        AgreementId id = agreements.request(keccak256("salt"), terms, cid("offer"), permit);
        note("1 request");

        permit = signedPermit(OWNER_KEY, BOND);
        vm.prank(owner);
        agreements.accept(id, commitment(), permit);
        note("2 accept");

        begin(id);
        note("3 begin");

        (, bytes32[] memory digests) = transcript(id, terms, leafCount(terms));
        for (uint256 group = 0; group < 3; group++) {
            anchorGroup(id, digests, group);
            note(["4 anchor", "5 anchor", "6 anchor"][group]);
        }

        Ending memory end = ending(id, terms);
        vm.prank(owner);
        proof.finish(id, end);
        note("7 finish");

        vm.prank(scientist);
        agreements.acceptResult(id);
        note("8 acceptResult");

        vm.snapshotValue("Job", "whole", total);
        assertState(id, State.Settled);
        vm.assertLe(total, 800_000, "a whole job costs more than 0.8 M gas");
    }

    function test_deployment_costsWhatTheSnapshotSays() public {
        uint256 start = gasleft();
        FitCoin coin = new FitCoin(address(this));
        uint256 afterCoin = gasleft();
        Registry entries = new Registry();
        uint256 afterRegistry = gasleft();
        new Agreements(coin, entries);
        uint256 end = gasleft();

        vm.snapshotValue("Deployment", "1 FitCoin", start - afterCoin);
        vm.snapshotValue("Deployment", "2 Registry", afterCoin - afterRegistry);
        vm.snapshotValue("Deployment", "3 Agreements with ProofOfTrain and Audits", afterRegistry - end);
        vm.snapshotValue("Deployment", "whole", start - end);
        vm.assertLe(start - end, 10_000_000, "a deployment costs more than 10 M gas");
    }

    /// @dev Peaks stand in no slot, so only their calldata and hashing grow. The costliest anchors are those for which
    ///      every peak merges: the ones after 2^n - 1 groups.
    function test_anchor_staysWithin45kForAThousandGroups() public {
        Terms memory terms = defaultTerms();
        terms.steps = 4 * 1024;
        AgreementId id = begun(terms);
        bytes32[] memory peaks;

        for (uint256 groups = 0; groups < 1000; groups++) {
            bytes32 root = keccak256(abi.encode(groups));
            vm.prank(owner);
            proof.anchor(id, peaks, root, cid("note"));
            uint256 used = vm.lastCallGas().gasTotalUsed;
            vm.assertLe(used, 45_000, "an anchor costs more than 45 k gas");
            if (groups == 63) vm.snapshotValue("Anchor", "after 63 groups", used);
            if (groups == 511) vm.snapshotValue("Anchor", "after 511 groups", used);
            peaks = tree.append(peaks, groups, root);
        }
    }

    function anchorGroup(AgreementId id, bytes32[] memory digests, uint256 group) private {
        bytes32[] memory peaks = ReferenceTree.peaks(digests, 0, 2 * group);
        bytes32 root = ReferenceTree.root(digests, 2 * group, 2 * group + 2);
        vm.prank(owner);
        proof.anchor(id, peaks, root, cid("note"));
    }

    function note(string memory step) private {
        uint256 used = vm.lastCallGas().gasTotalUsed;
        total += used;
        vm.snapshotValue("Job", step, used);
    }
}
