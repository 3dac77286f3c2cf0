// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Outcome, Phase} from "../../contracts/types/Audit.sol";
import {AgreementId} from "../../contracts/types/Ids.sol";
import {AuditFixture} from "./AuditFixture.sol";

/// @notice Who gets what by each verdict, against the pods' table (payouts.json, from pod/proof/audit/payouts.py).
contract PayoutsTest is AuditFixture {
    string private json = vm.readFile("tests/contracts/payouts.json");

    function number(string memory path) private view returns (uint256) {
        return vm.parseJsonUint(json, path);
    }

    function item(string memory path, uint256 index) private pure returns (string memory) {
        bytes memory digits = index < 10 ? new bytes(1) : new bytes(2);
        if (index >= 10) digits[0] = bytes1(uint8(48 + index / 10));
        digits[digits.length - 1] = bytes1(uint8(48 + index % 10));
        return string.concat(path, "[", string(digits), "]");
    }

    function test_table_isOfTheFixturesAmounts() public view {
        vm.assertEq(number(".price"), PRICE, "the table has another price");
        vm.assertEq(number(".bond"), BOND, "the table has another bond");
        vm.assertEq(number(".fee"), FEE, "the table has another fee");
        vm.assertEq(number(".counterBond"), COUNTER_BOND, "the table has another counter-bond");
    }

    function test_everyVerdict_paysWhatTheTableSays() public {
        uint256 count = number(".count");
        for (uint256 i = 0; i < count; i++) {
            uint256 snapshot = vm.snapshotState();
            play(item(".cases", i));
            vm.revertToState(snapshot);
        }
    }

    function play(string memory case_) private {
        uint256 supply = fit.totalSupply();
        AgreementId id = voted(case_);
        if (audits.audit(id).phase == Phase.Matched) {
            if (number(string.concat(case_, ".released")) == 1) release(id);
            else advanceLate(id);
        }

        assertVerdict(id, Outcome(number(string.concat(case_, ".verdict"))));
        assertOwed(owner, number(string.concat(case_, ".owner")));
        assertOwed(scientist, number(string.concat(case_, ".scientist")));
        uint256 burned = number(string.concat(case_, ".burned"));
        for (uint256 seat = 0; seat < 3; seat++) {
            uint256 lost = STAKE * number(item(string.concat(case_, ".slashed"), seat));
            assertEarned(seatOf(id, seat), number(item(string.concat(case_, ".earned"), seat)));
            assertStake(seatOf(id, seat), STAKE - lost);
            burned += lost;
        }
        vm.assertEq(supply - fit.totalSupply(), burned, "another amount was burned");
        assertBalanced();
    }

    function voted(string memory case_) private returns (AgreementId id) {
        id = number(string.concat(case_, ".disputed")) == 1 ? disputed(3) : opened(3);
        draw(id);
        joinAll(id);
        Outcome[3] memory votes;
        for (uint256 seat = 0; seat < 3; seat++) {
            votes[seat] = Outcome(number(item(string.concat(case_, ".votes"), seat)));
        }
        if (votes[0] == Outcome.None) {
            advanceLate(id);
        } else {
            submit(id);
            vote(id, votes);
        }
    }
}
