from __future__ import annotations

import errno
import hashlib
import io
import os
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from app.config import Settings
from app.exceptions import PayloadTooLargeError, ResourceNotFoundError, StorageError
from app.storage import FolderStorage, from_settings, new_key
from app.storage.base import RangeReader

MIB = 1024**2


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path, min_free_bytes=0)


@pytest.fixture
def storage(settings: Settings) -> FolderStorage:
    return FolderStorage(settings)


def key() -> str:
    return new_key("videos", uuid4(), "original.mp4")


def files_below(settings: Settings) -> list[Path]:
    return list(settings.storage_dir.rglob("*")) if settings.storage_dir.exists() else []


class BreaksAfter:
    """A stream whose sender goes away after some bytes."""

    def __init__(self, size: int) -> None:
        self.left = size

    def read(self, size: int, /) -> bytes:
        if self.left <= 0:
            raise ConnectionResetError("client went away")
        self.left -= size
        return b"x" * size


def test_a_stored_file_comes_back_with_its_size_and_hash(storage: FolderStorage) -> None:
    data = os.urandom(MIB + 7)
    name = key()

    stored = storage.put_stream(name, io.BytesIO(data), max_bytes=2 * MIB)

    assert (stored.key, stored.size) == (name, len(data))
    assert stored.sha256 == hashlib.sha256(data).hexdigest()
    assert b"".join(storage.iter_range(name)) == data
    assert storage.size(name) == len(data)


def test_a_range_has_a_known_length_and_ends_there(storage: FolderStorage) -> None:
    name = key()
    storage.put_stream(name, io.BytesIO(b"0123456789"), max_bytes=10)

    with storage.open_range(name, 3, 4) as reader:
        assert len(reader) == 4
        assert reader.read(2) == b"34"
        assert reader.tell() == 2
        assert reader.read() == b"56"
    with storage.open_range(name, 8, 100) as reader:
        assert len(reader) == 2


def test_a_file_is_readable_for_nobody_else(storage: FolderStorage, settings: Settings) -> None:
    name = key()
    storage.put_stream(name, io.BytesIO(b"x"), max_bytes=1)

    assert (settings.storage_dir / name).stat().st_mode & 0o777 == 0o600


def test_one_byte_too_many_is_refused_and_leaves_nothing(storage: FolderStorage, settings: Settings) -> None:
    with pytest.raises(PayloadTooLargeError) as caught:
        storage.put_stream(key(), io.BytesIO(b"x" * 11), max_bytes=10)

    assert caught.value.details["allowed"] == 10
    assert not [path for path in files_below(settings) if path.is_file()]


def test_a_sender_that_goes_away_leaves_nothing(storage: FolderStorage, settings: Settings) -> None:
    with pytest.raises(ConnectionResetError):
        storage.put_stream(key(), BreaksAfter(3 * MIB), max_bytes=100 * MIB)

    assert not [path for path in files_below(settings) if path.is_file()]


def test_a_disk_without_room_is_refused_before_the_first_byte(tmp_path: Path) -> None:
    storage = FolderStorage(Settings(data_dir=tmp_path, min_free_bytes=2**62))

    with pytest.raises(StorageError, match="free disk space") as caught:
        storage.put_stream(key(), BreaksAfter(0), max_bytes=100, expected_bytes=100)
    assert caught.value.details["needed_bytes"] > caught.value.details["free_bytes"]


def test_a_disk_that_fills_up_while_writing_is_a_clean_error(
    storage: FolderStorage, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(StorageError, match="No space left"):
        storage.put_stream(key(), io.BytesIO(b"x" * 100), max_bytes=100)
    assert not [path for path in files_below(settings) if path.is_file()]


@pytest.mark.parametrize(
    "name",
    ["../../etc/passwd", "videos/../x/original.mp4", "/etc/passwd", "videos/1/original.mp4", "", "videos//a"]
    + [f"videos/{UUID(int=7)}/{name}" for name in ("..", ".hidden", "a/b", "A.mp4", "x.mp4\n", "a\0b")],
)
def test_a_key_we_did_not_make_is_refused(storage: FolderStorage, name: str) -> None:
    with pytest.raises(StorageError):
        storage.size(name)
    with pytest.raises(StorageError):
        storage.put_stream(name, io.BytesIO(b"x"), max_bytes=1)


def test_a_missing_file_is_not_found_and_deleting_it_is_no_error(storage: FolderStorage) -> None:
    name = key()

    storage.delete(name)
    assert not storage.exists(name)
    with pytest.raises(ResourceNotFoundError):
        storage.open_range(name)
    with pytest.raises(ResourceNotFoundError):
        storage.size(name)


def test_deleting_a_file_removes_its_empty_folder_only(storage: FolderStorage, settings: Settings) -> None:
    owner = uuid4()
    first, second = new_key("videos", owner, "original.mp4"), new_key("videos", owner, "thumbnail.jpg")
    for name in (first, second):
        storage.put_stream(name, io.BytesIO(b"x"), max_bytes=1)

    storage.delete(first)
    assert storage.exists(second)
    storage.delete(second)
    assert not (settings.storage_dir / second).parent.exists()


def test_discard_removes_what_a_killed_upload_left(storage: FolderStorage, settings: Settings) -> None:
    name = key()
    part = (settings.storage_dir / name).with_name(".original.mp4.abc.part")
    part.parent.mkdir(parents=True)
    part.write_bytes(b"half")

    storage.discard(name)

    assert not part.parent.exists()


def test_a_file_that_became_shorter_is_an_error_not_a_short_read() -> None:
    reader = RangeReader(io.BytesIO(b"abc"), length=5, close=lambda: None, error=StorageError)

    assert reader.read(5) == b"abc"
    with pytest.raises(StorageError, match="shorter"):
        reader.read(5)


def test_the_local_path_is_the_file_itself(storage: FolderStorage) -> None:
    name = key()
    storage.put_stream(name, io.BytesIO(b"data"), max_bytes=4)

    with storage.local_path(name) as path:
        assert path.read_bytes() == b"data"
    assert storage.exists(name)


def test_the_check_says_what_is_free_and_leaves_nothing(storage: FolderStorage, settings: Settings) -> None:
    assert storage.check()["free_bytes"] > 0
    assert files_below(settings) == []


def test_the_check_fails_when_the_folder_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "files").write_text("in the way")

    with pytest.raises(StorageError):
        FolderStorage(Settings(data_dir=tmp_path)).check()


def test_progress_is_told_as_bytes_so_far(storage: FolderStorage) -> None:
    seen: list[int] = []

    storage.put_stream(key(), io.BytesIO(b"x" * MIB), max_bytes=MIB, on_progress=seen.append)

    assert seen == sorted(seen)
    assert seen[-1] == MIB


def test_the_settings_choose_the_store(settings: Settings) -> None:
    assert from_settings(settings).backend == "folder"
    assert from_settings(Settings(storage_backend="s3", s3_bucket="videos")).backend == "s3"
