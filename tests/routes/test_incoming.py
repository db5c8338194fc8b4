from __future__ import annotations

import io
from typing import Any

import pytest
from werkzeug.exceptions import BadRequest, RequestEntityTooLarge

from app.exceptions import ValidationError
from app.routes.incoming import CHUNK, FormFile, RawBody

BOUNDARY = "frontier"


def form(*parts: tuple[str, str | None, bytes], closed: bool = True) -> bytes:
    """Return a multipart body of (name, filename or None, content) parts."""
    body = b""
    for name, filename, content in parts:
        named = f'; filename="{filename}"' if filename is not None else ""
        head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{named}\r\n\r\n'
        body += head.encode() + content + b"\r\n"
    return body + (f"--{BOUNDARY}--\r\n".encode() if closed else b"")


def form_file(body: bytes) -> FormFile:
    return FormFile(io.BytesIO(body), boundary=BOUNDARY, texts={})


def everything(file: Any, size: int = 1000) -> bytes:
    return b"".join(iter(lambda: file.read(size), b""))


@pytest.mark.parametrize("size", [0, 1, CHUNK - 30, CHUNK, 3 * CHUNK + 7])
def test_a_file_in_a_form_arrives_unchanged(size: int) -> None:
    data = (b"\r\n--front" + bytes(range(256))) * (size // 200 + 1)

    file = form_file(form(("file", "a.mp4", data[:size])))

    assert everything(file) == data[:size]
    assert file.finish() == {}


def test_no_read_gives_more_than_was_asked_for() -> None:
    file = form_file(form(("file", "a.mp4", b"x" * 10_000)))

    assert max(len(piece) for piece in iter(lambda: file.read(999), b"")) <= 999


def test_texts_may_stand_before_and_after_the_file() -> None:
    file = form_file(
        form(("title", None, "Söndag".encode()), ("file", "a.mp4", b"data"), ("description", None, b"Later"))
    )

    assert file.filename == "a.mp4"
    assert everything(file) == b"data"
    assert file.finish() == {"title": "Söndag", "description": "Later"}


def test_a_form_without_a_file_is_refused() -> None:
    with pytest.raises(ValidationError) as caught:
        form_file(form(("title", None, b"only words")))
    assert "file" in caught.value.details


def test_a_second_file_is_refused() -> None:
    file = form_file(form(("file", "a.mp4", b"one"), ("file", "b.mp4", b"two")))
    everything(file)

    with pytest.raises(ValidationError, match="not valid") as caught:
        file.finish()
    assert caught.value.details == {"file": ["Send one file at a time."]}


def test_a_form_that_is_cut_off_is_refused_wherever_it_ends() -> None:
    whole = form(("title", None, b"words"), ("file", "a.mp4", b"data" * 50))
    for length in range(len(whole) - 4):
        with pytest.raises(BadRequest, match="ended early"):
            file = form_file(whole[:length])
            everything(file)
            file.finish()


def test_a_text_too_long_to_hold_is_refused() -> None:
    with pytest.raises(RequestEntityTooLarge):
        form_file(form(("title", None, b"x" * 3_000_000), ("file", "a.mp4", b"data")))


def test_more_parts_than_anybody_needs_are_refused() -> None:
    with pytest.raises(RequestEntityTooLarge):
        form_file(form(*[("title", None, b"x")] * 50, ("file", "a.mp4", b"data")))


def test_a_text_that_is_no_text_is_refused() -> None:
    with pytest.raises(ValidationError) as caught:
        form_file(form(("title", None, b"\xff\xfe"), ("file", "a.mp4", b"data")))
    assert caught.value.details == {"title": ["Not valid UTF-8."]}


def test_a_form_without_a_boundary_is_refused() -> None:
    with pytest.raises(BadRequest, match="boundary"):
        FormFile(io.BytesIO(b""), boundary="", texts={})


def test_a_body_shorter_than_announced_is_refused_at_its_end() -> None:
    body = RawBody(io.BytesIO(b"abc"), filename="", total_bytes=4, texts={})

    assert body.read(10) == b"abc"
    with pytest.raises(BadRequest, match="ended early"):
        body.read(10)
