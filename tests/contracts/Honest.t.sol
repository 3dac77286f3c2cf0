// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Audit, Outcome, Phase} from "../../contracts/types/Audit.sol";
import {AgreementId, PanelId} from "../../contracts/types/Ids.sol";
import {Terms} from "../../contracts/types/Terms.sol";
import {AuditFixture} from "./AuditFixture.sol";

/// @notice A verifier that follows the rules never loses stake, whatever the others do, where a quorum of the seats
///         is honest; and it is paid wherever its vote was the verdict.
contract HonestTest is AuditFixture {
    PanelId private mixed;
    address[] private honest;
    address[] private dishonest;
    /// What each seat has committed to.
    mapping(uint8 seat => Outcome) private said;
    mapping(uint8 seat => bytes32) private traces;

    /// @dev Any five seats of ten hold at least three honest ones, any three at least two of three where one is
    ///      dishonest.
    function setUp() public override {
        super.setUp();
        for (uint160 i = 0; i < 10; i++) {
            address account = address(0xC000 + i);
            enrol(account);
            (i < 8 ? honest : dishonest).push(account);
        }
    }

    function panelOfThree() private returns (Terms memory terms) {
        address[] memory five = new address[](5);
        for (uint256 i = 0; i < 4; i++) {
            five[i] = honest[i];
        }
        five[4] = dishonest[0];
        terms = auditedTerms(3);
        terms.audit.panel = panelOf("three", five);
    }

    function panelOfFive() private returns (Terms memory terms) {
        address[] memory ten = new address[](10);
        for (uint256 i = 0; i < 10; i++) {
            ten[i] = i < 8 ? honest[i] : dishonest[i - 8];
        }
        terms = auditedTerms(5);
        terms.audit.panel = panelOf("five", ten);
    }

    function isHonest(address account) private view returns (bool) {
        return account != dishonest[0] && account != dishonest[1];
    }

    /// forge-config: default.fuzz.runs = 1000
    function testFuzz_aVerifierThatFollowsTheRulesNeverLosesStake(uint256 luck, bool five, bool disputed_) public {
        Terms memory terms = five ? panelOfFive() : panelOfThree();
        if (disputed_) (terms.audit.disputeVerifiers, terms.audit.verifiers) = (terms.audit.verifiers, 0);
        AgreementId id = trained(terms);
        if (disputed_) dispute(id);
        draw(id);
        bool cheats = luck & 1 == 1;
        for (uint256 passes = 0; audit(id).phase != Phase.Concluded; passes++) {
            vm.assertLe(passes, 60, "the audit does not end");
            luck = uint256(keccak256(abi.encode(luck)));
            pass(id, luck, cheats);
        }

        for (uint256 i = 0; i < honest.length; i++) {
            assertStake(honest[i], STAKE);
            assertFree(honest[i]);
        }
        for (uint256 i = 0; i < dishonest.length; i++) {
            assertFree(dishonest[i]);
        }
        assertHonestArePaid(id);
    }

    /// @dev Each phase as its parties like it, to its end or to its time-out.
    function pass(AgreementId id, uint256 luck, bool cheats) private {
        Phase phase = audit(id).phase;
        if (phase == Phase.Joining) joinOrNot(id, luck);
        else if (phase == Phase.Evidence && luck % 4 != 0) submit(id);
        else if (phase == Phase.Committing) commitAllSeats(id, luck, cheats);
        else if (phase == Phase.Revealing) revealAllSeats(id, luck);
        else if (phase == Phase.Matched) release(id);
        if (audit(id).phase != phase) return;
        auditTimesOut(id);
        if (phase == Phase.Waiting) audits.draw(id, 0, 0);
        else advance(id);
    }

    function joinOrNot(AgreementId id, uint256 luck) private {
        uint8 count = audit(id).seats;
        for (uint8 seat = 0; seat < count; seat++) {
            address account = seatOf(id, seat);
            bool isOpen = audit(id).phase == Phase.Joining && audit(id).joined >> seat & 1 == 0;
            if (!isOpen || account == address(0)) continue;
            uint256 own = luck >> (8 * seat) & 0xff;
            if (isHonest(account) || own % 3 == 0) join(id, seat);
            else if (own % 3 == 1) decline(id, seat);
        }
    }

    function commitAllSeats(AgreementId id, uint256 luck, bool cheats) private {
        Audit memory known = audit(id);
        for (uint8 seat = 0; seat < known.seats; seat++) {
            if (known.joined >> seat & 1 == 0) continue;
            uint256 own = luck >> (8 * seat) & 0xff;
            if (isHonest(seatOf(id, seat))) {
                // One honest verifier in sixteen finds nothing that it could replay.
                bool blind = own % 16 == 0;
                (said[seat], traces[seat]) =
                    blind ? (Outcome.Withheld, bytes32(0)) : (cheats ? Outcome.Mismatch : Outcome.Match, TRACE);
            } else {
                said[seat] = Outcome(own % 4 + 1);
                bool isReplay = said[seat] == Outcome.Match || said[seat] == Outcome.Mismatch;
                traces[seat] = isReplay ? (own & 16 == 0 ? TRACE : bytes32("invented")) : bytes32(0);
                if (own & 96 == 0) continue;
            }
            commit(id, seat, said[seat], traces[seat]);
        }
    }

    function revealAllSeats(AgreementId id, uint256 luck) private {
        Audit memory known = audit(id);
        for (uint8 seat = 0; seat < known.seats; seat++) {
            if (known.committed >> seat & 1 == 0) continue;
            if (!isHonest(seatOf(id, seat)) && luck >> (8 * seat) & 3 == 0) continue;
            reveal(id, seat, said[seat], traces[seat]);
        }
    }

    /// @dev With a verdict by votes a quorum was paid, once each; else nobody was.
    function assertHonestArePaid(AgreementId id) private view {
        uint256 paid;
        for (uint256 i = 0; i < honest.length; i++) {
            uint256 earned = verifierOf(honest[i]).earned;
            vm.assertTrue(earned == 0 || earned == FEE, "a seat is paid otherwise than once");
            if (earned == FEE) paid++;
        }
        Outcome verdict = audit(id).verdict;
        if (verdict != Outcome.Match && verdict != Outcome.Mismatch) {
            vm.assertEq(paid, 0, "somebody is paid without a quorum");
        } else {
            uint256 rest = audit(id).seats == 5 ? 1 : 1;
            vm.assertGe(paid + dishonestPaid(), uint256(audit(id).seats) / 2 + rest, "a quorum is not paid");
        }
    }

    function dishonestPaid() private view returns (uint256 paid) {
        for (uint256 i = 0; i < dishonest.length; i++) {
            if (verifierOf(dishonest[i]).earned > 0) paid++;
        }
    }
}
