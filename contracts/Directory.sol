// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Contracts, IDirectory} from "./interfaces/IDirectory.sol";

/// @title Directory
/// @notice Which contracts make up a deployment; what it promises stands in IDirectory.
contract Directory is IDirectory {
    address public immutable deployer;

    Contracts private _contracts;

    constructor(address deployer_) {
        deployer = deployer_;
    }

    /// @inheritdoc IDirectory
    function fill(Contracts calldata contracts_) external {
        if (msg.sender != deployer) revert CallerIsNotDeployer(msg.sender, deployer);
        if (_contracts.agreements != address(0)) revert FilledAlready();

        _contracts = contracts_;

        emit Filled(contracts_);
    }

    /// @inheritdoc IDirectory
    function contracts() external view returns (Contracts memory) {
        if (_contracts.agreements == address(0)) revert NotFilled();
        return _contracts;
    }
}
