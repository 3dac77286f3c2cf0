// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IFitCoin} from "../../contracts/interfaces/IFitCoin.sol";
import {IRegistry} from "../../contracts/interfaces/IRegistry.sol";
import {State} from "../../contracts/types/Agreement.sol";
import {Outcome} from "../../contracts/types/Audit.sol";
import {AgreementId, NO_PANEL} from "../../contracts/types/Ids.sol";
import {Ending} from "../../contracts/types/Run.sol";
import {DisclosureMode, Permit, Terms} from "../../contracts/types/Terms.sol";
import {AuditFixture} from "./AuditFixture.sol";
import {Deployment} from "./Deployment.sol";
import {ReferenceTree} from "./ReferenceTree.sol";
import {TreeCaller} from "./TreeCaller.sol";

/// @notice What a job and a deployment cost, as whole transactions. The figures are kept in snapshots/, and `forge
///         test` fails when one changes: `FORGE_SNAPSHOT_CHECK=false forge test --mc GasTest` writes the new ones for
///         review. forge-config: default.isolate = true
contract GasTest is AuditFixture {
    uint256 private total;
    TreeCaller private tree = new TreeCaller();

    function test_job_costsWhatTheSnapshotSays() public {
        AgreementId id = train("Job", disputableTerms(3));

        vm.prank(scientist);
        agreements.acceptResult(id);
        note("Job", "08 acceptResult");

        vm.snapshotValue("Job", "whole", total);
        assertState(id, State.Settled);
        vm.assertLe(total, 800_000, "a whole job costs more than 0.8 M gas");
    }

    /// @dev Public data, verifiers from the whole pool.
    function test_auditedJob_costsWhatTheSnapshotSays() public {
        Terms memory terms = auditedTerms(3);
        (terms.audit.mode, terms.audit.panel) = (DisclosureMode.Open, NO_PANEL);

        auditedJob("AuditedJob", terms);

        vm.assertLe(total, 1_500_000, "an audited job costs more than 1.5 M gas");
    }

    function test_auditedJobOfAPanel_costsWhatTheSnapshotSays() public {
        auditedJob("AuditedJobOfPanel", auditedTerms(3));

        vm.assertLe(total, 1_500_000, "an audited job of a panel costs more than 1.5 M gas");
    }

    /// @dev The fee is divisible by the seats, so that nothing of it is left over.
    function auditedJob(string memory group, Terms memory terms) private {
        terms.audit.fee = 90 ether;
        AgreementId id = train(group, terms);
        draw(id);
        note(group, "08 draw");
        for (uint8 seat = 0; seat < 3; seat++) {
            join(id, seat);
            note(group, ["09 join", "10 join", "11 join"][seat]);
        }
        submit(id);
        note(group, "12 submit");
        for (uint8 seat = 0; seat < 3; seat++) {
            commit(id, seat, Outcome.Match);
            note(group, ["13 commit", "14 commit", "15 commit"][seat]);
        }
        for (uint8 seat = 0; seat < 3; seat++) {
            reveal(id, seat, Outcome.Match);
            note(group, ["16 reveal", "17 reveal", "18 reveal"][seat]);
        }
        release(id);
        note(group, "19 release");

        vm.snapshotValue(group, "whole", total);
        assertState(id, State.Settled);
    }

    function test_draw_ofFiveStaysWithin150k() public {
        AgreementId id = opened(5);

        draw(id);

        uint256 used = vm.lastCallGas().gasTotalUsed;
        vm.snapshotValue("Draw", "five of a panel of ten", used);
        vm.assertLe(used, 150_000, "a draw costs more than 150 k gas");
    }

    function test_deployment_costsWhatTheSnapshotSays() public {
        uint256 start = gasleft();
        IFitCoin coin = Deployment.fitCoin(vm);
        uint256 afterCoin = gasleft();
        IRegistry entries = Deployment.registry(vm);
        uint256 afterRegistry = gasleft();
        Deployment.agreements(vm, coin, entries);
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

    /// @dev A job up to the end of its run.
    function train(string memory group, Terms memory terms) private returns (AgreementId id) {
        uint256 locked = terms.price + (terms.audit.verifiers > 0 ? terms.audit.fee : 0);
        Permit memory permit = signedPermit(SCIENTIST_KEY, locked);
        vm.prank(scientist);
        id = agreements.request(keccak256("salt"), terms, cid("offer"), permit);
        note(group, "01 request");

        permit = signedPermit(OWNER_KEY, BOND);
        vm.prank(owner);
        agreements.accept(id, commitment(), permit);
        note(group, "02 accept");

        begin(id);
        note(group, "03 begin");

        (, bytes32[] memory digests) = transcript(id, terms, leafCount(terms));
        for (uint256 i = 0; i < 3; i++) {
            anchorGroup(id, digests, i);
            note(group, ["04 anchor", "05 anchor", "06 anchor"][i]);
        }

        finish(id, ending(id, terms));
        note(group, "07 finish");
    }

    function anchorGroup(AgreementId id, bytes32[] memory digests, uint256 group) private {
        bytes32[] memory peaks = ReferenceTree.peaks(digests, 0, 2 * group);
        bytes32 root = ReferenceTree.root(digests, 2 * group, 2 * group + 2);
        vm.prank(owner);
        proof.anchor(id, peaks, root, cid("note"));
    }

    function note(string memory group, string memory step) private {
        uint256 used = vm.lastCallGas().gasTotalUsed;
        total += used;
        vm.snapshotValue(group, step, used);
    }
}
