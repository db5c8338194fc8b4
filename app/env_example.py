"""Writes `.env.example` from the settings themselves, so that it cannot be wrong."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.config import SettingSpec, setting_fields


def render(platforms: Mapping[str, tuple[SettingSpec, ...]]) -> str:
    """Return `.env.example`: every setting, commented out, with its explanation and its default."""
    lines = ["# Every setting there is. Copy to .env and take the # away from what you change.", ""]
    for item in setting_fields():
        lines += [f"# {item.metadata['doc']}", f"#{item.name.upper()}={_as_text(item.default)}", ""]
    for name, specs in platforms.items():
        for spec in specs:
            lines += [f"# {spec.doc}", f"#{name.upper()}_{spec.name.upper()}={spec.default}", ""]
    return "\n".join(lines)


def _as_text(default: Any) -> str:
    if isinstance(default, bool):
        return str(default).lower()
    return ",".join(default) if isinstance(default, tuple) else str(default)
