"""Kinds of identifiers: the type checker keeps them apart, and at run time each is a digest.

mypy strict refuses an ignore that silences nothing, so each `type: ignore` below is an assertion
that the line does not check.
"""

from __future__ import annotations

import pytest

from fitchain.pod.values.audit_mode import AuditMode
from fitchain.pod.values.digest import Digest, Root, sha256, tagged
from fitchain.pod.values.ids import AgreementId, DatasetId, ModelId, PanelId
from fitchain.pod.values.state import state_digest

ID = AgreementId(sha256(b"agreement"))


def test_an_agreement_id_passes_for_no_root_and_no_other_id() -> None:
    dataset: DatasetId = ID  # type: ignore[assignment]
    model: ModelId = ID  # type: ignore[assignment]
    panel: PanelId = ID  # type: ignore[assignment]
    root: Root = ID  # type: ignore[assignment]
    assert state_digest(ID, ID) == state_digest(root, root)  # type: ignore[arg-type]
    assert {dataset, model, panel} == {ID}


def test_every_kind_is_a_digest() -> None:
    digest: Digest = ID
    assert type(digest) is Digest and AgreementId(Digest.parse(str(ID))) == ID
    assert tagged("fitchain/x/v2", ID) == tagged("fitchain/x/v2", digest)


def test_a_mode_is_no_number() -> None:
    with pytest.raises(TypeError):
        ("open", "sampled", "on-site")[AuditMode.OPEN]  # type: ignore[call-overload]
