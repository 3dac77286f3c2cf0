// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Contracts, IDirectory} from "../../contracts/interfaces/IDirectory.sol";
import {Lanes} from "../../contracts/libraries/Lanes.sol";
import {State} from "../../contracts/types/Agreement.sol";
import {Outcome} from "../../contracts/types/Audit.sol";
import {AgreementId, NO_PANEL, PanelId} from "../../contracts/types/Ids.sol";
import {Ending} from "../../contracts/types/Run.sol";
import {DisclosureMode, Permit, Terms} from "../../contracts/types/Terms.sol";
import {AuditFixture} from "./AuditFixture.sol";
import {Deployment} from "./Deployment.sol";
import {History} from "./History.sol";
import {ReferenceTree} from "./ReferenceTree.sol";
import {TreeCaller} from "./TreeCaller.sol";

/// @notice What a job and a deployment cost, as whole transactions. The figures are kept in snapshots/, and `forge
///         test` fails when one changes: `FORGE_SNAPSHOT_CHECK=false forge test --mc GasTest` writes the new ones for
///         review. forge-config: default.isolate = true
contract GasTest is AuditFixture {
    uint256 private constant JOB_LIMIT = 750_000;
    /// @dev Of it 0.25 M are the three `join`s: each reserves a seat's stake and reveals a link, which protocol 1 did
    ///      not.
    uint256 private constant AUDITED_JOB_LIMIT = 1_550_000;
    uint256 private constant DEPLOYMENT_LIMIT = 16_500_000;

    uint256 private total;
    uint256 private transactions;
    TreeCaller private tree = new TreeCaller();

    /// @dev A deployment in use: another job, of other parties, was audited before and nobody withdrew.
    function setUp() public override {
        super.setUp();
        address other = address(0x07E8);
        fit.transfer(other, 1e4 ether);
        AgreementId id = trained("before", auditedTerms(3), other);
        vm.roll(vm.getBlockNumber() + 26);
        audits.draw(id, 0, 0);
    }

    function test_job_costsWhatTheSnapshotSays() public {
        AgreementId id = train("Job", disputableTerms(3));

        vm.prank(scientist);
        agreements.acceptResult(id);
        note("Job", "08 acceptResult");

        vm.snapshotValue("Job", "whole", total);
        assertState(id, State.Settled);
        vm.assertEq(transactions, 8, "a job takes another number of transactions");
        vm.assertLe(total, JOB_LIMIT, "a whole job costs more than it should");
    }

    /// @dev Public data, verifiers from the whole pool.
    function test_auditedJob_costsWhatTheSnapshotSays() public {
        Terms memory terms = auditedTerms(3);
        (terms.audit.mode, terms.audit.panel) = (DisclosureMode.Open, NO_PANEL);

        auditedJob("AuditedJob", terms);

        vm.assertLe(total, AUDITED_JOB_LIMIT, "an audited job costs more than it should");
    }

    function test_auditedJobOfAPanel_costsWhatTheSnapshotSays() public {
        auditedJob("AuditedJobOfPanel", auditedTerms(3));

        vm.assertLe(total, AUDITED_JOB_LIMIT, "an audited job of a panel costs more than it should");
    }

    function auditedJob(string memory group, Terms memory terms) private {
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
        acceptRelease(id);
        note(group, "20 acceptRelease");

        vm.snapshotValue(group, "whole", total);
        assertState(id, State.Settled);
        vm.assertEq(transactions, 20, "an audited job takes another number of transactions");
    }

    /// @dev The same acceptance, on a dataset with a privacy ledger and without, once each account's slots are written.
    ///      A charge calls the registry (2,600), reads budget and spent (4,200) and writes spent (2,900); all else
    ///      together, the lanes too, takes 1,300.
    function test_accept_thatChargesALedgerCostsTwelveThousandMoreAtMost() public {
        (Terms memory plain, Terms memory charged) = (defaultTerms(), defaultTerms());
        acceptance("before", plain);
        uint256 without = acceptance("plain", plain);
        vm.prank(owner);
        registry.openLedger(100 * Lanes.ONE_EACH);
        vm.prank(owner);
        charged.dataset = registry.registerDataset("private", 10, 1, cid("private"));
        (charged.datasetRoot, charged.charge) = ("private", Lanes.ONE_EACH);

        acceptance("before, charged", charged);
        uint256 with = acceptance("charged", charged);

        vm.snapshotValue("Ledger", "acceptance that charges nothing", without);
        vm.snapshotValue("Ledger", "acceptance that charges a ledger", with);
        vm.assertTrue(with > without, "a charge costs nothing");
        vm.snapshotValue("Ledger", "what a charge adds", with - without);
        vm.assertLe(with - without, 12_000, "a charge costs more than it should");
    }

    function acceptance(bytes32 salt, Terms memory terms) private returns (uint256) {
        accept(requested(salt, terms));
        return vm.lastCallGas().gasTotalUsed;
    }

    function test_draw_ofFiveOfTenStaysWithinItsLimit() public {
        AgreementId id = opened(5);

        draw(id);

        uint256 used = vm.lastCallGas().gasTotalUsed;
        vm.snapshotValue("Draw", "five of a panel of ten", used);
        vm.assertLe(used, 170_000, "a draw costs more than 170 k gas");
    }

    /// @dev Of a hundred that stood at the request three in four left: the seats look at what is left of their places.
    function test_draw_ofFiveWhereThreeInFourLeft() public {
        AgreementId id = openedWithLeavers(75, 56);

        draw(id);

        uint256 used = vm.lastCallGas().gasTotalUsed;
        vm.snapshotValue("Draw", "five of a panel of 75 of whom 56 left", used);
        for (uint256 seat = 0; seat < 5; seat++) {
            vm.assertTrue(seatOf(id, seat) != address(0), "a seat found nobody");
        }
    }

    /// @dev Nobody can be found: all 75 places are looked at.
    function test_draw_ofFiveThatLooksAtSeventyFivePlaces() public {
        AgreementId id = openedWithLeavers(75, 75);

        draw(id);

        uint256 used = vm.lastCallGas().gasTotalUsed;
        vm.snapshotValue("Draw", "five of a panel of 75 who all left", used);
        vm.assertEq(audits.seats(id, 0)[0] >> 240, 75, "not every place was looked at");
        vm.assertEq(audits.seats(id, 0)[0] >> 32 & 0xffff, 15, "a seat did not look at all of its places");
    }

    function openedWithLeavers(uint160 count, uint256 leavers) private returns (AgreementId id) {
        address[] memory accounts = new address[](count);
        for (uint160 i = 0; i < count; i++) {
            accounts[i] = address(0xF0000 + i);
            stake(accounts[i], 0);
        }
        PanelId many = panelOf("many", accounts);
        Terms memory terms = auditedTerms(5);
        terms.audit.panel = many;
        id = trained(terms);
        vm.roll(vm.getBlockNumber() + 1); // the block of the opening
        for (uint256 i = 0; i < leavers; i++) {
            vm.prank(accounts[i]);
            verifiers.leavePanel(many);
        }
    }

    /// @dev Through the factory, as pods deploy: creation, and the floor of a transaction that carries its code.
    function test_deployment_costsWhatTheSnapshotSays() public {
        History.remember(block.number - 1, blockhash(block.number - 1));
        bytes32 salt = "another";
        IDirectory list = IDirectory(deploy("1 Directory", Deployment.code("Directory", abi.encode(this)), salt));
        list.fill(Deployment.contracts(list, salt));
        note("Deployment", "2 Directory.fill");
        bytes[6] memory codes = Deployment.codes(list);
        string[6] memory names =
            ["3 FitCoin", "4 Registry", "5 Verifiers", "6 Agreements", "7 ProofOfTrain", "8 Audits"];
        for (uint256 i = 0; i < 6; i++) {
            address made = deploy(names[i], codes[i], salt);
            vm.assertLe(made.code.length, 20_000, "a contract has more than 20 kB");
        }

        vm.snapshotValue("Deployment", "whole", total);
        vm.assertLe(total, DEPLOYMENT_LIMIT, "a deployment costs more than it should");
    }

    function deploy(string memory name, bytes memory creation, bytes32 salt) private returns (address made) {
        uint256 before = gasleft();
        made = Deployment.create(creation, salt);
        uint256 used = before - gasleft() + 21_000;
        for (uint256 i = 0; i < creation.length; i++) {
            used += creation[i] == 0 ? 4 : 16;
        }
        total += used;
        vm.snapshotValue("Deployment", name, used);
    }

    /// @dev Peaks stand in no slot, so only their calldata and hashing grow. The costliest anchors are those for which
    ///      every peak merges: the ones after 2^n - 1 groups.
    function test_anchor_staysWithinOneAndAHalfOfItsBytes() public {
        Terms memory terms = defaultTerms();
        terms.steps = 4 * 1024;
        AgreementId id = begun(terms);
        bytes32[] memory peaks;

        for (uint256 groups = 0; groups < 1000; groups++) {
            bytes32 root = keccak256(abi.encode(groups));
            vm.prank(owner);
            proof.anchor(id, runSeed[id], peaks, root, cid("note"));
            uint256 used = vm.lastCallGas().gasTotalUsed;
            uint256 floor = floorOf(abi.encodeCall(proof.anchor, (id, runSeed[id], peaks, root, cid("note"))));
            vm.assertLe(used * 2, floor * 3, "an anchor costs more than 1.5 times the floor of its bytes");
            if (groups == 0) vm.snapshotValue("Anchor", "first", used);
            if (groups == 63) vm.snapshotValue("Anchor", "after 63 groups", used);
            if (groups == 511) vm.snapshotValue("Anchor", "after 511 groups", used);
            if (groups == 511) vm.snapshotValue("Anchor", "after 511 groups, floor of its bytes", floor);
            peaks = tree.append(peaks, groups, root);
        }
    }

    /// @dev EIP-7623: 21,000 and 10 for each token, a zero byte being one and any other four.
    function floorOf(bytes memory data) private pure returns (uint256 floor) {
        floor = 21_000;
        for (uint256 i = 0; i < data.length; i++) {
            floor += data[i] == 0 ? 10 : 40;
        }
    }

    /// @dev A job up to the end of its run.
    function train(string memory group, Terms memory terms) private returns (AgreementId id) {
        Permit memory permit = signedPermit(SCIENTIST_KEY, terms.price + feesOf(terms));
        vm.prank(scientist);
        id = agreements.request(keccak256("salt"), terms, cid("offer"), permit);
        note(group, "01 request");
        termsOf[id] = terms;

        permit = signedPermit(OWNER_KEY, BOND);
        vm.prank(owner);
        agreements.accept(id, terms, keyCommitment(), permit);
        note(group, "02 accept");

        vm.roll(vm.getBlockNumber() + 1);
        vm.prank(owner);
        proof.begin(id, terms, NONCE, NOISE_ROOT);
        note(group, "03 begin");
        runSeed[id] = proof.run(id).seed;

        (, bytes32[] memory digests) = transcript(id, leafCount(terms));
        for (uint256 i = 0; i < 3; i++) {
            anchorGroup(id, digests, i);
            note(group, ["04 anchor", "05 anchor", "06 anchor"][i]);
        }

        finish(id, ending(id));
        note(group, "07 finish");
    }

    function anchorGroup(AgreementId id, bytes32[] memory digests, uint256 group) private {
        bytes32[] memory peaks = ReferenceTree.peaks(digests, 0, 2 * group);
        bytes32 root = ReferenceTree.root(digests, 2 * group, 2 * group + 2);
        vm.prank(owner);
        proof.anchor(id, runSeed[id], peaks, root, cid("note"));
    }

    function note(string memory group, string memory step) private {
        uint256 used = vm.lastCallGas().gasTotalUsed;
        total += used;
        transactions++;
        vm.snapshotValue(group, step, used);
    }
}
