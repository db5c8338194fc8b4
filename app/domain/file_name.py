"""What a file may be called, whoever names it: the sender, a form, or an address. Pure."""

from __future__ import annotations

MAX_FILENAME = 255  # characters


def clean_filename(name: str) -> str:
    """Return the last part of a name without what cannot be shown; it is never used as a path."""
    last = name.replace("\\", "/").rpartition("/")[2]
    return printable(last).strip()[:MAX_FILENAME]


def printable(name: str) -> str:
    """Return a name without what no header and no database takes: ends of lines, NUL, halves of surrogates."""
    return "".join(char for char in name if char.isprintable())
