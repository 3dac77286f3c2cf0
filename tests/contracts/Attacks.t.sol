// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IAgreements} from "../../contracts/interfaces/IAgreements.sol";
import {IAudits} from "../../contracts/interfaces/IAudits.sol";
import {IVerifiers} from "../../contracts/interfaces/IVerifiers.sol";
import {Seats} from "../../contracts/libraries/Seats.sol";
import {State} from "../../contracts/types/Agreement.sol";
import {Jury, Outcome, Phase} from "../../contracts/types/Audit.sol";
import {AgreementId, AuditId, NO_PANEL, PanelId} from "../../contracts/types/Ids.sol";
import {DisclosureMode, Terms} from "../../contracts/types/Terms.sol";
import {RunRecord} from "../../contracts/types/Run.sol";
import {Membership, Verifier} from "../../contracts/types/Verifier.sol";
import {AuditFixture} from "./AuditFixture.sol";

/// @notice Ways in which protocol 1 was robbed, tried again. Each names the mutation of the contracts with which it
///         succeeds.
contract AttacksTest is AuditFixture {
    using Seats for uint256[3];

    address private attacker = address(0xBAD);

    function sybils(uint160 from, uint160 count) private returns (address[] memory accounts) {
        accounts = new address[](count);
        for (uint160 i = 0; i < count; i++) {
            accounts[i] = address(from + i);
            enrol(accounts[i]);
        }
    }

    function isAmong(address account, uint160 from, uint160 count) private pure returns (bool) {
        return uint160(account) >= from && uint160(account) < from + count;
    }

    // --- a vote that takes no replay (row 2)

    /// @dev Two that never open the evidence agree without a word on the trace of zeros, which everybody can compute,
    ///      and on Mismatch. Mutation: `_requireTrace` without the comparison with the empty trace. Then: Mismatch,
    ///      the honest seat loses its stake.
    function test_attack_twoThatNeverLookAgreeOnTheTraceOfZeros() public {
        AgreementId id = evident(3);
        bytes32 empty = audits.emptyTrace(id, 0);
        (address lazy, address lazier, address honest) = (seatOf(id, 0), seatOf(id, 1), seatOf(id, 2));
        commit(id, 0, Outcome.Mismatch, empty);
        commit(id, 1, Outcome.Mismatch, empty);
        commit(id, 2, Outcome.Match);
        bytes memory reason = abi.encodeWithSelector(IAudits.TraceTakesNoReplay.selector, empty);
        vm.expectRevert(reason);
        vm.prank(lazy);
        audits.reveal(id, 0, 0, Outcome.Mismatch, empty, SALT);
        vm.expectRevert(reason);
        vm.prank(lazier);
        audits.reveal(id, 0, 1, Outcome.Mismatch, empty, SALT);
        reveal(id, 2, Outcome.Match);
        advanceLate(id);

        assertPhase(id, Phase.Joining);
        assertStake(honest, STAKE);
        assertStake(lazy, STAKE - SEAT_STAKE / 10);
        assertStake(lazier, STAKE - SEAT_STAKE / 10);
        assertState(id, State.Auditing);
    }

    /// @dev The trace of zeros of another round or another number of segments is no trace of this one, so honest
    ///      seats never say it; but two who never look could. Mutation: `round` or `audited` left out of
    ///      `_emptyTrace`.
    function test_attack_theTraceOfZerosIsThatOfTheRound() public {
        AgreementId id = evident(3);
        bytes32 first = audits.emptyTrace(id, 0);
        vote(id, [Outcome.Withheld, Outcome.Withheld, Outcome.Withheld]);
        bytes32 second = audits.emptyTrace(id, 0);

        vm.assertTrue(first != second, "two rounds have one empty trace");
        submit(id);
        address lazy = seatOf(id, 0);
        commit(id, 0, Outcome.Match, second);
        commit(id, 1, Outcome.Match);
        commit(id, 2, Outcome.Match);
        vm.expectRevert(abi.encodeWithSelector(IAudits.TraceTakesNoReplay.selector, second));
        vm.prank(lazy);
        audits.reveal(id, 0, 0, Outcome.Match, second, SALT);
    }

    /// @dev A majority that says Withheld without looking takes the bond, but earns nothing, slashes nobody and has
    ///      to say it twice. Mutation: Withheld paid, or a verdict the first time.
    function test_attack_aMajorityThatSaysWithheldEarnsNothing() public {
        AgreementId id = evident(3);
        for (uint256 i = 0; i < 2; i++) {
            if (i == 1) submit(id);
            vote(id, [Outcome.Withheld, Outcome.Withheld, Outcome.Match]);
        }

        assertVerdict(id, Outcome.Withheld);
        for (uint256 i = 0; i < 3; i++) {
            assertEarned(seatOf(id, i), 0);
            assertStake(seatOf(id, i), STAKE);
        }
    }

    /// @dev Draws where the block of the opening has this hash.
    function drawBehind(AgreementId id, bytes32 header) private {
        vm.roll(vm.getBlockNumber() + 1);
        vm.setBlockhash(audit(id).openedBlock, header);
        audits.draw(id, 0, ASKER_NONCE);
    }

    // --- the jury (row 3)

    /// @dev The panel's creator is the owner; when the scientist is bound it appends sixty accounts of its own, and
    ///      expels the members, into whose places they move. Mutation: `_holder` without the request's block. Then it
    ///      has every seat.
    function test_attack_theCreatorStuffsTheAgreedPanelAfterTheRequest() public {
        AgreementId id = requested("salt", auditedTerms(3));
        address[] memory own = sybils(0xF0000, 60);
        verifiers.invite(panel, own);
        for (uint256 i = 0; i < own.length; i++) {
            joinPanel(own[i], panel);
        }
        for (uint256 i = 0; i < MEMBERS; i++) {
            verifiers.expel(panel, members[i]);
        }
        accept(id);
        begin(id);
        anchor(id, 7);
        finish(id, ending(id));
        for (uint256 k = 0; k < 20; k++) {
            uint256 snapshot = vm.snapshotState();
            drawBehind(id, keccak256(abi.encode(k)));
            for (uint256 i = 0; i < 3; i++) {
                vm.assertTrue(!isAmong(seatOf(id, i), 0xF0000, 60), "a sybil has a seat");
            }
            vm.revertToState(snapshot);
        }
    }

    /// @dev In the very block of the request, before it: `since` has to be earlier. Mutation: <= for < in `_holder`,
    ///      or the present length in `standing`.
    function test_attack_theCreatorStuffsThePanelInTheBlockOfTheRequest() public {
        address[] memory own = sybils(0xF0000, 30);
        verifiers.invite(panel, own);
        for (uint256 i = 0; i < own.length; i++) {
            joinPanel(own[i], panel);
        }
        AgreementId id = trained(auditedTerms(3));

        vm.assertEq(agreements.agreement(id).places, MEMBERS, "sybils have places");
        draw(id);
        for (uint256 i = 0; i < 3; i++) {
            vm.assertTrue(!isAmong(seatOf(id, i), 0xF0000, 30), "a sybil has a seat");
        }
    }

    /// @dev Once it knows the seed it expels whom it does not like, one after the other, until its accomplices sit.
    ///      Mutation: `_vacate` does not keep who was expelled.
    function test_attack_theCreatorExpelsHonestMembersBeforeTheDraw() public {
        AgreementId id = opened(3);
        vm.roll(vm.getBlockNumber() + 1);
        uint256 snapshot = vm.snapshotState();
        audits.draw(id, 0, ASKER_NONCE);
        address[] memory expected = audits.seated(id, 0);
        vm.revertToState(snapshot);
        for (uint256 i = 0; i < MEMBERS; i++) {
            verifiers.expel(panel, members[i]);
        }
        audits.draw(id, 0, ASKER_NONCE);

        for (uint256 i = 0; i < 3; i++) {
            vm.assertEq(seatOf(id, i), expected[i], "expelling moved a seat");
        }
        joinAll(id);
        assertPhase(id, Phase.Evidence);
    }

    // --- liability (rows 4 and 5)

    /// @dev A panel can name anybody as a member, and burn its stake. Mutation: `joinPanel` for another account, or
    ///      without a transaction of its own.
    function test_attack_aStrangerIsMadeAMemberOfATrap() public {
        PanelId trap = registry.createPanel("trap");
        verifiers.invite(trap, members);
        vm.roll(vm.getBlockNumber() + 1);
        Terms memory terms = auditedTerms(1);
        terms.audit.panel = trap;

        vm.expectRevert(abi.encodeWithSelector(IAgreements.TooFewEligible.selector, 0, 2));
        vm.prank(scientist);
        agreements.request("salt", terms, cid("offer"), noPermit());
    }

    /// @dev Ten minutes of absence cost a whole stake. Mutation: a penalty in `_closeJoining`.
    function test_attack_whoIsOfflineInAJoiningWindowLosesNothing() public {
        AgreementId id = drawn(3);
        address[] memory silent = audits.seated(id, 0);
        for (uint256 i = 0; audit(id).phase != Phase.Concluded; i++) {
            vm.warp(block.timestamp + 1 + (i > 0 ? WAIT : WINDOW));
            advance(id);
        }

        for (uint256 i = 0; i < 3; i++) {
            assertStake(silent[i], STAKE);
            assertFree(silent[i]);
        }
    }

    /// @dev What a seat can lose is what it reserved, however much its verifier has. Mutation: `known.stake` for
    ///      `seat.lost`.
    function test_attack_aLieCostsTheSeatsStakeAndNotAll() public {
        AgreementId id = evident(3);
        vote(id, [Outcome.Match, Outcome.Match, Outcome.Mismatch]);

        assertStake(seatOf(id, 2), STAKE - SEAT_STAKE);
    }

    /// @dev Mutation: `engage` without the comparison of free stake.
    function test_attack_aVerifierSlashedToNothingHasNoVote() public {
        AgreementId id = drawn(5);
        address poor = seatOf(id, 0);
        vm.prank(poor);
        verifiers.leavePool();
        vm.prank(poor);
        verifiers.unstake(STAKE);
        bytes26 link = linkAt(poor, 1);

        vm.expectRevert(abi.encodeWithSelector(IVerifiers.StakeTooSmall.selector, 0, SEAT_STAKE));
        vm.prank(poor);
        audits.join(id, 0, 0, link, "recipient");
    }

    /// @dev One stake covers any number of seats. Mutation: `locked` left out of what is free.
    function test_attack_oneStakeDoesNotCoverTwoSeats() public {
        AgreementId[10] memory ids;
        for (uint256 k = 0; k < 10; k++) {
            ids[k] = trained(bytes32(k), auditedTerms(5), scientist);
        }
        for (uint256 k = 0; k < 10; k++) {
            draw(ids[k]);
        }
        address account = seatOf(ids[0], 0);
        vm.prank(account);
        verifiers.leavePool();
        vm.prank(account);
        verifiers.unstake(STAKE - 3 * SEAT_STAKE + 1); // two seats, and all but one unit of a third
        uint256 seats;
        for (uint256 k = 0; k < 10; k++) {
            for (uint8 i = 0; i < 5; i++) {
                if (seatOf(ids[k], i) != account) continue;
                bytes26 link = linkAt(account, audit(ids[k]).opening);
                if (seats == 2) {
                    vm.expectRevert(
                        abi.encodeWithSelector(IVerifiers.StakeTooSmall.selector, SEAT_STAKE - 1, SEAT_STAKE)
                    );
                }
                vm.prank(account);
                audits.join(ids[k], 0, i, link, "recipient");
                if (++seats == 3) return;
            }
        }
        vm.assertTrue(false, "it was not drawn three times");
    }

    /// @dev And what is reserved cannot be taken back. Mutation: `unstake` against the whole stake.
    function test_attack_aLiarLeavesWithItsStakeBeforeItsVoteCounts() public {
        AgreementId id = committed([Outcome.Match, Outcome.Match, Outcome.Mismatch]);
        address liar = seatOf(id, 2);
        vm.prank(liar);
        verifiers.leavePool();
        vm.expectRevert(abi.encodeWithSelector(IVerifiers.StakeTooSmall.selector, STAKE - SEAT_STAKE, STAKE));
        vm.prank(liar);
        verifiers.unstake(STAKE);
    }

    // --- the key (row 6)

    /// @dev The owner wins, releases garbage and is paid; the pods of the seats throw the true key away.
    ///      Mutation: fees credited with the verdict, or `release` refused once somebody released.
    function test_attack_anOwnerThatReleasesGarbage() public {
        AgreementId id = matched();
        vm.prank(owner);
        audits.release(id, 0, hex"00");
        complain(id);
        for (uint8 seat = 0; seat < 3; seat++) {
            vm.expectEmit(address(audits));
            emit IAudits.Released(id, 0, seatOf(id, seat), cid("identity"));
            releaseBySeat(id, seat);
        }
        advanceLate(id);

        for (uint256 seat = 0; seat < 3; seat++) {
            assertEarned(seatOf(id, seat), FEE);
        }
    }

    // --- the seed (row 9)

    /// @dev A builder tries 400 headers for three seats of its own. It would need about 120 (three of ten) and has
    ///      them; but without the scientist's nonce the header it likes seats whom it will. Each round has headers of
    ///      its own, lest one luck decide all. Mutation: the nonce left out of the seed.
    function test_attack_aBuilderPicksTheHeaderOfTheOpening() public {
        AgreementId id = opened(3);
        uint256 colluders;
        for (uint256 k = 0; k < 40; k++) {
            uint256 snapshot = vm.snapshotState();
            bytes32 header = bestHeader(id, k, k % 2 == 0 ? keccak256(abi.encode("guess", k)) : bytes32(0));
            drawBehind(id, header);
            for (uint256 i = 0; i < 3; i++) {
                if (uint160(seatOf(id, i)) < 0xE003) colluders++;
            }
            vm.revertToState(snapshot);
        }
        // 36 of 120 seats are expected, with a standard deviation of 4.5
        vm.assertTrue(colluders > 14 && colluders < 58, "a header moves the draw");
    }

    /// @dev The first of a round's headers that seats three colluders if the nonce is what the builder thinks; 0: if
    ///      there is none.
    function bestHeader(AgreementId id, uint256 round, bytes32 guess) private view returns (bytes32 header) {
        Jury memory jury = agreements.jury(id, 0);
        uint256[3] memory none;
        for (uint256 tries = 0; tries < 400; tries++) {
            header = keccak256(abi.encode(round, tries));
            bytes32 seed = keccak256(abi.encode(AuditId.unwrap(key(id)), header, guess));
            if (guess == 0) seed = keccak256(abi.encode(AuditId.unwrap(key(id)), header));
            (, address[] memory drawn_) = verifiers.draw(jury, seed, 3, none, 7);
            bool all = true;
            for (uint256 i = 0; i < 3; i++) {
                all = all && uint160(drawn_[i]) < 0xE003;
            }
            if (all) return header;
        }
    }

    /// @dev Whoever joins last knows the others' links and would try its own until no faked segment is drawn. It has
    ///      one link for this audit, whatever else it joins in between. Mutation: a chain in the order of joining, or
    ///      recipients in the segment seed.
    function test_attack_theLastToJoinAimsAtTheSegments() public {
        AgreementId id = drawn(3);
        join(id, 0);
        join(id, 1);
        address last = seatOf(id, 2);
        for (uint256 k = 0; k < 12; k++) {
            AgreementId other = trained(bytes32(k), auditedTerms(5), scientist);
            draw(other);
            for (uint8 i = 0; i < 5; i++) {
                if (seatOf(other, i) == last && verifierOf(last).stake - verifierOf(last).locked > 2 * SEAT_STAKE) {
                    join(other, i);
                }
            }
            for (uint256 opening = audit(id).opening + 1; opening <= audits.opened(); opening++) {
                bytes26 wrong = linkAt(last, opening);
                vm.expectPartialRevert(IVerifiers.LinkDiffers.selector);
                vm.prank(last);
                audits.join(id, 0, 2, wrong, "recipient");
            }
        }
        vm.assertTrue(verifierOf(last).position > audit(id).opening, "it joined nothing in between");
        vm.prank(last);
        verifiers.renewChain("aimed");
        vm.expectPartialRevert(IVerifiers.ChainIsYounger.selector);
        vm.prank(last);
        audits.join(id, 0, 2, "aimed", "recipient");
    }

    /// @dev The asker waits for the turn's end and takes the seed it likes better. Mutation: its nonce draws after
    ///      the turn too.
    function test_attack_theAskerChoosesBetweenTwoSeeds() public {
        AgreementId id = opened(3);
        uint256 lastBlock = audit(id).openedBlock + 25;
        vm.roll(lastBlock + 1);
        audits.draw(id, 0, ASKER_NONCE);

        bytes32 seed = keccak256(abi.encode(key(id), blockhash(audit(id).openedBlock), blockhash(lastBlock)));
        vm.assertEq(audit(id).seed, seed, "the nonce draws after the turn");
    }

    // --- the pool (row 10)

    /// @dev 200 refundable stakes enter the pool and leave it; of forty draws none is short of a seat, and the places
    ///      are used again. Mutation: `_vacate` leaves an empty place.
    function test_attack_refundableStakesChokeThePool() public {
        uint256 places = verifiers.placesOf(0).length;
        for (uint160 i = 0; i < 200; i++) {
            address account = address(0xF0000 + i);
            fit.transfer(account, 1000 ether);
            stake(account, 1000 ether);
            vm.prank(account);
            verifiers.joinPool();
        }
        vm.roll(vm.getBlockNumber() + 1);
        for (uint160 i = 0; i < 200; i++) {
            vm.prank(address(0xF0000 + i));
            verifiers.leavePool();
        }
        vm.roll(vm.getBlockNumber() + 1);
        vm.assertEq(verifiers.placesOf(0).length, places, "places are not given back");
        Terms memory terms = auditedTerms(5);
        (terms.audit.mode, terms.audit.panel) = (DisclosureMode.Open, NO_PANEL);
        for (uint256 k = 0; k < 40; k++) {
            AgreementId id = trained(bytes32(k), terms, scientist);
            draw(id);
            for (uint256 i = 0; i < 5; i++) {
                vm.assertTrue(seatOf(id, i) != address(0), "a seat found nobody");
            }
        }
    }

    /// @dev They stay and are silent: each stalls one audit of its own seat once. Mutation: `away` not set, or not
    ///      looked at.
    function test_attack_silentStakesStallOnce() public {
        AgreementId id = drawn(3);
        address[] memory first = audits.seated(id, 0);
        uint256 windows;
        while (audit(id).phase == Phase.Joining && windows < 2) {
            advanceLate(id);
            windows++;
        }
        AgreementId next = trained("next", auditedTerms(3), scientist);
        for (uint256 k = 0; k < 20; k++) {
            uint256 snapshot = vm.snapshotState();
            drawBehind(next, keccak256(abi.encode(k)));
            for (uint256 i = 0; i < 3; i++) {
                for (uint256 j = 0; j < 3; j++) {
                    vm.assertNotEq(seatOf(next, i), first[j], "who was silent stalls again");
                }
            }
            vm.revertToState(snapshot);
        }
    }

    // --- vetoes (row 11)

    /// @dev One member of three leaves, and no dispute can be opened. Mutation: eligibility counted at the dispute.
    function test_attack_oneMemberVetoesADispute() public {
        address[] memory five = new address[](5);
        for (uint256 i = 0; i < 5; i++) {
            five[i] = members[i];
        }
        Terms memory terms = disputableTerms(3);
        terms.audit.panel = panelOf("five", five);
        AgreementId id = trained(terms);
        for (uint256 i = 0; i < 2; i++) {
            vm.prank(members[i]);
            verifiers.leavePanel(terms.audit.panel);
        }
        dispute(id);
        draw(id);
        joinAll(id);
        submit(id);
        vote(id, [Outcome.Mismatch, Outcome.Mismatch, Outcome.Mismatch]);

        assertState(id, State.Forfeited);
    }

    /// @dev Of two verifiers the lazy one was always paid. Mutation: even numbers of seats.
    function test_attack_aLazyVerifierOfTwo() public {
        vm.expectRevert(abi.encodeWithSelector(IAgreements.SeatCountRefused.selector, 2, 15));
        vm.prank(scientist);
        agreements.request("salt", auditedTerms(2), cid("offer"), noPermit());
    }

    /// @dev And where there is no quorum nobody is paid. Mutation: completed replays paid without one.
    function test_attack_aLazyVerifierBlocksAndIsNotPaid() public {
        AgreementId id = evident(3);
        address lazy = seatOf(id, 2);
        commit(id, 0, Outcome.Match);
        commit(id, 1, Outcome.Mismatch);
        commit(id, 2, Outcome.Match, "random");
        reveal(id, 0, Outcome.Match);
        reveal(id, 1, Outcome.Mismatch);
        reveal(id, 2, Outcome.Match, "random");
        advance(id);

        assertVerdict(id, Outcome.Inconclusive);
        assertEarned(lazy, 0);
    }

    /// @dev A fee of nothing makes blocking free. Mutation: no floor.
    function test_attack_seatsThatCostNothing() public {
        Terms memory terms = auditedTerms(3);
        (terms.audit.feePerSeat, terms.audit.seatStake) = (0, 0);

        vm.expectRevert(abi.encodeWithSelector(IAgreements.FeeBelowFloor.selector, 0, 1 ether));
        vm.prank(scientist);
        agreements.request("salt", terms, cid("offer"), noPermit());
    }

    /// @dev The owner's line is cut for a window. Mutation: the first Withheld is a verdict.
    function test_attack_cuttingTheOwnersLineForAWindow() public {
        AgreementId id = joined(3);
        advanceLate(id);
        submit(id);
        vote(id, [Outcome.Match, Outcome.Match, Outcome.Match]);
        release(id);

        assertState(id, State.Settled);
        assertOwed(owner, PRICE + BOND);
    }

    // --- escapes (row 12)

    /// @dev In the last second, nothing trained, the owner diverges at leaf 0 and has its bond back. Mutation:
    ///      `endTraining` without its first branch.
    function test_attack_escapingTheDeadlineByDiverging() public {
        AgreementId id = begun();
        vm.warp(agreements.agreement(id).deadline);
        diverge(id, ending(id, 1));

        assertState(id, State.Forfeited);
        assertOwed(owner, 0);
        assertOwed(scientist, PRICE + BOND / 2);
    }

    function test_attack_escapingTheDeadlineIsOpenToDisputeWhereOneIsAgreed() public {
        AgreementId id = begun(disputableTerms(3));
        diverge(id, ending(id, 1));
        assertState(id, State.Diverged);
        dispute(id);
        draw(id);
        joinAll(id);
        submit(id);
        vote(id, [Outcome.Mismatch, Outcome.Mismatch, Outcome.Mismatch]);

        assertState(id, State.Forfeited);
    }

    /// @dev After an anchored group it stands by what it anchored: price for no more than its steps.
    function test_attack_divergingLaterIsPaidByItsSteps() public {
        AgreementId id = diverged(3);

        assertState(id, State.Diverged);
        vm.assertEq(agreements.agreement(id).price, uint256(PRICE) * 4 / 11, "another price is due");
    }

    // --- numbers and loops (row 13)

    /// @dev A panel's number was cut to 24 bits, so a later panel could pass for an earlier one. Mutation: an
    ///      unchecked cast.
    function test_attack_aPanelNumberThatIsCut() public {
        bytes32 slot = slotOfPanelCount();
        vm.store(address(registry), slot, bytes32(uint256(1 << 24)));
        PanelId id = registry.createPanel("beyond 24 bits");
        vm.assertEq(registry.panelNumber(id), (1 << 24) + 1, "the number is cut");
        vm.store(address(registry), slot, bytes32(uint256(type(uint32).max)));

        vm.expectPartialRevert(bytes4(keccak256("SafeCastOverflowedUintDowncast(uint8,uint256)")));
        registry.createPanel("beyond 32 bits");
    }

    /// @dev The slot that counts panels: the one that grows by one.
    function slotOfPanelCount() private returns (bytes32) {
        for (uint256 slot = 0; slot < 32; slot++) {
            bytes32 before = vm.load(address(registry), bytes32(slot));
            uint256 snapshot = vm.snapshotState();
            registry.createPanel("one more");
            bytes32 afterwards = vm.load(address(registry), bytes32(slot));
            vm.revertToState(snapshot);
            if (uint256(afterwards) == uint256(before) + 1) return bytes32(slot);
        }
        revert("no slot counts panels");
    }

    /// @dev A panel of thousands of dead members made `accept` too large for a block. Mutation: a loop over members
    ///      in `standing`.
    function test_attack_aPanelOfThousandsOfDeadMembers() public {
        uint256 small = costOfRequest(panel, "small");
        address[] memory dead = new address[](1500);
        for (uint160 i = 0; i < 1500; i++) {
            dead[i] = address(0xD0000 + i);
            vm.prank(dead[i]);
            verifiers.stake(0, "link", noPermit());
        }
        uint256 large = costOfRequest(panelOf("dead", dead), "large");

        vm.assertLe(large, small + 5000, "a request costs more in a larger panel");
    }

    function costOfRequest(PanelId which, bytes32 salt) private returns (uint256 used) {
        Terms memory terms = auditedTerms(3);
        terms.audit.panel = which;
        approve(scientist, terms.price + 3 * FEE, address(agreements));
        bytes memory offer = cid("offer");
        uint256 before = gasleft();
        vm.prank(scientist);
        agreements.request(salt, terms, offer, noPermit());
        used = before - gasleft();
    }

    // --- what a checker needs (rows 1, 7, 15)

    /// @dev One account as owner and scientist with a panel of its own: the chain cannot know, but it says all that a
    ///      checker with a trust list asks.
    function test_attack_aSelfDealtJobStandsOnChainAsWhatItIs() public {
        fit.transfer(owner, 1e6 ether);
        address[] memory own = sybils(0xF0000, 5);
        vm.prank(owner);
        PanelId ours = registry.createPanel("Reproducibility Board");
        vm.prank(owner);
        verifiers.invite(ours, own);
        for (uint256 i = 0; i < 5; i++) {
            joinPanel(own[i], ours);
        }
        vm.roll(vm.getBlockNumber() + 1);
        Terms memory terms = auditedTerms(3);
        terms.audit.panel = ours;
        AgreementId id = trained("salt", terms, owner);
        draw(id);
        joinAll(id);

        (address owner_, address scientist_) = agreements.parties(id);
        vm.assertEq(owner_, scientist_, "owner and scientist are not one account");
        vm.assertEq(registry.panel(ours).creator, owner, "the creator is another");
        Membership memory known = verifiers.membership(registry.panelNumber(ours), own[0]);
        vm.assertEq(known.joined, block.number - 3, "when a member joined is not told");
        Verifier memory seat = verifierOf(seatOf(id, 0));
        vm.assertEq(seat.locked, SEAT_STAKE, "a seat's stake is not told");
    }

    /// @dev Begin, all anchors and finish in one block: the record says so.
    function test_attack_aTranscriptAnchoredInOneBlock() public {
        AgreementId id = trained();

        RunRecord memory known = proof.run(id);
        vm.assertEq(known.firstBlock, known.lastBlock, "the anchors were not in one block");
        vm.assertEq(known.firstTime, block.timestamp, "the time is another");
    }
}
