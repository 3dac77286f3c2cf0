// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IVerifiers} from "../../contracts/interfaces/IVerifiers.sol";
import {Jury} from "../../contracts/types/Audit.sol";
import {PanelId} from "../../contracts/types/Ids.sol";
import {Membership} from "../../contracts/types/Verifier.sol";
import {AuditFixture} from "./AuditFixture.sol";

/// @notice Who stands in a panel or the pool, now and as it was at an earlier request.
contract PlacesTest is AuditFixture {
    uint256 private constant MANY = 24;
    /// Where Verifiers keeps its panels.
    uint256 private constant TABLES_SLOT = 3;

    PanelId private ours;
    uint32 private number;
    address[] private accounts;

    function setUp() public override {
        super.setUp();
        ours = registry.createPanel("ours");
        number = registry.panelNumber(ours);
        for (uint160 i = 0; i < MANY; i++) {
            accounts.push(address(0xA0000 + i));
            stake(accounts[i], 0);
        }
        verifiers.invite(ours, accounts);
    }

    function enter(address account) private {
        vm.prank(account);
        verifiers.joinPanel(ours);
    }

    function leave(address account) private {
        vm.prank(account);
        verifiers.leavePanel(ours);
    }

    function stands(address account) private view returns (bool) {
        return verifiers.membership(number, account).place != 0;
    }

    function nextBlock() private {
        vm.roll(vm.getBlockNumber() + 1);
    }

    // --- by whose transaction

    function test_joinPanel_isTheVerifiersOwn() public {
        vm.expectEmit(address(verifiers));
        emit IVerifiers.Joined(number, accounts[3]);
        enter(accounts[3]);

        Membership memory known = verifiers.membership(number, accounts[3]);
        vm.assertEq(known.place, 1, "the place is another");
        vm.assertEq(known.joined, block.number, "the block is another");
        vm.assertTrue(known.invited, "the invitation is gone");
    }

    function test_joinPanel_refusesWhoIsNotInvited() public {
        enrol(stranger);

        vm.expectRevert(abi.encodeWithSelector(IVerifiers.NotInvited.selector, ours, stranger));
        enter(stranger);
    }

    function test_joinPanel_refusesToStandTwice() public {
        enter(accounts[3]);

        vm.expectRevert(abi.encodeWithSelector(IVerifiers.StandsAlready.selector, number, accounts[3]));
        enter(accounts[3]);
    }

    function test_invite_saysWhoIsInvited() public {
        vm.expectEmit(address(verifiers));
        emit IVerifiers.Invited(ours, members);
        verifiers.invite(ours, members);
    }

    function test_invite_isTheCreatorsAlone() public {
        vm.expectRevert(abi.encodeWithSelector(IVerifiers.CallerIsNotCreator.selector, stranger, address(this)));
        vm.prank(stranger);
        verifiers.invite(ours, members);
        vm.expectRevert(abi.encodeWithSelector(IVerifiers.CallerIsNotCreator.selector, stranger, address(this)));
        vm.prank(stranger);
        verifiers.expel(ours, accounts[0]);
    }

    function test_expel_takesInvitationAndPlace() public {
        enter(accounts[0]);
        vm.expectEmit(address(verifiers));
        emit IVerifiers.Left(number, accounts[0]);
        vm.expectEmit(address(verifiers));
        emit IVerifiers.Expelled(ours, accounts[0]);
        verifiers.expel(ours, accounts[0]);

        vm.assertTrue(!stands(accounts[0]), "who was expelled stands");
        vm.expectRevert(abi.encodeWithSelector(IVerifiers.NotInvited.selector, ours, accounts[0]));
        enter(accounts[0]);
        vm.expectRevert(abi.encodeWithSelector(IVerifiers.NotInvited.selector, ours, accounts[0]));
        verifiers.expel(ours, accounts[0]);
    }

    function test_leavePanel_refusesWhoDoesNotStand() public {
        vm.expectRevert(abi.encodeWithSelector(IVerifiers.DoesNotStand.selector, number, accounts[0]));
        leave(accounts[0]);
    }

    function test_joinPool_needsItsStake() public {
        vm.expectRevert(abi.encodeWithSelector(IVerifiers.PoolNeedsStake.selector, 0, uint256(1000 ether)));
        vm.prank(accounts[0]);
        verifiers.joinPool();
    }

    /// @dev Nobody fills 65,534 places here: their number is written where the contract keeps it.
    function test_joinPanel_takesTheLastPlaceAndNoneBeyond() public {
        bytes32 slot = keccak256(abi.encode(number, TABLES_SLOT));
        vm.store(address(verifiers), slot, bytes32(uint256(65_533)));
        enter(accounts[0]);
        vm.assertEq(verifiers.membership(number, accounts[0]).place, 65_534, "it has another place than the last");

        vm.expectRevert(abi.encodeWithSelector(IVerifiers.PanelIsFull.selector, number, 65_534));
        enter(accounts[1]);
    }

    function test_leavePanel_movesTheLastIntoThePlace() public {
        for (uint256 i = 0; i < 4; i++) {
            enter(accounts[i]);
        }
        leave(accounts[1]);

        (address[] memory listed, uint40[] memory joined) = verifiers.members(number, 0, 3);
        vm.assertEq(listed[0], accounts[0], "the first moved");
        vm.assertEq(listed[1], accounts[3], "the last did not move");
        vm.assertEq(joined[1], block.number, "who moved joined in another block");
        vm.assertEq(verifiers.membership(number, accounts[3]).place, 2, "its place is another");
        vm.assertEq(verifiers.placesOf(number).length, 3, "a place is empty");
    }

    // --- as it stood: any history of joining, leaving and expelling against a list that is kept apart

    struct Snapshot {
        uint256 block_;
        address[] stood;
    }

    Snapshot[] private snapshots;
    mapping(address => bool) private out;
    mapping(address => mapping(uint256 block_ => bool)) private leftSince;
    address[] private standing_;

    /// @dev A jury of whoever may be drawn is found in some order by as many seats as there are places.
    function testFuzz_draw_findsWhoStoodAndHasNotLeft(uint256 luck) public {
        for (uint256 step = 0; step < 40; step++) {
            luck = uint256(keccak256(abi.encode(luck)));
            act(luck);
            if (luck >> 16 & 1 == 1) {
                nextBlock();
                if (luck >> 17 & 1 == 1) snapshots.push(Snapshot(vm.getBlockNumber(), standing_));
            }
        }
        nextBlock();

        for (uint256 i = 0; i < snapshots.length; i++) {
            check(snapshots[i]);
        }
    }

    mapping(address => Membership) private expected;

    /// @dev A membership says what its holder did last and in which block; what others do may only move its place.
    function testFuzz_membership_saysWhatItsHolderDidLast(uint256 luck) public {
        for (uint256 step = 0; step < 40; step++) {
            luck = uint256(keccak256(abi.encode(luck)));
            address account = accounts[(luck >> 24) % MANY];
            bool stood = stands(account);
            act(luck);
            expect(account, stood);
            if (luck >> 16 & 1 == 1) nextBlock();
        }

        uint256 count;
        for (uint256 i = 0; i < MANY; i++) {
            if (isAsExpected(accounts[i])) count++;
        }
        vm.assertEq(verifiers.placesOf(number).length, count, "a place is empty, or shared");
    }

    function expect(address account, bool stood) private {
        Membership storage told = expected[account];
        uint40 current = uint40(vm.getBlockNumber());
        if (!stood && stands(account)) (told.place, told.joined, told.gone) = (1, current, false);
        if (stood && !stands(account)) (told.place, told.left, told.gone) = (0, current, !out[account]);
    }

    function isAsExpected(address account) private view returns (bool standsThere) {
        Membership memory known = verifiers.membership(number, account);
        Membership storage told = expected[account];
        standsThere = known.place != 0;
        vm.assertTrue(standsThere == (told.place != 0), "it stands, or does not");
        vm.assertEq(known.joined, told.joined, "it joined in another block");
        vm.assertEq(known.left, told.left, "it left in another block");
        vm.assertTrue(known.gone == told.gone, "who was expelled went, or who went was expelled");
        vm.assertTrue(known.invited == !out[account], "its invitation is another");
        if (!standsThere) return false;
        (address[] memory listed,) = verifiers.members(number, known.place - 1, 1);
        vm.assertEq(listed[0], account, "its place is another's");
    }

    function act(uint256 luck) private {
        address account = accounts[(luck >> 24) % MANY];
        if (!stands(account)) {
            if (out[account]) return;
            enter(account);
            standing_.push(account);
        } else if (luck >> 32 & 3 == 0) {
            verifiers.expel(ours, account);
            out[account] = true;
            remove(account);
        } else {
            leave(account);
            for (uint256 i = 0; i < snapshots.length; i++) {
                leftSince[account][snapshots[i].block_] = true;
            }
            remove(account);
        }
    }

    function remove(address account) private {
        for (uint256 i = 0; i < standing_.length; i++) {
            if (standing_[i] != account) continue;
            standing_[i] = standing_[standing_.length - 1];
            standing_.pop();
            return;
        }
    }

    function check(Snapshot storage snapshot) private view {
        uint256 length = snapshot.stood.length;
        if (length == 0) return;
        Jury memory jury = Jury(address(1), address(2), address(3), number, uint16(length), uint40(snapshot.block_));
        uint256[3] memory seats;
        uint256 found;
        for (uint256 call = 0; call < length + 1; call++) {
            address[] memory drawn;
            (seats, drawn) = verifiers.draw(jury, "seed", 1, seats, 1);
            if (drawn[0] == address(0)) continue;
            vm.assertTrue(contains(snapshot.stood, drawn[0]), "somebody was found who did not stand");
            vm.assertTrue(!leftSince[drawn[0]][snapshot.block_], "somebody was found who left");
            found++;
            seats[0] &= ~uint256(0xffffffff); // it declines
        }
        vm.assertEq(seats[0] >> 32 & 0xffff, length, "not every place was looked at");
        vm.assertGe(found, stayed(snapshot), "somebody who stood and stayed was not found");
    }

    function stayed(Snapshot storage snapshot) private view returns (uint256 count) {
        for (uint256 i = 0; i < snapshot.stood.length; i++) {
            if (!leftSince[snapshot.stood[i]][snapshot.block_]) count++;
        }
    }

    function contains(address[] storage list, address account) private view returns (bool) {
        for (uint256 i = 0; i < list.length; i++) {
            if (list[i] == account) return true;
        }
        return false;
    }
}
