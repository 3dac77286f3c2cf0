// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @dev keccak256(abi.encode(chain id, Agreements, scientist, salt)).
type AgreementId is bytes32;

/// @dev keccak256(abi.encode(chain id, Registry, owner, root, count, keccak256(card CID))).
type DatasetId is bytes32;

/// @dev keccak256(abi.encode(chain id, Registry, author, graph digest, initial model root, parent)).
type ModelId is bytes32;

/// @dev keccak256(abi.encode(chain id, Registry, creator, keccak256(name))); zero where no panel is named.
type PanelId is bytes32;

using {agreementIdEquals as ==} for AgreementId global;
using {datasetIdEquals as ==} for DatasetId global;
using {modelIdEquals as ==, modelIdDiffers as !=} for ModelId global;
using {panelIdEquals as ==, panelIdDiffers as !=} for PanelId global;

ModelId constant NO_MODEL = ModelId.wrap(0);
PanelId constant NO_PANEL = PanelId.wrap(0);

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
