"""Licences by the identifiers that tools know, and what somebody means who writes another.

Source: https://spdx.org/licenses/ (version 3.27), the ones that models and data come under.
"""

from __future__ import annotations

import re

from fitchain.pod.values.errors import InputRefused
from fitchain.pod.values.suggestions import near_names

SPDX = (
    *("AFL-3.0", "AGPL-3.0-only", "AGPL-3.0-or-later", "Apache-1.1", "Apache-2.0", "Artistic-2.0", "BSD-2-Clause"),
    *("BSD-3-Clause", "BSD-3-Clause-Clear", "BSL-1.0", "BUSL-1.1", "C-UDA-1.0", "CC-BY-2.0", "CC-BY-2.5", "CC-BY-3.0"),
    *("CC-BY-4.0", "CC-BY-NC-2.0", "CC-BY-NC-3.0", "CC-BY-NC-4.0", "CC-BY-NC-ND-4.0", "CC-BY-NC-SA-4.0"),
    *("CC-BY-ND-4.0", "CC-BY-SA-3.0", "CC-BY-SA-4.0", "CC-PDDC", "CC0-1.0", "CDLA-Permissive-1.0"),
    *("CDLA-Permissive-2.0", "CDLA-Sharing-1.0", "CECILL-2.1", "ECL-2.0", "EPL-1.0", "EPL-2.0", "EUPL-1.1", "EUPL-1.2"),
    *("GPL-2.0-only", "GPL-2.0-or-later", "GPL-3.0-only", "GPL-3.0-or-later", "ISC", "LGPL-2.1-only"),
    *("LGPL-2.1-or-later", "LGPL-3.0-only", "LGPL-3.0-or-later", "MIT", "MIT-0", "MPL-1.1", "MPL-2.0", "MS-PL"),
    *("MulanPSL-2.0", "NCSA", "ODC-By-1.0", "ODbL-1.0", "OFL-1.1", "OSL-3.0", "PDDL-1.0", "PostgreSQL", "UPL-1.0"),
    *("Unlicense", "WTFPL", "Zlib"),
)
OWN = re.compile(r"LicenseRef-[A-Za-z0-9.-]{1,60}")
"""How SPDX names a licence of one's own."""
OTHER = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+-]{0,59}")
"""As the Hub and SPDX write identifiers."""
_NOISE = ("the", "license", "licence", "version", "v", "gnu")


def read_licence(text: str) -> str:
    """Read an identifier of a licence.

    Args:
        text: as somebody wrote it.

    Returns:
        SPDX' own spelling, whatever the letters' case; a licence of one's own (`LicenseRef-NAME`),
        and an identifier like none of SPDX', as it is.

    Raises:
        InputRefused: it is none, or nearly one of SPDX'.
    """
    spellings = {each.lower(): each for each in SPDX}
    if (identifier := spellings.get(text.lower())) is not None:
        return identifier
    if OWN.fullmatch(text):
        return text
    near = near_licences(text)
    if near or not OTHER.fullmatch(text):
        raise InputRefused(
            f"{text!r:.80} is no SPDX identifier of a licence",
            (f"did you mean {' or '.join(near)}? " if near else "")
            + "write Apache-2.0, MIT, say, or LicenseRef-NAME for one of your own",
        )
    return text


def is_spdx(identifier: str) -> bool:
    """Whether `read_licence` found it among SPDX'."""
    return identifier in SPDX


def hub_lines(identifier: str) -> list[tuple[str, str]]:
    """How a model card names a licence: fields and values, as the Hub has them.

    Source: https://huggingface.co/docs/hub/repositories-licenses
    """
    if OWN.fullmatch(identifier):
        return [("license", "other"), ("license_name", identifier.removeprefix("LicenseRef-"))]
    if is_spdx(identifier):
        return [("license", identifier.removesuffix("-only").removesuffix("-or-later").lower())]
    return [("license", identifier)]


def near_licences(text: str) -> list[str]:
    """Up to three of SPDX' identifiers that somebody may mean; none where it is one itself."""
    if text in SPDX:
        return []
    plain = {_plain(each): each for each in reversed(SPDX)}
    said = _plain(text)
    begun = [each for each in SPDX if _letters(said) == _letters(_plain(each)) and _digits(said) in _digits(each)]
    return begun[:3] or [plain[each] for each in near_names(said, plain, cutoff=0.75)]


def _plain(text: str) -> str:
    """Small letters and digits, without the words that say nothing of which it is."""
    spaced = re.sub(r"v(?=[0-9])", " ", text.lower())
    words = [word for word in re.findall(r"[a-z]+|[0-9]+", spaced) if word not in _NOISE]
    return "".join(words).replace("orlater", "").replace("only", "").replace("clause", "")


def _letters(text: str) -> str:
    return re.sub(r"[^a-z]", "", text)


def _digits(text: str) -> str:
    return re.sub(r"[^0-9]", "", text)
