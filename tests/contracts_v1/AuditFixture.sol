// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IAudits} from "../../contracts/interfaces/IAudits.sol";
import {Audit, Outcome, Phase} from "../../contracts/types/Audit.sol";
import {AgreementId, PanelId} from "../../contracts/types/Ids.sol";
import {AuditTerms, DisclosureMode, Terms} from "../../contracts/types/Terms.sol";
import {Fixture} from "./Fixture.sol";

/// @notice A panel of ten verifiers that have staked, and the steps of an audit as helpers.
abstract contract AuditFixture is Fixture {
    uint128 internal constant FEE = 90 ether + 2;
    uint128 internal constant COUNTER_BOND = 50 ether + 1;
    uint32 internal constant WINDOW = 1 hours;
    uint256 internal constant STAKE = 1000 ether;
    uint256 internal constant MEMBERS = 10;
    bytes32 internal constant TRACE = keccak256("trace");
    bytes32 internal constant SALT = keccak256("salt");

    IAudits internal audits;
    PanelId internal panel;
    address[] internal members;

    function setUp() public virtual override {
        super.setUp();
        audits = agreements.audits();
        for (uint160 i = 0; i < MEMBERS; i++) {
            members.push(address(0xE000 + i));
            fit.transfer(members[i], 10 * STAKE);
            stake(members[i]);
        }
        panel = registry.createPanel("panel", members);
        vm.roll(block.number + 1);
    }

    function stake(address account) internal {
        vm.prank(account);
        fit.approve(address(audits), STAKE);
        vm.prank(account);
        audits.stake(noPermit());
    }

    // --- terms

    function auditedTerms(uint8 verifiers) internal view returns (Terms memory terms) {
        terms = defaultTerms();
        terms.audit = AuditTerms(2, verifiers, 0, DisclosureMode.Sampled, panel, WINDOW, FEE, COUNTER_BOND);
    }

    function disputableTerms(uint8 verifiers) internal view returns (Terms memory terms) {
        terms = auditedTerms(0);
        terms.audit.disputeVerifiers = verifiers;
    }

    function feePerSeat(uint256 seats) internal pure returns (uint256) {
        return FEE / seats;
    }

    // --- audits up to a phase

    function opened(uint8 verifiers) internal returns (AgreementId) {
        return trained(auditedTerms(verifiers));
    }

    function disputed(uint8 verifiers) internal returns (AgreementId id) {
        id = trained(disputableTerms(verifiers));
        dispute(id);
    }

    function drawn(uint8 verifiers) internal returns (AgreementId id) {
        id = opened(verifiers);
        draw(id);
    }

    function joined(uint8 verifiers) internal returns (AgreementId id) {
        id = drawn(verifiers);
        joinAll(id);
    }

    function evident(uint8 verifiers) internal returns (AgreementId id) {
        id = joined(verifiers);
        submit(id);
    }

    /// @dev Three seats whose commitments stand; each reveals with `reveal`.
    function committed(Outcome[3] memory outcomes) internal returns (AgreementId id) {
        id = evident(3);
        commitAll(id, outcomes);
    }

    /// @dev Three revealed votes that nobody has counted yet.
    function revealed(Outcome[3] memory outcomes) internal returns (AgreementId id) {
        id = evident(3);
        cast(id, outcomes);
    }

    function matched() internal returns (AgreementId id) {
        id = evident(3);
        vote(id, [Outcome.Match, Outcome.Match, Outcome.Match]);
    }

    // --- steps

    function dispute(AgreementId id) internal {
        vm.prank(scientist);
        fit.approve(address(agreements), FEE + COUNTER_BOND);
        vm.prank(scientist);
        agreements.dispute(id, noPermit());
    }

    function draw(AgreementId id) internal {
        vm.roll(block.number + 1);
        audits.draw(id);
    }

    function seatOf(AgreementId id, uint256 seat) internal view returns (address) {
        return audits.seated(id)[seat];
    }

    function join(AgreementId id, uint8 seat) internal {
        address account = seatOf(id, seat);
        vm.prank(account);
        audits.join(id, seat, keccak256("recipient"));
    }

    function joinAll(AgreementId id) internal {
        for (uint8 seat = 0; seat < audits.audit(id).seats; seat++) {
            join(id, seat);
        }
    }

    function decline(AgreementId id, uint8 seat) internal {
        address account = seatOf(id, seat);
        vm.prank(account);
        audits.decline(id, seat);
    }

    function submit(AgreementId id) internal {
        vm.prank(owner);
        audits.submit(id, cid("evidence"));
    }

    function traceOf(Outcome outcome) internal pure returns (bytes32) {
        return outcome == Outcome.Match || outcome == Outcome.Mismatch ? TRACE : bytes32(0);
    }

    function commitment(AgreementId id, address voter, Outcome outcome) internal view returns (bytes32) {
        return keccak256(abi.encode(id, uint256(audits.audit(id).round), voter, outcome, traceOf(outcome), SALT));
    }

    function commit(AgreementId id, uint8 seat, Outcome outcome) internal {
        address account = seatOf(id, seat);
        bytes32 hash = commitment(id, account, outcome);
        vm.prank(account);
        audits.commit(id, seat, hash);
    }

    function commitAll(AgreementId id, Outcome[3] memory outcomes) internal {
        for (uint8 seat = 0; seat < 3; seat++) {
            commit(id, seat, outcomes[seat]);
        }
    }

    function reveal(AgreementId id, uint8 seat, Outcome outcome) internal {
        revealAs(seatOf(id, seat), id, seat, outcome);
    }

    function revealAs(address account, AgreementId id, uint8 seat, Outcome outcome) internal {
        vm.prank(account);
        audits.reveal(id, seat, outcome, traceOf(outcome), SALT);
    }

    /// @dev All three votes, committed and revealed, and not yet counted.
    function cast(AgreementId id, Outcome[3] memory outcomes) internal {
        commitAll(id, outcomes);
        for (uint8 seat = 0; seat < 3; seat++) {
            reveal(id, seat, outcomes[seat]);
        }
    }

    function vote(AgreementId id, Outcome[3] memory outcomes) internal {
        cast(id, outcomes);
        audits.advance(id);
    }

    function release(AgreementId id) internal {
        vm.prank(owner);
        audits.release(id, cid("key"));
    }

    /// @dev One second beyond the phase's deadline, and on.
    function advanceLate(AgreementId id) internal {
        auditTimesOut(id);
        audits.advance(id);
    }

    function auditTimesOut(AgreementId id) internal {
        vm.warp(uint256(audits.audit(id).deadline) + 1);
        vm.roll(block.number + 1);
    }

    // --- what is asked of them

    function assertPhase(AgreementId id, Phase expected) internal view {
        vm.assertEq(uint256(audits.audit(id).phase), uint256(expected), "the audit is in another phase");
    }

    function assertVerdict(AgreementId id, Outcome expected) internal view {
        vm.assertEq(uint256(audits.audit(id).verdict), uint256(expected), "the verdict is another");
    }

    function assertEarned(address account, uint256 expected) internal view {
        vm.assertEq(audits.verifier(account).earned, expected, "the verifier earned another amount");
    }

    function assertStake(address account, uint256 expected) internal view {
        vm.assertEq(audits.verifier(account).stake, expected, "the verifier's stake is another");
    }

    /// @dev Audits holds the stakes and fees of all members, to the last unit.
    function assertBalanced() internal view {
        uint256 sum;
        for (uint256 i = 0; i < audits.poolLength(); i++) {
            address account = audits.poolMember(i);
            sum += uint256(audits.verifier(account).stake) + audits.verifier(account).earned;
        }
        vm.assertEq(fit.balanceOf(address(audits)), sum, "Audits holds more or less than stakes and fees");
    }
}
