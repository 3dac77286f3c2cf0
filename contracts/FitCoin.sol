// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {ERC20Burnable} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Burnable.sol";
import {ERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Permit.sol";
import {IERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Permit.sol";
import {IFitCoin} from "./interfaces/IFitCoin.sol";

/// @title FitCoin
/// @notice The utility token; what it promises stands in IFitCoin.
contract FitCoin is ERC20Permit, ERC20Burnable, IFitCoin {
    uint256 private constant SUPPLY = 1e9 ether;

    constructor(address initialHolder) ERC20("FitCoin", "FIT") ERC20Permit("FitCoin") {
        _mint(initialHolder, SUPPLY);
    }

    /// @inheritdoc IFitCoin
    function burn(uint256 value) public override(ERC20Burnable, IFitCoin) {
        super.burn(value);
    }

    /// @inheritdoc IERC20Permit
    function nonces(address owner) public view override(ERC20Permit, IERC20Permit) returns (uint256) {
        return super.nonces(owner);
    }
}
