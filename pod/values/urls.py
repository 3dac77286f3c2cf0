"""URLs that a person names: read once, and told without what nobody else may see."""

from __future__ import annotations

import re
from urllib.parse import SplitResult, urlsplit

from fitchain.pod.values.errors import InputRefused

MOST_PORT = 65535
MOST_SHOWN = 80
_NOT_IN_URLS = re.compile(r"[\x00-\x20\x7f-\x9f\\]")


def http_url(url: str, what: str) -> SplitResult:
    """Read a URL that begins with http:// or https://.

    Args:
        url: as a person wrote it.
        what: what it is wanted as, such as "URL of a node".

    Returns:
        its parts.

    Raises:
        InputRefused: it is none; the message says why, and shows neither user, password, path nor
            query: those may hold a provider's key.
    """
    if reason := _reason_against(url):
        raise InputRefused(f"{shown_url(url)} is no {what}: {reason}", "write it as http://127.0.0.1:8545, say")
    return urlsplit(url)


def shown_url(url: str) -> str:
    """Whatever was written where a URL belongs, for people: without user, password, path and
    query."""
    try:
        return without_secrets(url)
    except ValueError:
        scheme, mark, rest = url.rpartition("//") if url.count("//") == 1 else ("", "", url)
        authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
        # An @ behind the first slash may end a password that has one.
        host = "…" if "@" in rest and "@" not in authority else authority.rpartition("@")[2]
        return repr(f"{scheme}{mark}{host}"[:MOST_SHOWN])


def without_secrets(url: str) -> str:
    """A URL without user, password, path and query.

    Raises:
        ValueError: it has no host, or a port that is none.
    """
    parts = urlsplit(url)
    if not parts.hostname or _NOT_IN_URLS.search(parts.netloc):
        raise ValueError("a URL has a host")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{host}{port}" + ("/…" if len(parts.path) > 1 or parts.query else "")


def _reason_against(url: str) -> str:
    """Why a text is no URL of HTTP; empty where it is one."""
    try:
        parts = urlsplit(url)
        hostname = parts.hostname
    except ValueError:  # a bracket without its other one, or no IPv6 address between them
        return "between [ and ] stands an IPv6 address"
    if parts.scheme not in ("http", "https"):
        return "it begins with http:// or https://"
    if _NOT_IN_URLS.search(url):
        return "it has a space in it, or another letter that no URL has"
    if not hostname:
        return "it names no host"
    return "" if _has_port(parts) else f"the port is a number from 1 to {MOST_PORT}"


def _has_port(parts: SplitResult) -> bool:
    """Whether a URL's port is one, or left out."""
    try:
        return parts.port != 0
    except ValueError:
        return False
