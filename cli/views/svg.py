"""Parts of a picture that is written as SVG."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

from fitchain.pod.values.errors import InputRefused, reason_of

INK, GREY = "#222", "#ddd"


def document(width: int, height: int, title: str, parts: Sequence[str]) -> str:
    """A whole picture on a white ground.

    Args:
        width, height: in pixels.
        title: for who does not see it.
        parts: elements.
    """
    size = f'width="{width}" height="{height}"'
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} viewBox="0 0 {width} {height}"'
        f' font-family="sans-serif" font-size="12" fill="{INK}" role="img" aria-label={quoteattr(title)}>'
    )
    return "\n".join([head, f'<rect {size} fill="white"/>', *parts, "</svg>", ""])


def text(x: float, y: float, words: str, anchor: str = "start", size: int = 12) -> str:
    """Words at a place."""
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}" font-size="{size}">{escape(words)}</text>'


def write_picture(path: Path, picture: str, what: str = "picture") -> None:
    """Write a picture, or what else is drawn, into a file.

    Raises:
        InputRefused: it cannot be written.
    """
    try:
        path.write_text(picture, "utf-8")
    except OSError as error:
        raise InputRefused(f"the {what} {path} cannot be written: {reason_of(error)}") from None
