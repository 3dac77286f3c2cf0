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

/// @notice What a job and a deployment cost, as whole transactions. The figures are kept in snapshots/, and `forge test`
///         fails when one changes: `FORGE_SNAPSHOT_CHECK=false forge test --mc GasTest` writes the new ones for review.
/// forge-config: default.isolate = true
contract GasTest is Fixture {
    uint256 private total;

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
