// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Payouts} from "../../contracts/libraries/Payouts.sol";
import {AuditKind, Outcome} from "../../contracts/types/Audit.sol";
import {Vm} from "./Vm.sol";

/// @notice The one table of who gets what: it adds up, and it is the pods' (payouts.json).
contract PayoutsTest {
    Vm private constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));
    /// Situation, kind, outcome, P, B, f, m, v, p, C, whether C returns; to owner, scientist, seats, burned.
    uint256 private constant WIDTH = 15;

    /// @dev Situations: 0 given back, 1 deadline missed, 2 settled, 3 never released, 4 verdict, 5 release over, 6
    ///      asked again.
    function pay(uint256[] memory row) private pure returns (Payouts.Payout memory) {
        Payouts.Escrow memory escrow =
            Payouts.Escrow({price: row[3], bond: row[4], fees: row[5] * row[6], counterBond: row[9]});
        if (row[0] == 0) return Payouts.givenBack(escrow);
        if (row[0] == 1) return Payouts.deadlineMissed(escrow);
        if (row[0] == 2) return Payouts.settled(escrow);
        if (row[0] == 3) return Payouts.neverReleased(escrow);
        if (row[0] == 4) return Payouts.verdict(AuditKind(row[1]), Outcome(row[2]), escrow, row[5] * row[8]);
        if (row[0] == 5) return Payouts.releaseOver(row[5], row[6], row[7], row[8], row[9], row[10] == 1);
        return Payouts.askedAgain(row[5], row[6], row[8]);
    }

    function test_table_isThePods() public view {
        uint256[] memory table = vm.parseJsonUintArray(vm.readFile("tests/contracts/payouts.json"), ".rows");
        vm.assertTrue(table.length >= 30 * WIDTH && table.length % WIDTH == 0, "the table has another shape");
        for (uint256 at = 0; at < table.length; at += WIDTH) {
            uint256[] memory row = new uint256[](WIDTH);
            for (uint256 i = 0; i < WIDTH; i++) {
                row[i] = table[at + i];
            }
            Payouts.Payout memory p = pay(row);
            vm.assertEq(p.toOwner, row[11], "the owner has another amount");
            vm.assertEq(p.toScientist, row[12], "the scientist has another amount");
            vm.assertEq(p.toVerifiers, row[13], "the seats have another amount");
            vm.assertEq(p.burned, row[14], "another amount is burned");
        }
    }

    function testFuzz_table_givesAwayAllThatIsLockedAndNoMore(
        uint80[4] memory amounts,
        uint8[3] memory counts,
        uint8 kind
    ) public pure {
        uint256 seats = counts[0] % 15 + 1;
        uint256 matching = counts[1] % (seats + 1);
        uint256 paid = counts[2] % (matching + 1);
        uint256 fee = amounts[2];
        uint256 bond = uint256(amounts[1]) + seats * fee;
        Payouts.Escrow memory e = Payouts.Escrow(amounts[0], bond, seats * fee, amounts[3]);
        uint256 all = e.price + e.bond + e.fees + e.counterBond;

        assertSum(Payouts.deadlineMissed(e), all);
        assertSum(Payouts.verdict(AuditKind(kind % 2), Outcome.Mismatch, e, paid * fee), all);
        assertSum(Payouts.verdict(AuditKind(kind % 2), Outcome.Withheld, e, 0), all);
        assertSum(Payouts.verdict(AuditKind(kind % 2), Outcome.Inconclusive, e, 0), all);
        assertSum(Payouts.givenBack(e), e.price + e.fees);
        assertSum(Payouts.settled(e), e.price + e.bond);
        assertSum(Payouts.neverReleased(e), e.price + e.bond);
        bool returned = kind % 2 == 0;
        assertSum(Payouts.releaseOver(fee, seats, matching, paid, e.counterBond, returned), e.fees + e.counterBond);
        assertSum(Payouts.askedAgain(fee, seats, paid), e.fees);
    }

    function assertSum(Payouts.Payout memory p, uint256 all) private pure {
        vm.assertEq(p.toOwner + p.toScientist + p.toVerifiers + p.burned, all, "the shares are not the whole");
    }
}
