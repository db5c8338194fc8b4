"""The pages reviews of apps ask for: what is kept of people, and on which terms. An operator's own text wins."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Literal

from markdown_it import MarkdownIt
from markupsafe import Markup, escape

from app.extensions import settings

PageName = Literal["privacy", "terms"]
MAX_BYTES = 512 * 1024


def own_text(name: PageName) -> Markup | None:
    """Return the operator's text from DATA_DIR/pages as HTML, or None where there is none.

    `.html` goes out as it stands, without scripts: the page's policy forbids them. `.md` is Markdown, in which
    HTML counts as text; of `.txt` blank lines part the paragraphs. Whatever is longer than 512 KiB is cut.
    """
    for suffix, render in (("html", Markup), ("md", _markdown), ("txt", _paragraphs)):
        text = _read(settings().data_dir / "pages" / f"{name}.{suffix}")
        if text is not None:
            return render(text)
    return None


def _read(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES).decode("utf-8", "replace")
    except (FileNotFoundError, NotADirectoryError):
        return None


def _markdown(text: str) -> Markup:
    return Markup(_parser().render(text))  # noqa: S704 - HTML and unsafe addresses are escaped by the parser


@cache
def _parser() -> MarkdownIt:
    return MarkdownIt("commonmark", {"html": False})


def _paragraphs(text: str) -> Markup:
    blocks = (block.strip() for block in text.replace("\r\n", "\n").split("\n\n"))
    return Markup("\n").join(Markup("<p>{}</p>").format(escape(block)) for block in blocks if block)
