"""Whoever opens docs/ finds every page, and no link leads nowhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from app.platforms import registry
from tests.servers import ROOT

DOCS = ROOT / "docs"
LINK = re.compile(r"\]\(([^)#:]+)\)")


def links(page: Path) -> list[str]:
    return LINK.findall(page.read_text())


def test_every_page_or_its_folder_is_in_the_index() -> None:
    pages = {page.relative_to(DOCS) for page in DOCS.rglob("*.md")} - {Path("README.md")}
    entries = {str(page) if page.parent == Path() else f"{page.parent}/" for page in pages}

    assert entries <= set(links(DOCS / "README.md"))


@pytest.mark.parametrize("page", sorted(DOCS.rglob("*.md")), ids=str)
def test_links_lead_somewhere(page: Path) -> None:
    assert [link for link in links(page) if not (page.parent / link).exists()] == []


def test_every_platform_has_its_page() -> None:
    assert [name for name in registry.setting_specs() if not (DOCS / f"platforms/{name}.md").exists()] == []
