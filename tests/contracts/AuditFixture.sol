// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Links} from "../../contracts/libraries/Links.sol";
import {State} from "../../contracts/types/Agreement.sol";
import {Audit, Outcome, Phase} from "../../contracts/types/Audit.sol";
import {AgreementId, AuditId, PanelId, auditIdOf} from "../../contracts/types/Ids.sol";
import {Terms} from "../../contracts/types/Terms.sol";
import {Verifier} from "../../contracts/types/Verifier.sol";
import {Fixture} from "./Fixture.sol";

/// @notice A panel of ten verifiers that have staked, and the steps of an audit as helpers. Unless it is said
///         otherwise the audit is the one of ordinal 0.
abstract contract AuditFixture is Fixture {
    uint256 internal constant STAKE = 5000 ether;
    uint256 internal constant MEMBERS = 10;
    /// Links of a chain that a verifier of the tests can reveal.
    uint256 internal constant CHAIN = 3000;
    bytes32 internal constant TRACE = keccak256("trace");
    bytes32 internal constant SALT = keccak256("salt");

    PanelId internal panel;
    uint32 internal panelNumber;
    address[] internal members;

    function setUp() public virtual override {
        super.setUp();
        panel = registry.createPanel("panel");
        panelNumber = registry.panelNumber(panel);
        for (uint160 i = 0; i < MEMBERS; i++) {
            members.push(address(0xE000 + i));
            enrol(members[i]);
        }
        verifiers.invite(panel, members);
        for (uint256 i = 0; i < MEMBERS; i++) {
            joinPanel(members[i], panel);
            vm.prank(members[i]);
            verifiers.joinPool();
        }
        vm.roll(vm.getBlockNumber() + 1);
    }

    // --- verifiers

    function enrol(address account) internal {
        fit.transfer(account, 2 * STAKE);
        stake(account, STAKE);
    }

    function stake(address account, uint256 amount) internal {
        approve(account, amount, address(verifiers));
        bytes26 link = linkAt(account, audits.opened());
        vm.prank(account);
        verifiers.stake(amount, link, noPermit());
    }

    function joinPanel(address account, PanelId which) internal {
        vm.prank(account);
        verifiers.joinPanel(which);
    }

    /// @dev A new panel of these accounts, which have staked, as it stands from the next block on.
    function panelOf(string memory name, address[] memory accounts) internal returns (PanelId id) {
        id = registry.createPanel(name);
        verifiers.invite(id, accounts);
        for (uint256 i = 0; i < accounts.length; i++) {
            joinPanel(accounts[i], id);
        }
        vm.roll(vm.getBlockNumber() + 1);
    }

    function linkAt(address account, uint256 opening) internal pure returns (bytes26) {
        return Links.before(bytes26(keccak256(abi.encode("end of a chain", account))), CHAIN - opening);
    }

    // --- terms

    function auditedTerms(uint8 count) internal view returns (Terms memory terms) {
        terms = defaultTerms();
        (terms.audit.verifiers, terms.audit.drawnSegments, terms.audit.panel) = (count, 2, panel);
    }

    function disputableTerms(uint8 count) internal view returns (Terms memory terms) {
        terms = auditedTerms(0);
        terms.audit.disputeVerifiers = count;
    }

    // --- audits up to a phase

    function opened(uint8 count) internal returns (AgreementId) {
        return trained(auditedTerms(count));
    }

    function disputed(uint8 count) internal returns (AgreementId id) {
        id = trained(disputableTerms(count));
        dispute(id);
    }

    function drawn(uint8 count) internal returns (AgreementId id) {
        id = opened(count);
        draw(id);
    }

    function joined(uint8 count) internal returns (AgreementId id) {
        id = drawn(count);
        joinAll(id);
    }

    function evident(uint8 count) internal returns (AgreementId id) {
        id = joined(count);
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
        Terms memory terms = termsOf[id];
        approve(scientist, terms.audit.disputeVerifiers * terms.audit.feePerSeat + COUNTER_BOND, address(agreements));
        vm.prank(scientist);
        agreements.dispute(id, terms, noPermit());
    }

    function draw(AgreementId id) internal {
        draw(id, 0);
    }

    function draw(AgreementId id, uint16 ordinal) internal {
        vm.roll(vm.getBlockNumber() + 1);
        audits.draw(id, ordinal, ASKER_NONCE);
    }

    function audit(AgreementId id) internal view returns (Audit memory) {
        return audits.audit(id, 0);
    }

    function key(AgreementId id) internal pure returns (AuditId) {
        return auditIdOf(id, 0);
    }

    function seatOf(AgreementId id, uint256 seat) internal view returns (address) {
        return audits.seated(id, 0)[seat];
    }

    function join(AgreementId id, uint16 ordinal, uint8 seat) internal {
        address account = audits.seated(id, ordinal)[seat];
        bytes26 link = linkAt(account, audits.audit(id, ordinal).opening);
        vm.prank(account);
        audits.join(id, ordinal, seat, link, keccak256("recipient"));
    }

    function join(AgreementId id, uint8 seat) internal {
        join(id, 0, seat);
    }

    function joinAll(AgreementId id, uint16 ordinal) internal {
        Audit memory known = audits.audit(id, ordinal);
        for (uint8 seat = 0; seat < known.seats; seat++) {
            if (known.joined >> seat & 1 == 0) join(id, ordinal, seat);
        }
    }

    function joinAll(AgreementId id) internal {
        joinAll(id, 0);
    }

    function decline(AgreementId id, uint8 seat) internal {
        address account = seatOf(id, seat);
        vm.prank(account);
        audits.decline(id, 0, seat);
    }

    function submit(AgreementId id, uint16 ordinal) internal {
        address by = termsOf[id].owner;
        vm.prank(by);
        audits.submit(id, ordinal, cid("evidence"));
    }

    function submit(AgreementId id) internal {
        submit(id, 0);
    }

    function traceOf(Outcome outcome) internal pure returns (bytes32) {
        return outcome == Outcome.Match || outcome == Outcome.Mismatch ? TRACE : bytes32(0);
    }

    function voteOf(AgreementId id, uint16 ordinal, address account, Outcome outcome, bytes32 trace)
        internal
        view
        returns (bytes32)
    {
        uint256 round = audits.audit(id, ordinal).round;
        return keccak256(abi.encode(auditIdOf(id, ordinal), round, account, outcome, trace, SALT));
    }

    function commit(AgreementId id, uint16 ordinal, uint8 seat, Outcome outcome, bytes32 trace) internal {
        address account = audits.seated(id, ordinal)[seat];
        bytes32 commitment = voteOf(id, ordinal, account, outcome, trace);
        vm.prank(account);
        audits.commit(id, ordinal, seat, commitment);
    }

    function commit(AgreementId id, uint8 seat, Outcome outcome, bytes32 trace) internal {
        commit(id, 0, seat, outcome, trace);
    }

    function commit(AgreementId id, uint8 seat, Outcome outcome) internal {
        commit(id, seat, outcome, traceOf(outcome));
    }

    function commitAll(AgreementId id, Outcome[3] memory outcomes) internal {
        for (uint8 seat = 0; seat < 3; seat++) {
            commit(id, seat, outcomes[seat]);
        }
    }

    function reveal(AgreementId id, uint16 ordinal, uint8 seat, Outcome outcome, bytes32 trace) internal {
        address account = audits.seated(id, ordinal)[seat];
        vm.prank(account);
        audits.reveal(id, ordinal, seat, outcome, trace, SALT);
    }

    function reveal(AgreementId id, uint8 seat, Outcome outcome, bytes32 trace) internal {
        reveal(id, 0, seat, outcome, trace);
    }

    function reveal(AgreementId id, uint8 seat, Outcome outcome) internal {
        reveal(id, seat, outcome, traceOf(outcome));
    }

    /// @dev Commits and reveals three votes.
    function cast(AgreementId id, Outcome[3] memory outcomes) internal {
        commitAll(id, outcomes);
        for (uint8 seat = 0; seat < 3; seat++) {
            reveal(id, seat, outcomes[seat]);
        }
    }

    function vote(AgreementId id, Outcome[3] memory outcomes) internal {
        cast(id, outcomes);
        audits.advance(id, 0);
    }

    /// @dev Every seat of an audit votes the same and the votes are counted.
    function voteAll(AgreementId id, uint16 ordinal, Outcome outcome) internal {
        uint8 count = audits.audit(id, ordinal).seats;
        for (uint8 seat = 0; seat < count; seat++) {
            commit(id, ordinal, seat, outcome, traceOf(outcome));
        }
        for (uint8 seat = 0; seat < count; seat++) {
            reveal(id, ordinal, seat, outcome, traceOf(outcome));
        }
        audits.advance(id, ordinal);
    }

    function release(AgreementId id) internal {
        address by = termsOf[id].owner;
        vm.prank(by);
        audits.release(id, 0, cid("identity"));
    }

    /// @dev A seat releases.
    function releaseBySeat(AgreementId id, uint8 seat) internal {
        address account = seatOf(id, seat);
        vm.prank(account);
        audits.release(id, 0, cid("identity"));
    }

    function complain(AgreementId id) internal {
        vm.prank(scientist);
        audits.complain(id, 0);
    }

    function acceptRelease(AgreementId id) internal {
        vm.prank(scientist);
        audits.acceptRelease(id, 0);
    }

    /// @dev One second beyond the phase's deadline.
    function auditTimesOut(AgreementId id) internal {
        vm.warp(uint256(audit(id).deadline) + 1);
    }

    function advance(AgreementId id) internal {
        audits.advance(id, 0);
    }

    function advanceLate(AgreementId id) internal {
        auditTimesOut(id);
        advance(id);
    }

    // --- what is asked of them

    function verifierOf(address account) internal view returns (Verifier memory) {
        return verifiers.verifier(account);
    }

    function assertPhase(AgreementId id, Phase expected) internal view {
        vm.assertEq(uint256(audit(id).phase), uint256(expected), "the audit stands in another phase");
    }

    function assertVerdict(AgreementId id, Outcome expected) internal view {
        vm.assertEq(uint256(audit(id).verdict), uint256(expected), "the verdict is another");
    }

    function assertStake(address account, uint256 expected) internal view {
        vm.assertEq(uint256(verifierOf(account).stake), expected, "the stake is another");
    }

    function assertEarned(address account, uint256 expected) internal view {
        vm.assertEq(uint256(verifierOf(account).earned), expected, "the verifier earned another amount");
    }

    function assertFree(address account) internal view {
        Verifier memory known = verifierOf(account);
        vm.assertEq(uint256(known.locked), 0, "stake is still reserved");
    }

    /// @dev What an account has and can have.
    function wealth(address account) internal view returns (uint256) {
        Verifier memory known = verifierOf(account);
        return fit.balanceOf(account) + agreements.owed(account) + known.stake + known.earned + known.unbonding;
    }

    /// @dev The contracts hold what they owe, to the last unit, once nothing is locked any more.
    function assertAllPaid() internal view {
        vm.assertEq(
            fit.balanceOf(address(agreements)),
            agreements.owed(owner) + agreements.owed(scientist),
            "Agreements keeps or owes too much"
        );
        uint256 due;
        for (uint256 i = 0; i < members.length; i++) {
            Verifier memory known = verifierOf(members[i]);
            due += uint256(known.stake) + known.earned + known.unbonding;
            vm.assertEq(uint256(known.locked), 0, "stake is still reserved");
        }
        vm.assertEq(fit.balanceOf(address(verifiers)), due, "Verifiers keeps or owes too much");
    }
}
