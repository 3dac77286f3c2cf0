// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IAgreements} from "../../contracts/interfaces/IAgreements.sol";
import {IFitCoin} from "../../contracts/interfaces/IFitCoin.sol";
import {IRegistry} from "../../contracts/interfaces/IRegistry.sol";
import {Vm} from "./Vm.sol";

/// @notice Deploys what pods deploy: the contracts as forge compiled them with their own settings (foundry.toml), where
///         `new` would compile them again into each test with the tests' settings.
library Deployment {
    /// @notice Everything; the caller has the supply.
    function all(Vm vm) internal returns (IFitCoin fit, IRegistry entries, IAgreements terms) {
        fit = fitCoin(vm);
        entries = registry(vm);
        terms = agreements(vm, fit, entries);
    }

    /// @notice The token; the caller has the supply.
    function fitCoin(Vm vm) internal returns (IFitCoin) {
        return IFitCoin(create(vm, "FitCoin.sol:FitCoin", abi.encode(address(this))));
    }

    /// @notice The registry.
    function registry(Vm vm) internal returns (IRegistry) {
        return IRegistry(create(vm, "Registry.sol:Registry", ""));
    }

    /// @notice Agreements, and the two contracts that it deploys.
    function agreements(Vm vm, IFitCoin fit, IRegistry entries) internal returns (IAgreements) {
        return IAgreements(create(vm, "Agreements.sol:Agreements", abi.encode(fit, entries)));
    }

    /// @dev Not by the cheatcode that deploys, which costs no gas.
    function create(Vm vm, string memory name, bytes memory arguments) private returns (address made) {
        bytes memory code = bytes.concat(vm.getCode(name), arguments);
        assembly {
            made := create(0, add(code, 0x20), mload(code))
        }
        vm.assertTrue(made != address(0), "a contract was not deployed");
    }
}
