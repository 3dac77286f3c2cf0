// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {IERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Permit.sol";

/// @title FitCoin
/// @notice The utility token FIT in which jobs are paid and bonds are posted: ERC-20 with EIP-2612 permit, 18 decimals,
///         a supply of 1e9 FIT that is minted once and can only shrink.
interface IFitCoin is IERC20, IERC20Permit {
    /// @notice Destroys `value` base units of the caller's.
    function burn(uint256 value) external;
}
