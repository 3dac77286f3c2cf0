// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IVerifiers} from "../../contracts/interfaces/IVerifiers.sol";
import {Phase, SeatSettlement} from "../../contracts/types/Audit.sol";
import {CallerIsNotAudits} from "../../contracts/types/Errors.sol";
import {AgreementId, PanelId} from "../../contracts/types/Ids.sol";
import {Permit} from "../../contracts/types/Terms.sol";
import {Verifier} from "../../contracts/types/Verifier.sol";
import {AuditFixture} from "./AuditFixture.sol";

/// @notice A verifier's money and its hash chain.
contract StakeTest is AuditFixture {
    /// Where Verifiers counts its verifiers.
    bytes32 private constant COUNT_SLOT = bytes32(uint256(2));

    address private account;

    function setUp() public override {
        super.setUp();
        account = members[0];
    }

    function by(address who) private {
        vm.prank(who);
    }

    // --- stake

    function test_stake_numbersVerifiersFromOne() public view {
        for (uint32 i = 0; i < MEMBERS; i++) {
            vm.assertEq(verifiers.numberOf(members[i]), i + 1, "the number is another");
        }
        uint32[] memory numbers = new uint32[](2);
        (numbers[0], numbers[1]) = (0, 3);
        address[] memory accounts = verifiers.accountsOf(numbers);
        vm.assertEq(accounts[0], address(0), "0 is somebody");
        vm.assertEq(accounts[1], members[2], "3 is another");
    }

    function test_stake_addsUp() public {
        approve(account, 7, address(verifiers));
        vm.expectEmit(address(verifiers));
        emit IVerifiers.Staked(account, 1, 7);
        by(account);
        verifiers.stake(7, 0, noPermit());

        assertStake(account, STAKE + 7);
        vm.assertEq(verifierOf(account).link, linkAt(account, 0), "the chain changed");
    }

    /// @dev Numbers have 31 bits in an entry of a place; how many are given is written where the contract keeps it.
    function test_stake_givesTheLastNumberAndNoneBeyond() public {
        vm.store(address(verifiers), COUNT_SLOT, bytes32(uint256(2 ** 31 - 2)));
        stake(stranger, 0);
        vm.assertEq(verifiers.numberOf(stranger), 2 ** 31 - 1, "it has another number than the last");

        vm.expectRevert(abi.encodeWithSelector(IVerifiers.PanelIsFull.selector, 0, 2 ** 31 - 1));
        verifiers.stake(0, "link", noPermit());
    }

    function test_stake_takesAPermit() public {
        Permit memory permit = signedPermit(OWNER_KEY, 5 ether, address(verifiers));
        by(owner);
        verifiers.stake(5 ether, "link", permit);

        assertStake(owner, 5 ether);
    }

    function test_stake_needsAChainTheFirstTime() public {
        vm.expectRevert(IVerifiers.LinkIsZero.selector);
        by(stranger);
        verifiers.stake(0, 0, noPermit());
    }

    function test_stake_ofNothingMakesAVerifier() public {
        by(stranger);
        verifiers.stake(0, "link", noPermit());

        vm.assertEq(verifiers.numberOf(stranger), MEMBERS + 1, "it has no number");
    }

    // --- leaving

    function test_unstake_leavesAfterTheUnbondingTime() public {
        by(account);
        verifiers.leavePool();
        uint256 before = fit.balanceOf(account);
        vm.expectEmit(address(verifiers));
        emit IVerifiers.Unstaked(account, STAKE, block.timestamp + 21 days);
        by(account);
        verifiers.unstake(STAKE);
        assertStake(account, 0);

        vm.warp(block.timestamp + 21 days - 1);
        vm.expectRevert(abi.encodeWithSelector(IVerifiers.NothingToWithdraw.selector, account));
        by(account);
        verifiers.withdraw();
        vm.warp(block.timestamp + 1);
        vm.expectEmit(address(verifiers));
        emit IVerifiers.Withdrawn(account, 0, STAKE);
        by(account);
        verifiers.withdraw();

        vm.assertEq(fit.balanceOf(account) - before, STAKE, "another amount was paid");
    }

    /// @dev Mutation: what was paid is leaving still.
    function test_withdraw_paysStakeThatLeftOnce() public {
        by(account);
        verifiers.unstake(1 ether);
        vm.warp(block.timestamp + 21 days);
        by(account);
        verifiers.withdraw();

        vm.assertEq(verifierOf(account).unbonding, 0, "it is leaving still");
        vm.expectRevert(abi.encodeWithSelector(IVerifiers.NothingToWithdraw.selector, account));
        by(account);
        verifiers.withdraw();
    }

    /// @dev Mutation: what is leaving is forgotten where fees alone are paid.
    function test_withdraw_ofFeesLeavesTheStakeThatIsLeaving() public {
        address seated = seatOf(matchedAndReleased(), 0);
        by(seated);
        verifiers.unstake(1 ether);
        vm.expectEmit(address(verifiers));
        emit IVerifiers.Withdrawn(seated, FEE, 0);
        by(seated);
        verifiers.withdraw();

        vm.assertEq(verifierOf(seated).unbonding, 1 ether, "another amount is leaving");
    }

    function matchedAndReleased() private returns (AgreementId id) {
        id = matched();
        release(id);
        acceptRelease(id);
    }

    function test_unstake_beginsAnewForWhatWasLeavingBefore() public {
        by(account);
        verifiers.unstake(1 ether);
        vm.warp(block.timestamp + 20 days);
        by(account);
        verifiers.unstake(2 ether);

        Verifier memory known = verifierOf(account);
        vm.assertEq(known.unbonding, 3 ether, "another amount is leaving");
        vm.assertEq(known.unbonded, block.timestamp + 21 days, "the time did not begin anew");
    }

    function test_unstake_refusesMoreThanIsFree() public {
        AgreementId id = joined(3);
        address seated = seatOf(id, 0);

        vm.expectRevert(
            abi.encodeWithSelector(IVerifiers.StakeTooSmall.selector, STAKE - SEAT_STAKE, STAKE - SEAT_STAKE + 1)
        );
        by(seated);
        verifiers.unstake(STAKE - SEAT_STAKE + 1);
    }

    function test_unstake_refusesWhatHoldsAPlaceInThePool() public {
        uint256 unit = verifiers.poolStake();
        vm.expectRevert(abi.encodeWithSelector(IVerifiers.PoolNeedsStake.selector, unit - 1, unit));
        by(account);
        verifiers.unstake(STAKE - 1000 ether + 1);

        by(account);
        verifiers.unstake(STAKE - 1000 ether);
    }

    function test_verifiersCalls_refuseWhoNeverStaked() public {
        bytes memory reason = abi.encodeWithSelector(IVerifiers.NotAVerifier.selector, stranger);
        PanelId which = panel;

        vm.expectRevert(reason);
        by(stranger);
        verifiers.unstake(0);
        vm.expectRevert(reason);
        by(stranger);
        verifiers.withdraw();
        vm.expectRevert(reason);
        by(stranger);
        verifiers.present();
        vm.expectRevert(reason);
        by(stranger);
        verifiers.joinPool();
        vm.expectRevert(reason);
        by(stranger);
        verifiers.joinPanel(which);
        vm.expectRevert(reason);
        by(stranger);
        verifiers.renewChain("link");
    }

    // --- the chain

    function test_renewChain_countsForLaterOpenings() public {
        AgreementId id = drawn(3);
        address seated = seatOf(id, 0);
        bytes26 link = linkAt(seated, 0);
        vm.expectEmit(address(verifiers));
        emit IVerifiers.ChainRenewed(seated, link, 1);
        by(seated);
        verifiers.renewChain(link);

        bytes26 next = linkAt(seated, 1);
        vm.expectRevert(abi.encodeWithSelector(IVerifiers.ChainIsYounger.selector, 1, 1));
        by(seated);
        audits.join(id, 0, 0, next, "recipient");
    }

    function test_renewChain_refusesNothing() public {
        vm.expectRevert(IVerifiers.LinkIsZero.selector);
        by(account);
        verifiers.renewChain(0);
    }

    function test_engage_takesTheLinkOfItsOpeningAndNoOther() public {
        AgreementId id = opened(3);
        for (uint256 i = 0; i < 4; i++) {
            trained(bytes32(i), auditedTerms(3), scientist);
        }
        draw(id);
        address seated = seatOf(id, 0);
        for (uint256 opening = 0; opening < 6; opening++) {
            if (opening == 1) continue;
            bytes26 wrong = linkAt(seated, opening);
            vm.expectPartialRevert(IVerifiers.LinkDiffers.selector);
            by(seated);
            audits.join(id, 0, 0, wrong, "recipient");
        }

        join(id, 0);

        vm.assertEq(verifierOf(seated).link, linkAt(seated, 1), "the link is not kept");
        vm.assertEq(verifierOf(seated).position, 1, "its opening is not kept");
    }

    /// @dev In whatever order a verifier joins its audits, each takes the link of its own opening.
    function test_engage_doesNotDependOnTheOrderOfJoining() public {
        AgreementId[3] memory ids;
        for (uint256 i = 0; i < 3; i++) {
            ids[i] = trained(bytes32(i), auditedTerms(5), scientist);
        }
        for (uint256 i = 0; i < 3; i++) {
            draw(ids[i]);
        }
        for (uint256 i = 3; i > 0; i--) {
            joinAll(ids[i - 1]);
        }

        vm.assertTrue(verifierOf(seatOf(ids[0], 0)).locked > 0, "nobody joined");
    }

    function test_engage_refusesAChainThatIsTooFarBehind() public {
        AgreementId id = drawn(3);
        bytes memory code = address(audits).code;
        vm.assertTrue(code.length > 0, "no audits");
        address seated = seatOf(id, 0);
        uint32 number = verifiers.numberOf(seated);
        bytes26 link = linkAt(seated, 1);

        vm.expectRevert(abi.encodeWithSelector(IVerifiers.ChainTooFarBehind.selector, 4097, 4096));
        by(address(audits));
        verifiers.engage(number, seated, 0, 4097, link);
        vm.expectPartialRevert(IVerifiers.LinkDiffers.selector);
        by(address(audits));
        verifiers.engage(number, seated, 0, 4096, link);
    }

    // --- as Audits says

    function test_engage_reservesAndSettleFrees() public {
        AgreementId id = joined(3);
        address seated = seatOf(id, 0);
        Verifier memory known = verifierOf(seated);
        vm.assertEq(known.locked, SEAT_STAKE, "the seat's stake is not reserved");
        assertStake(seated, STAKE);

        submit(id);
        advanceLate(id);
        for (uint256 i = 0; i < 3; i++) {
            advanceLate(id); // nobody votes
            if (audit(id).phase == Phase.Concluded) break;
        }

        vm.assertTrue(verifierOf(seated).locked <= SEAT_STAKE, "more is reserved");
    }

    function test_auditsCalls_refuseAnybodyElse() public {
        bytes memory reason = abi.encodeWithSelector(CallerIsNotAudits.selector, account, address(audits));

        vm.expectRevert(reason);
        by(account);
        verifiers.engage(1, account, 0, 1, "link");
        vm.expectRevert(reason);
        by(account);
        verifiers.settle(new SeatSettlement[](0));
        vm.expectRevert(reason);
        by(account);
        verifiers.dismiss(1);
    }

    function test_present_bringsBackWhoWasAway() public {
        AgreementId id = drawn(3);
        address silent = seatOf(id, 0);
        vm.expectRevert(abi.encodeWithSelector(IVerifiers.NotAway.selector, silent));
        by(silent);
        verifiers.present();
        auditTimesOut(id);
        vm.expectEmit(address(verifiers));
        emit IVerifiers.WentAway(silent);
        advance(id);
        vm.assertTrue(verifierOf(silent).away, "who was silent is there");

        vm.expectEmit(address(verifiers));
        emit IVerifiers.CameBack(silent);
        by(silent);
        verifiers.present();

        vm.assertTrue(!verifierOf(silent).away, "who came back is away");
        assertStake(silent, STAKE);
    }

    /// @dev Whatever somebody lets lie, a settlement does not fail for it. Mutation: `earned` no wider than a seat's
    ///      fee.
    function test_settle_creditsAllFeesThatThereCanBe() public {
        uint32 number = verifiers.numberOf(account);
        SeatSettlement[] memory seats = new SeatSettlement[](1);
        seats[0] = SeatSettlement({number: number, unlocked: 0, lost: 0, earned: type(uint80).max});
        for (uint256 sum = 0; sum < 1e9 ether; sum += type(uint80).max) {
            by(address(audits));
            verifiers.settle(seats);
        }

        vm.assertGe(verifierOf(account).earned, 1e9 ether, "fees were lost");
    }
}
