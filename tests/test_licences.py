"""Licences: by SPDX' identifiers, and what somebody means who writes another."""

from __future__ import annotations

import pytest

from fitchain.cli.licences import SPDX, hub_lines, is_spdx, read_licence
from fitchain.pod.values.errors import InputRefused


@pytest.mark.parametrize("identifier", SPDX)
def test_every_identifier_is_spdxs_and_is_read_in_any_case(identifier: str) -> None:
    cyclonedx = pytest.importorskip("cyclonedx.spdx")
    assert cyclonedx.is_supported_id(identifier)
    assert read_licence(identifier.lower()) == read_licence(identifier) == identifier and is_spdx(identifier)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("apache2", "did you mean Apache-2.0?"),
        ("Apache License 2.0", "did you mean Apache-2.0?"),
        ("apache-v2", "did you mean Apache-2.0?"),
        ("MIT License", "did you mean MIT"),
        ("GPLv3", "did you mean GPL-3.0-only or GPL-3.0-or-later?"),
        ("bsd3", "did you mean BSD-3-Clause?"),
        ("CC BY 4.0", "did you mean CC-BY-4.0?"),
        ("unlicensed", "did you mean Unlicense?"),
        ("on request", "LicenseRef-NAME for one of your own"),
        ("", "LicenseRef-NAME"),
        ("x" * 100, "LicenseRef-NAME"),
    ],
)
def test_what_is_nearly_a_licence_is_refused_with_the_one_that_is_meant(text: str, meant: str) -> None:
    with pytest.raises(InputRefused, match="is no SPDX identifier") as refused:
        read_licence(text)
    assert meant in refused.value.hint


@pytest.mark.parametrize("text", ["llama3.1", "other", "openrail", "LicenseRef-apache2", "proprietary"])
def test_others_are_taken_as_they_are(text: str) -> None:
    assert read_licence(text) == text and not is_spdx(text)


def test_the_hub_has_its_own_spelling() -> None:
    assert hub_lines("GPL-3.0-or-later") == [("license", "gpl-3.0")]
    assert hub_lines("LicenseRef-Clinic-1") == [("license", "other"), ("license_name", "Clinic-1")]
    assert hub_lines("llama3.1") == [("license", "llama3.1")]
