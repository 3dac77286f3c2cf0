// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @dev The contracts of one deployment.
struct Contracts {
    address fitCoin;
    address registry;
    address verifiers;
    address agreements;
    address proofOfTrain;
    address audits;
}

/// @title Directory
/// @notice Which contracts make up a deployment. They call one another, so none could be given the others' addresses
///         when it is created if its own address depended on them (CREATE2): each is given this contract instead,
///         reads the list in its constructor and keeps what it needs as immutables. It plays no part afterwards.
/// @dev Order: create the directory; compute the six addresses from it; `fill`; create the six, in any order.
/// @dev Warning: whoever fills a directory decides who may call whom. A client believes a deployment only after it
///      compared the code of every contract with the artifacts, immutables included.
interface IDirectory {
    /// @notice The list stands and never changes.
    event Filled(Contracts contracts);

    /// @notice Only who created the directory fills it.
    error CallerIsNotDeployer(address caller, address deployer);
    /// @notice The list was given before.
    error FilledAlready();
    /// @notice The list was not given yet.
    error NotFilled();

    /// @notice Gives the list, once.
    function fill(Contracts calldata contracts) external;

    /// @notice The list.
    /// @dev Reverts with NotFilled.
    function contracts() external view returns (Contracts memory);

    /// @notice Who fills it.
    function deployer() external view returns (address);
}
