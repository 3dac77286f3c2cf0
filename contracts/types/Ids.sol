// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @dev keccak256(abi.encode(chain id, Agreements, scientist, salt)).
type AgreementId is bytes32;

/// @dev keccak256(abi.encode(agreement id, uint16 ordinal)): what seeds, votes and traces are bound to.
type AuditId is bytes32;

/// @dev keccak256(abi.encode(chain id, Registry, owner, root, count, ledger, keccak256(card CID))).
type DatasetId is bytes32;

/// @dev keccak256(abi.encode(chain id, Registry, author, graph digest, model root, base,
///      keccak256(abi.encodePacked(parents)), derivation)).
type ModelId is bytes32;

/// @dev keccak256(abi.encode(chain id, Registry, creator, keccak256(name))); zero where no panel is named.
type PanelId is bytes32;

using {agreementIdEquals as ==} for AgreementId global;
using {datasetIdEquals as ==} for DatasetId global;
using {modelIdEquals as ==, modelIdDiffers as !=} for ModelId global;
using {panelIdEquals as ==, panelIdDiffers as !=} for PanelId global;

ModelId constant NO_MODEL = ModelId.wrap(0);
PanelId constant NO_PANEL = PanelId.wrap(0);

/// @dev The id of an audit: 0 is the one that the terms or a dispute opened, from 1 on those that were asked for again.
function auditIdOf(AgreementId id, uint16 ordinal) pure returns (AuditId) {
    return AuditId.wrap(keccak256(abi.encode(id, ordinal)));
}

function agreementIdEquals(AgreementId a, AgreementId b) pure returns (bool) {
    return AgreementId.unwrap(a) == AgreementId.unwrap(b);
}

function datasetIdEquals(DatasetId a, DatasetId b) pure returns (bool) {
    return DatasetId.unwrap(a) == DatasetId.unwrap(b);
}

function modelIdEquals(ModelId a, ModelId b) pure returns (bool) {
    return ModelId.unwrap(a) == ModelId.unwrap(b);
}

function modelIdDiffers(ModelId a, ModelId b) pure returns (bool) {
    return !(a == b);
}

function panelIdEquals(PanelId a, PanelId b) pure returns (bool) {
    return PanelId.unwrap(a) == PanelId.unwrap(b);
}

function panelIdDiffers(PanelId a, PanelId b) pure returns (bool) {
    return !(a == b);
}
