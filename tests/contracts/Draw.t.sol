// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IAudits} from "../../contracts/interfaces/IAudits.sol";
import {Permutation} from "../../contracts/libraries/Permutation.sol";
import {Seats} from "../../contracts/libraries/Seats.sol";
import {Audit, Jury, Phase} from "../../contracts/types/Audit.sol";
import {DeadlineNotPassed, DeadlinePassed} from "../../contracts/types/Errors.sol";
import {AgreementId, AuditId, NO_PANEL, PanelId} from "../../contracts/types/Ids.sol";
import {DisclosureMode, Terms} from "../../contracts/types/Terms.sol";
import {AuditFixture} from "./AuditFixture.sol";
import {History} from "./History.sol";

/// @notice What draws, when, and whom.
contract DrawTest is AuditFixture {
    using Seats for uint256[3];

    function seedOf(AgreementId id, bytes32 blockHash, bytes32 nonce) private pure returns (bytes32) {
        return keccak256(abi.encode(AuditId.unwrap(key(id)), blockHash, nonce));
    }

    function openedBlock(AgreementId id) private view returns (uint256) {
        return audit(id).openedBlock;
    }

    function later(uint256 blocks) private {
        vm.roll(vm.getBlockNumber() + blocks);
    }

    // --- the seed

    function test_draw_takesBlockAndNonce() public {
        AgreementId id = opened(3);
        later(1);
        vm.setBlockhash(openedBlock(id), "block hash");

        vm.prank(stranger); // whoever knows the nonce
        audits.draw(id, 0, ASKER_NONCE);

        vm.assertEq(audit(id).seed, seedOf(id, "block hash", ASKER_NONCE), "the seed is another");
        assertPhase(id, Phase.Joining);
    }

    function test_draw_saysWhoWasDrawn() public {
        AgreementId id = opened(3);
        later(1);
        uint256 snapshot = vm.snapshotState();
        audits.draw(id, 0, ASKER_NONCE);
        (bytes32 seed, address[] memory drawn_) = (audit(id).seed, audits.seated(id, 0));
        vm.revertToState(snapshot);

        vm.expectEmit(address(audits));
        emit IAudits.Drawn(id, 0, 0, seed, drawn_);
        audits.draw(id, 0, ASKER_NONCE);
    }

    function test_draw_refusesAnotherNonceWithinTheTurn() public {
        AgreementId id = opened(3);
        later(25);
        bytes32 given = keccak256(abi.encode(bytes32("another")));

        vm.expectRevert(
            abi.encodeWithSelector(IAudits.NonceDiffers.selector, given, keccak256(abi.encode(ASKER_NONCE)))
        );
        audits.draw(id, 0, "another");
        audits.draw(id, 0, ASKER_NONCE);
    }

    /// @dev The asker has to choose before it knows the other seed.
    function test_draw_takesTheTurnsLastBlockAfterTheTurnWhateverNonceIsGiven() public {
        AgreementId id = opened(3);
        uint256 block_ = openedBlock(id);
        later(26);
        vm.setBlockhash(block_, "opening");
        vm.setBlockhash(block_ + 25, "end of the turn");

        audits.draw(id, 0, ASKER_NONCE);

        vm.assertEq(audit(id).seed, seedOf(id, "opening", "end of the turn"), "the seed is another");
    }

    function test_draw_refusesInItsBlock() public {
        AgreementId id = opened(3);

        vm.expectRevert(abi.encodeWithSelector(IAudits.BlockIsCurrent.selector, block.number));
        audits.draw(id, 0, ASKER_NONCE);
    }

    function test_draw_refusesWhatTheChainHasForgotten() public {
        AgreementId id = opened(3);
        uint256 block_ = openedBlock(id);
        History.remove();
        later(300);

        vm.expectRevert(abi.encodeWithSelector(IAudits.BlockForgotten.selector, block_));
        audits.draw(id, 0, 0);
    }

    function test_fix_keepsBothHashes() public {
        AgreementId id = opened(3);
        uint256 block_ = openedBlock(id);
        later(1);
        vm.setBlockhash(block_, "opening");
        vm.expectEmit(address(audits));
        emit IAudits.HashesFixed(id, 0, "opening", 0);
        audits.fix(id, 0);
        later(25);
        vm.setBlockhash(block_ + 25, "end of the turn");
        vm.prank(stranger);
        audits.fix(id, 0);
        (bytes32 first, bytes32 second) = audits.fixedHashes(id, 0);
        vm.assertEq(first, "opening", "the opening's hash is not kept");
        vm.assertEq(second, "end of the turn", "the turn's hash is not kept");
        later(20_000);
        History.remove();

        audits.draw(id, 0, 0);

        vm.assertEq(audit(id).seed, seedOf(id, "opening", "end of the turn"), "the seed is another");
    }

    function test_fix_refusesNothing() public {
        AgreementId id = opened(3);
        bytes memory reason = abi.encodeWithSelector(IAudits.NothingToFix.selector, id, 0);

        vm.expectRevert(reason);
        audits.fix(id, 0);
        later(1);
        audits.fix(id, 0);
        vm.expectRevert(reason);
        audits.fix(id, 0);
    }

    function test_fix_refusesAfterTheDrawAndTheDeadline() public {
        AgreementId id = opened(3);
        later(1);
        uint256 snapshot = vm.snapshotState();
        auditTimesOut(id);
        vm.expectRevert(abi.encodeWithSelector(DeadlinePassed.selector, block.timestamp - 1, block.timestamp));
        audits.fix(id, 0);
        vm.revertToState(snapshot);
        audits.draw(id, 0, ASKER_NONCE);

        vm.expectRevert(abi.encodeWithSelector(IAudits.PhaseForbids.selector, id, 0, Phase.Joining));
        audits.fix(id, 0);
    }

    function test_draw_refusesAfterTheWait() public {
        AgreementId id = opened(3);
        vm.assertEq(audit(id).deadline, block.timestamp + WAIT, "an audit waits otherwise");
        later(1);
        auditTimesOut(id);

        vm.expectRevert(abi.encodeWithSelector(DeadlinePassed.selector, block.timestamp - 1, block.timestamp));
        audits.draw(id, 0, ASKER_NONCE);
    }

    function test_draw_refusesTwice() public {
        AgreementId id = drawn(3);

        vm.expectRevert(abi.encodeWithSelector(IAudits.PhaseForbids.selector, id, 0, Phase.Joining));
        audits.draw(id, 0, ASKER_NONCE);
    }

    // --- whom

    function test_draw_seatsDifferentMembers() public {
        AgreementId id = drawn(5);

        for (uint256 i = 0; i < 5; i++) {
            vm.assertTrue(verifiers.membership(panelNumber, seatOf(id, i)).place != 0, "a seat is no member's");
            for (uint256 j = 0; j < i; j++) {
                vm.assertNotEq(seatOf(id, i), seatOf(id, j), "somebody sits twice");
            }
        }
    }

    function test_draw_neverSeatsAParty() public {
        address[] memory parties = new address[](2);
        (parties[0], parties[1]) = (owner, scientist);
        verifiers.invite(panel, parties);
        for (uint256 i = 0; i < 2; i++) {
            enrol(parties[i]);
            joinPanel(parties[i], panel);
        }
        later(1);
        for (uint256 k = 0; k < 20; k++) {
            AgreementId id = trained(bytes32(k), auditedTerms(5), scientist);
            draw(id);
            for (uint256 i = 0; i < 5; i++) {
                vm.assertTrue(seatOf(id, i) != owner && seatOf(id, i) != scientist, "a party was drawn");
            }
        }
    }

    function test_draw_ofThePoolNeedsNoPanel() public {
        Terms memory terms = auditedTerms(3);
        (terms.audit.mode, terms.audit.panel) = (DisclosureMode.Open, NO_PANEL);
        AgreementId id = trained(terms);

        draw(id);

        for (uint256 i = 0; i < 3; i++) {
            vm.assertTrue(verifiers.membership(0, seatOf(id, i)).place != 0, "a seat is not the pool's");
        }
    }

    function test_draw_skipsWhoIsAwayUntilItIsThereAgain() public {
        AgreementId first = drawn(5);
        address[] memory silent = audits.seated(first, 0);
        advanceLate(first);
        for (uint256 k = 0; k < 10; k++) {
            AgreementId id = trained(bytes32(k), auditedTerms(3), scientist);
            draw(id);
            for (uint256 i = 0; i < 3; i++) {
                for (uint256 j = 0; j < 5; j++) {
                    vm.assertNotEq(seatOf(id, i), silent[j], "who is away was drawn");
                }
            }
        }
        for (uint256 j = 0; j < 5; j++) {
            vm.prank(silent[j]);
            verifiers.present();
        }
        bool found;
        for (uint256 k = 10; k < 20; k++) {
            AgreementId id = trained(bytes32(k), auditedTerms(3), scientist);
            draw(id);
            for (uint256 j = 0; j < 5; j++) {
                found = found || seatOf(id, 0) == silent[j];
            }
        }
        vm.assertTrue(found, "nobody who came back was drawn");
    }

    // --- the permutation

    function testFuzz_permutation_isOne(bytes32 seed, uint16 count) public pure {
        uint256 n = uint256(count) % 400 + 1;
        (uint256 a, uint256 b) = Permutation.sides(n);
        bool[] memory seen = new bool[](n);
        for (uint256 i = 0; i < n; i++) {
            uint256 place = Permutation.placeAt(seed, n, a, b, i);
            vm.assertTrue(!seen[place], "two positions have one place");
            seen[place] = true;
        }
    }

    /// @dev As NatSpec of IVerifiers says it, in plain Solidity.
    function testFuzz_permutation_isAsDescribed(bytes32 seed, uint16 count, uint16 at) public pure {
        uint256 n = uint256(count) % 65_534 + 1;
        uint256 a;
        while (a * a < n) a++;
        uint256 b = (n + a - 1) / a;
        uint256 x = uint256(at) % n;
        (uint256 computedA, uint256 computedB) = Permutation.sides(n);
        uint256 computed = Permutation.placeAt(seed, n, computedA, computedB, x);
        do {
            (uint256 l, uint256 r) = (x % a, x / a);
            for (uint256 step = 0; step < 6; step += 2) {
                l = (l + uint256(keccak256(abi.encode(seed, step << 32 | r))) % a) % a;
                r = (r + uint256(keccak256(abi.encode(seed, (step + 1) << 32 | l))) % b) % b;
            }
            x = r * a + l;
        } while (x >= n);

        vm.assertEq(computed, x, "the permutation is another");
    }

    /// @dev 3,000 draws of three of ten: every member is drawn about 900 times (five standard deviations are 126),
    ///      every pair beside one another in two given seats about 33 times (29).
    function test_draw_isUniform() public view {
        Jury memory jury = Jury(address(1), address(2), address(3), panelNumber, uint16(MEMBERS), uint40(block.number));
        uint256[MEMBERS] memory counts;
        uint256[MEMBERS][MEMBERS] memory pairs;
        uint256[3] memory none;
        for (uint256 k = 0; k < 3000; k++) {
            (uint256[3] memory seats,) = verifiers.draw(jury, keccak256(abi.encode(k)), 3, none, 7);
            for (uint256 i = 0; i < 3; i++) {
                counts[seats.numberAt(i) - 1]++;
            }
            pairs[seats.numberAt(0) - 1][seats.numberAt(1) - 1]++;
        }
        for (uint256 i = 0; i < MEMBERS; i++) {
            vm.assertTrue(counts[i] > 774 && counts[i] < 1026, "a member is drawn too often or too rarely");
            for (uint256 j = 0; j < MEMBERS; j++) {
                bool isFair = i == j ? pairs[i][j] == 0 : pairs[i][j] > 4 && pairs[i][j] < 62;
                vm.assertTrue(isFair, "a pair is drawn too often or too rarely");
            }
        }
    }

    // --- tries

    /// @dev A fifth of 400 still stand: of 300 draws of three seats none finds nobody, though one call tries 64
    ///      positions a seat.
    function test_draw_findsSomebodyWhileAFifthStand() public {
        (Jury memory jury, address[] memory accounts, PanelId many) = crowd(400);
        for (uint256 i = 0; i < 320; i++) {
            vm.prank(accounts[i]);
            verifiers.leavePanel(many);
        }
        uint256[3] memory none;
        for (uint256 k = 0; k < 300; k++) {
            (uint256[3] memory seats,) = verifiers.draw(jury, keccak256(abi.encode(k)), 3, none, 7);
            vm.assertEq(seats.taken(3), 7, "a draw found nobody");
        }
    }

    /// @dev One of 400 still stands: the first calls may find nobody, but they go on where the last one came to, and
    ///      none is void.
    function test_draw_thatRunsOutOfTriesIsContinued() public {
        (Jury memory jury, address[] memory accounts, PanelId many) = crowd(400);
        for (uint256 i = 0; i < 400; i++) {
            if (i == 123) continue;
            vm.prank(accounts[i]);
            verifiers.leavePanel(many);
        }
        uint256 continued;
        for (uint256 k = 0; k < 10; k++) {
            if (callsToFind(jury, keccak256(abi.encode(k)), verifiers.numberOf(accounts[123])) > 1) continued++;
        }
        vm.assertTrue(continued > 0, "every first call found the only one");
    }

    /// @dev Where nobody stood: a call looks at 64 positions of each seat's own, and at none of seats that are none.
    ///      Mutation: one try more; one seat more.
    function test_draw_triesSoManyPositionsForASeatAndNoMore() public view {
        Jury memory jury = Jury(address(1), address(2), address(3), panelNumber, 400, 0);
        uint256[3] memory seats;
        address[] memory drawn_;

        (seats, drawn_) = verifiers.draw(jury, "seed", 3, seats, type(uint256).max);

        vm.assertEq(drawn_.length, 3, "there are other seats");
        for (uint256 seat = 0; seat < 3; seat++) {
            vm.assertEq(drawn_[seat], address(0), "somebody was drawn");
            vm.assertEq(seats.cursorAt(seat), 64, "a call looked at more or fewer positions of a seat");
        }
    }

    /// @dev The words hold no more. Mutation: one seat more in any of the loops.
    function test_seats_areFifteenAtMost() public pure {
        uint256[3] memory seats;
        for (uint256 seat = 0; seat < 15; seat++) {
            seats.put(seat, seat + 1, 9);
        }

        vm.assertEq(seats.taken(15), 0x7fff, "others are taken");
        vm.assertTrue(seats.holds(15, 15) && !seats.holds(15, 16), "others are held");
        vm.assertTrue(!seats.beganAnew(15), "a draw began anew");
        seats.rewind(15);
        vm.assertTrue(seats.beganAnew(15), "no draw began anew");
        seats.clear(15, type(uint256).max);
        vm.assertEq(seats.taken(15), 0, "somebody is drawn still");
    }

    /// @dev Who sits beyond the count is no seat's. Mutation: one seat more in any of the loops.
    function test_seats_beyondTheCountAreNone() public pure {
        uint256[3] memory seats;
        seats.put(3, 7, 0);

        vm.assertEq(seats.taken(3), 0, "it is taken");
        vm.assertTrue(!seats.holds(3, 7), "it is held");
        vm.assertTrue(!seats.beganAnew(3), "a draw began anew");
        seats.clear(3, type(uint256).max);
        vm.assertEq(seats.numberAt(3), 7, "it was cleared");
        seats.put(3, 7, 9);
        seats.rewind(3);
        vm.assertEq(seats.cursorAt(3), 9, "it was rewound");
    }

    function callsToFind(Jury memory jury, bytes32 seed, uint256 number) private view returns (uint256 calls) {
        uint256[3] memory seats;
        while (seats.taken(3) == 0) {
            uint256 before = seats[0];
            (seats,) = verifiers.draw(jury, seed, 3, seats, 7);
            vm.assertTrue(seats[0] != before, "a call did not go on");
            calls++;
        }
        vm.assertLe(calls, 3, "a call did not look at 64 positions a seat");
        for (uint256 i = 0; i < 3; i++) {
            if (seats.numberAt(i) != 0) vm.assertEq(seats.numberAt(i), number, "somebody else was found");
        }
    }

    function test_draw_isContinuedByASecondCallOfAnybody() public {
        (, address[] memory accounts, PanelId many) = crowd(400);
        Terms memory terms = auditedTerms(3);
        terms.audit.panel = many;
        AgreementId id = trained(terms);
        later(1);
        for (uint256 i = 0; i < 395; i++) {
            vm.prank(accounts[i]);
            verifiers.leavePanel(many);
        }
        vm.setBlockhash(openedBlock(id), "hash");
        audits.draw(id, 0, ASKER_NONCE);
        uint256 deadline = audit(id).deadline;
        uint256 calls = 1;
        vm.warp(block.timestamp + 10 minutes);
        while (seatOf(id, 0) == address(0) || seatOf(id, 1) == address(0) || seatOf(id, 2) == address(0)) {
            uint256 found = uint256(uint160(seatOf(id, 0)));
            vm.prank(stranger);
            audits.draw(id, 0, 0);
            if (found == uint256(uint160(seatOf(id, 0))) && calls == 1) {
                vm.assertGe(audit(id).deadline, deadline, "the window shrank");
            }
            calls++;
        }
        vm.assertTrue(calls > 1, "the first call found all");
        joinAll(id);
        assertPhase(id, Phase.Evidence);
    }

    function crowd(uint160 count) private returns (Jury memory jury, address[] memory accounts, PanelId many) {
        accounts = new address[](count);
        for (uint160 i = 0; i < count; i++) {
            accounts[i] = address(0xF0000 + i);
            vm.prank(accounts[i]);
            verifiers.stake(0, linkAt(accounts[i], 0), noPermit());
        }
        for (uint160 i = 395; i < count; i++) {
            enrol(accounts[i]);
        }
        many = panelOf("many", accounts);
        uint32 number = registry.panelNumber(many);
        jury = Jury(address(1), address(2), address(3), number, uint16(count), uint40(block.number));
        later(1);
    }

    // --- declining

    function test_decline_drawsTheNextAtOnceWithoutPenalty() public {
        AgreementId id = drawn(3);
        address before = seatOf(id, 1);
        (address zero, address two) = (seatOf(id, 0), seatOf(id, 2));
        vm.warp(block.timestamp + 30 minutes);
        vm.expectEmit(address(audits));
        emit IAudits.Declined(id, 0, 1, before);
        decline(id, 1);

        vm.assertNotEq(seatOf(id, 1), before, "who declined was drawn again");
        vm.assertNotEq(seatOf(id, 1), address(0), "nobody was drawn");
        vm.assertEq(seatOf(id, 0), zero, "another seat changed");
        vm.assertEq(seatOf(id, 2), two, "another seat changed");
        assertStake(before, STAKE);
        vm.assertTrue(!verifierOf(before).away, "who declined is away");
        vm.assertEq(audit(id).deadline, block.timestamp + WINDOW, "who was drawn has not a whole window");
        vm.assertEq(audit(id).round, 0, "a round passed");
    }

    function test_decline_refusesAnybodyElse() public {
        AgreementId id = drawn(3);
        address other = seatOf(id, 1);

        vm.expectRevert(abi.encodeWithSelector(IAudits.CallerIsNotSeated.selector, other, 0));
        vm.prank(other);
        audits.decline(id, 0, 0);
        vm.expectRevert(abi.encodeWithSelector(IAudits.CallerIsNotSeated.selector, stranger, 3));
        vm.prank(stranger);
        audits.decline(id, 0, 3);
    }

    function test_decline_neverAsksAnybodyTwice() public {
        AgreementId id = drawn(3);
        address[] memory asked = new address[](MEMBERS + 1);
        uint256 count;
        while (seatOf(id, 0) != address(0)) {
            asked[count] = seatOf(id, 0);
            for (uint256 i = 0; i < count; i++) {
                vm.assertNotEq(asked[i], asked[count], "somebody was asked twice");
            }
            count++;
            decline(id, 0);
        }
        vm.assertEq(count, MEMBERS - 2, "not everybody was asked");
    }

    /// @dev Else those who decline one after the other could prolong joining beyond the wait, window by window.
    ///      Mutation: `draw` in Joining without the wait's end.
    function test_decline_afterTheWaitLeavesTheSeatEmpty() public {
        AgreementId id = drawn(3);
        uint256 wait = audit(id).waitDeadline;
        while (audit(id).deadline <= wait) {
            vm.warp(audit(id).deadline);
            decline(id, 1);
        }
        vm.warp(wait + 1);
        uint256 deadline = audit(id).deadline;
        decline(id, 1);

        vm.assertEq(seatOf(id, 1), address(0), "somebody was drawn after the wait");
        vm.assertEq(audit(id).deadline, deadline, "the window is another");
        vm.expectRevert(abi.encodeWithSelector(DeadlinePassed.selector, wait, block.timestamp));
        audits.draw(id, 0, 0);
    }

    /// @dev Who declines pays for looking at 64 places of its own seat, not of every empty one. Mutation: `decline`
    ///      draws for all empty seats.
    function test_decline_drawsForItsOwnSeatAlone() public {
        (, address[] memory accounts, PanelId many) = crowd(400);
        Terms memory terms = auditedTerms(3);
        terms.audit.panel = many;
        AgreementId id = trained(terms);
        later(1);
        for (uint256 i = 0; i < 395; i++) {
            vm.prank(accounts[i]);
            verifiers.leavePanel(many);
        }
        (uint8 taken, uint8 empty) = (3, 3);
        for (uint256 luck = 0; taken == 3 || empty == 3; luck++) {
            uint256 undrawn = vm.snapshotState();
            (taken, empty) = (3, 3);
            vm.setBlockhash(openedBlock(id), keccak256(abi.encode("hash", luck)));
            audits.draw(id, 0, ASKER_NONCE);
            for (uint8 seat = 0; seat < 3; seat++) {
                if (seatOf(id, seat) == address(0)) empty = seat;
                else taken = seat;
            }
            if (taken == 3 || empty == 3) vm.revertToState(undrawn);
        }
        uint256 looked = audits.seats(id, 0).cursorAt(empty);
        decline(id, taken);

        vm.assertEq(audits.seats(id, 0).cursorAt(empty), looked, "another seat was drawn for");
    }

    // --- waiting

    /// @dev Free stake is promised to nobody until it is asked for.
    function waiting() private returns (AgreementId id) {
        id = drawn(3);
        for (uint8 seat = 0; seat < 3; seat++) {
            while (seatOf(id, seat) != address(0)) decline(id, seat);
        }
        vm.expectEmit(address(audits));
        emit IAudits.WaitingBegan(id, 0, block.timestamp + WINDOW);
        advance(id);
        assertPhase(id, Phase.Waiting);
    }

    function test_waiting_mayBeDrawnOnAfterAWindow() public {
        AgreementId id = waiting();
        uint256 deadline = audit(id).deadline;
        vm.expectRevert(abi.encodeWithSelector(DeadlineNotPassed.selector, deadline, block.timestamp));
        audits.draw(id, 0, 0);
        vm.warp(deadline + 1);

        audits.draw(id, 0, 0);

        assertPhase(id, Phase.Joining);
        joinAll(id);
        assertPhase(id, Phase.Evidence);
    }

    function test_waiting_keepsWhoJoined() public {
        AgreementId id = drawn(3);
        join(id, 1);
        address stays = seatOf(id, 1);
        for (uint8 seat = 0; seat < 3; seat += 2) {
            while (seatOf(id, seat) != address(0)) decline(id, seat);
        }
        advance(id);
        assertPhase(id, Phase.Waiting);
        vm.warp(audit(id).deadline + 1);
        audits.draw(id, 0, 0);

        vm.assertEq(seatOf(id, 1), stays, "who joined lost its seat");
        vm.assertTrue(seatOf(id, 0) != stays && seatOf(id, 2) != stays, "who joined was drawn twice");
        joinAll(id);
        assertPhase(id, Phase.Evidence);
    }

    /// @dev The draw looks at all positions again, that of who sits among them.
    function test_draw_thatBeginsAnewLooksFromTheLastPositionAgain() public pure {
        uint256[3] memory seats;
        seats.put(1, 7, 9);
        seats.putBack(5);

        seats.rewind(3);

        vm.assertEq(seats.back(), 0, "positions looked at backwards");
        vm.assertEq(seats.cursorAt(1), 0, "positions looked at");
        vm.assertEq(seats.numberAt(1), 7, "who stays");
    }

    function test_draw_thatBeganAnewSeatsNobodyTwice() public view {
        Jury memory jury = Jury(address(1), address(2), address(3), panelNumber, uint16(MEMBERS), uint40(block.number));
        for (uint256 k = 0; k < 60; k++) {
            uint256[3] memory seats;
            seats.put(1, k % MEMBERS + 1, 0);
            (seats,) = verifiers.draw(jury, keccak256(abi.encode(k)), 3, seats, 5);
            uint256 sits = seats.numberAt(1);
            vm.assertTrue(seats.numberAt(0) != sits && seats.numberAt(2) != sits, "who sits was drawn again");
        }
    }

    function test_waiting_isInconclusiveAfterTheWait() public {
        AgreementId id = waiting();
        vm.expectRevert(abi.encodeWithSelector(DeadlineNotPassed.selector, audit(id).deadline, block.timestamp));
        advance(id);
        vm.warp(audit(id).waitDeadline);
        vm.expectRevert(abi.encodeWithSelector(DeadlineNotPassed.selector, audit(id).deadline, block.timestamp));
        advance(id);
        vm.warp(audit(id).waitDeadline + 1);
        vm.expectRevert(abi.encodeWithSelector(DeadlinePassed.selector, audit(id).waitDeadline, block.timestamp));
        audits.draw(id, 0, 0);

        advance(id);

        assertPhase(id, Phase.Concluded);
        assertAllPaid();
    }
}
