// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {IFitCoin} from "../interfaces/IFitCoin.sol";
import {Permit} from "../types/Terms.sol";

/// @title Payment
/// @notice Takes FIT from the caller.
library Payment {
    using SafeERC20 for IFitCoin;

    /// @notice Tries the permit, then takes `amount` by the allowance.
    /// @dev A permit is public before it is mined and anyone may spend it first, so its failure says nothing: the
    ///      allowance decides (EIP-2612, security considerations).
    function collect(IFitCoin fitCoin, uint256 amount, Permit calldata p) internal {
        if (p.deadline != 0) {
            try fitCoin.permit(msg.sender, address(this), p.value, p.deadline, p.v, p.r, p.s) {} catch {}
        }
        fitCoin.safeTransferFrom(msg.sender, address(this), amount);
    }
}
