from __future__ import annotations

from random import Random

import pytest

from app.platforms._tiktok_upload import MAX_CHUNKS, Plan, Upload, other_plan, plan

GIB4 = 4 * 1024**3


@pytest.mark.parametrize(
    ("size", "expected", "last"),
    [
        (1, Plan(1, 1), 1),
        (4_999_999, Plan(4_999_999, 1), 4_999_999),
        (5_000_000, Plan(5_000_000, 1), 5_000_000),
        (9_999_999, Plan(9_999_999, 1), 9_999_999),
        (10_000_000, Plan(5_000_000, 2), 5_000_000),
        (64_000_000, Plan(5_000_000, 12), 9_000_000),
        (GIB4, Plan(5_000_000, 858), 9_967_296),
    ],
)
def test_how_files_are_cut(size: int, expected: Plan, last: int) -> None:
    cut = plan(size, chunk_size=5_000_000)
    assert cut == expected
    assert size - cut.chunk_size * (cut.chunks - 1) == last


def test_every_cut_keeps_to_the_documented_limits() -> None:
    random = Random(20261123)
    for _ in range(5000):
        size, chunk_size = int(10 ** random.uniform(0, 10)), random.randint(5_000_000, 64_000_000)
        cut = plan(size, chunk_size=chunk_size)
        last = size - cut.chunk_size * (cut.chunks - 1)
        assert cut.chunks == size // cut.chunk_size <= MAX_CHUNKS, size
        if cut.chunks == 1:
            assert cut.chunk_size == size <= 64_000_000, size
        else:
            assert 5_000_000 <= cut.chunk_size <= last <= 128_000_000, size


def test_a_single_chunk_is_never_longer_than_allowed_for_one() -> None:
    assert plan(127_000_000, chunk_size=64_000_000).chunks > 1


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (9_000_000, None),
        (64_000_000, Plan(64_000_000, 1)),
        (64_000_001, Plan(10_000_000, 6)),
    ],
)
def test_what_is_tried_after_a_refused_chunk_size(size: int, expected: Plan | None) -> None:
    assert other_plan(size, plan(size, chunk_size=5_000_000)) == expected


def test_a_handle_survives_json_and_newer_fields_and_hides_its_address() -> None:
    upload = Upload("v_pub_file~1", "https://open-upload.example/?upload_token=secret", 10, 10, 1, 1.5)
    assert Upload.from_handle(upload.as_handle() | {"from_the_future": 1}) == upload
    assert "secret" not in repr(upload)


def test_a_commit_begins_after_what_of_the_last_chunk_is_stored() -> None:
    upload = Upload(
        "v_pub_file~1", "https://open-upload.example/", 12_000_000, 5_000_000, 2, 1.5, uploaded=5_001_000
    )
    assert (upload.last_start, upload.commit_start) == (5_000_000, 5_001_000)
