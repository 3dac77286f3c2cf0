// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IAgreements} from "../../contracts/interfaces/IAgreements.sol";
import {IAudits} from "../../contracts/interfaces/IAudits.sol";
import {Contracts, IDirectory} from "../../contracts/interfaces/IDirectory.sol";
import {IFitCoin} from "../../contracts/interfaces/IFitCoin.sol";
import {IProofOfTrain} from "../../contracts/interfaces/IProofOfTrain.sol";
import {IRegistry} from "../../contracts/interfaces/IRegistry.sol";
import {IVerifiers} from "../../contracts/interfaces/IVerifiers.sol";
import {History} from "./History.sol";
import {Vm} from "./Vm.sol";

/// @dev The contracts of a deployment by their types.
struct System {
    IDirectory directory;
    IFitCoin fit;
    IRegistry registry;
    IVerifiers verifiers;
    IAgreements agreements;
    IProofOfTrain proof;
    IAudits audits;
}

/// @notice Deploys what pods deploy, as they do, by CREATE2 and in the same order; the contracts are as forge
///         compiled them with their own settings (foundry.toml), where `new` would compile them again into each test
///         with the tests' settings.
library Deployment {
    Vm private constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));
    bytes32 internal constant SALT = keccak256("deployment");
    uint256 internal constant FEE_FLOOR = 1 ether;
    uint256 internal constant TURN_BLOCKS = 25;

    /// @notice Everything; the caller has the supply.
    function all() internal returns (System memory made) {
        History.remember(block.number - 1, blockhash(block.number - 1));
        made.directory = IDirectory(create(code("Directory", abi.encode(address(this))), SALT));
        Contracts memory listed = contracts(made.directory, SALT);
        made.directory.fill(listed);
        bytes[6] memory creations = codes(made.directory);
        for (uint256 i = 0; i < 6; i++) {
            create(creations[i], SALT);
        }
        made.fit = IFitCoin(listed.fitCoin);
        made.registry = IRegistry(listed.registry);
        made.verifiers = IVerifiers(listed.verifiers);
        made.agreements = IAgreements(listed.agreements);
        made.proof = IProofOfTrain(listed.proofOfTrain);
        made.audits = IAudits(listed.audits);
    }

    /// @notice Creation codes of the six.
    function codes(IDirectory directory) internal view returns (bytes[6] memory) {
        return [
            code("FitCoin", abi.encode(address(this))),
            code("Registry", abi.encode(directory)),
            code("Verifiers", abi.encode(directory)),
            code("Agreements", abi.encode(directory, FEE_FLOOR)),
            code("ProofOfTrain", abi.encode(directory)),
            code("Audits", abi.encode(directory, TURN_BLOCKS))
        ];
    }

    /// @notice Where the six will stand.
    function contracts(IDirectory directory, bytes32 salt) internal view returns (Contracts memory) {
        bytes[6] memory creations = codes(directory);
        return Contracts({
            fitCoin: at(creations[0], salt),
            registry: at(creations[1], salt),
            verifiers: at(creations[2], salt),
            agreements: at(creations[3], salt),
            proofOfTrain: at(creations[4], salt),
            audits: at(creations[5], salt)
        });
    }

    /// @notice Creation code with arguments.
    function code(string memory name, bytes memory arguments) internal view returns (bytes memory) {
        return bytes.concat(vm.getCode(string.concat(name, ".sol:", name)), arguments);
    }

    /// @notice Address of what is created with this code (EIP-1014).
    function at(bytes memory creation, bytes32 salt) internal view returns (address) {
        bytes32 hash = keccak256(abi.encodePacked(hex"ff", address(this), salt, keccak256(creation)));
        return address(uint160(uint256(hash)));
    }

    /// @notice Creates it; zero if its constructor reverts.
    function tryToCreate(bytes memory creation, bytes32 salt) internal returns (address made) {
        assembly {
            made := create2(0, add(creation, 0x20), mload(creation), salt)
        }
    }

    /// @notice Creates it.
    function create(bytes memory creation, bytes32 salt) internal returns (address made) {
        made = tryToCreate(creation, salt);
        vm.assertTrue(made != address(0), "a contract was not deployed");
    }
}
