// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Vm} from "./Vm.sol";

/// @notice The history contract of EIP-2935, which forge's chain lacks.
library History {
    Vm private constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));
    address internal constant AT = 0x0000F90827F1C53a10cb7A02335B175320002935;
    uint256 internal constant WINDOW = 8191;
    /// @dev As the EIP gives it.
    bytes internal constant CODE =
        hex"3373fffffffffffffffffffffffffffffffffffffffe14604657602036036042575f35600143038111604257611fff81430311604257611fff9006545f5260205ff35b5f5ffd5b5f35611fff60014303065500";

    /// @notice Puts the contract there, knowing nothing.
    function install() internal {
        vm.etch(AT, CODE);
    }

    /// @notice Takes it away.
    function remove() internal {
        vm.etch(AT, "");
    }

    /// @notice Lets it remember the hash of a block.
    function remember(uint256 number, bytes32 hash) internal {
        install();
        vm.store(AT, bytes32(number % WINDOW), hash);
    }
}
