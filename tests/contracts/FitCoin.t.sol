// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC20Metadata} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Metadata.sol";
import {Permit} from "../../contracts/types/Terms.sol";
import {Fixture} from "./Fixture.sol";

contract FitCoinTest is Fixture {
    function test_constructor_mintsTheWholeSupplyToTheHolder() public view {
        vm.assertEq(fit.totalSupply(), 1e9 ether, "the supply is not 1e9 FIT");
        vm.assertEq(fit.balanceOf(address(this)), 1e9 ether - 2e6 ether, "the holder was not given the supply");
        IERC20Metadata named = IERC20Metadata(address(fit));
        vm.assertEq(named.decimals(), 18, "FIT has not 18 decimals");
        vm.assertEq(bytes(named.symbol()), "FIT", "the symbol is another");
    }

    function test_burn_shrinksTheSupplyForEver() public {
        fit.burn(3 ether);

        vm.assertEq(fit.totalSupply(), 1e9 ether - 3 ether, "the supply did not shrink by what was burned");
    }

    function test_permit_allowsWhatWasSigned() public {
        Permit memory p = signedPermit(OWNER_KEY, 5 ether);

        fit.permit(owner, address(agreements), p.value, p.deadline, p.v, p.r, p.s);

        vm.assertEq(fit.allowance(owner, address(agreements)), 5 ether, "the permit gave another allowance");
        vm.assertEq(fit.nonces(owner), 1, "the permit can be used again");
    }
}
