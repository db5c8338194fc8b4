"""How a platform's settings are read: text in, a number or a flag out, or an error that names the setting."""

from __future__ import annotations


def read_flag(value: str, *, name: str) -> bool:
    """Return a true/false setting. Raises ValueError naming it."""
    if value.lower() in {"true", "1", "yes", "on", "false", "0", "no", "off"}:
        return value.lower() in {"true", "1", "yes", "on"}
    raise ValueError(f"{name} must be true or false, found {value!r}.")


def read_number(value: str, low: int, high: int, *, name: str, step: int = 1) -> int:
    """Return a whole number of the settings. Raises ValueError naming it and what is allowed."""
    if value.isascii() and value.isdigit() and low <= int(value) <= high and int(value) % step == 0:
        return int(value)
    multiple = f", a multiple of {step}" if step > 1 else ""
    raise ValueError(f"{name} must be a whole number from {low} to {high}{multiple}, found {value!r}.")
