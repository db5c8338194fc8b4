"""A video that lies in a bucket goes out in chunks read by range, byte for byte; no process holds the file."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer
from sqlalchemy import update

from app import clock
from app.extensions import db
from app.models import Target
from app.queue import STAGE_TARGET
from app.services import dispatch, instance, staging, taking
from app.services.engine import Engine
from tests.rig import Rig
from tests.sandbox_server import sandbox_thread

CONTENT = b"".join(hashlib.sha256(str(number).encode()).digest() for number in range(400_000))  # 12.8 MB
KEYS = {"S3_ACCESS_KEY_ID": "key", "S3_SECRET_ACCESS_KEY": "secret"}


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    client = boto3.client(
        "s3",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="key",
        aws_secret_access_key="secret",
    )
    client.create_bucket(Bucket="videos")
    client.close()
    yield url
    server.stop()


@pytest.fixture
def rig(tmp_path: Path, sqlite_url: str, redis_url: str, endpoint: str) -> Iterator[Rig]:
    bucket = {"STORAGE_BACKEND": "s3", "S3_BUCKET": "videos", "S3_ENDPOINT_URL": endpoint, **KEYS}
    with sandbox_thread(tmp_path / "sandbox") as server:
        server.sim.settings(rate_limits=False)
        rig = Rig(tmp_path / "data", sqlite_url, redis_url, server, extra=bucket)
        with rig as made, made.app.app_context():
            yield made


def work_on(rig: Rig, target_id: uuid.UUID) -> None:
    """Do what the target needs next, as dispatcher and workers would, then let time pass at the platform."""
    db.session.execute(update(Target).where(Target.id == target_id).values(next_at=clock.now()))
    db.session.commit()
    for task, arguments in dispatch.claim_targets(clock.now()):
        if task is STAGE_TARGET:
            staging.stage(uuid.UUID(arguments[0]), arguments[1])
        else:
            engine = Engine(rig.app, threads=2)
            engine.submit(taking.take([(uuid.UUID(id_), fence) for id_, fence in arguments[0]]))
            engine.drain()
    rig.sandbox.sim.advance(10)


def test_a_video_in_a_bucket_is_published_as_it_is(rig: Rig) -> None:
    assert instance.check() is None
    target = rig.target(caption="from a bucket", content=CONTENT)

    while rig.read(target).state not in ("published", "failed", "unknown"):
        work_on(rig, target)

    (post,) = rig.sandbox.sim.posts(caption="from a bucket")
    assert post["sha256"] == hashlib.sha256(CONTENT).hexdigest()
    assert not (rig.folder / "files").exists()
    assert not (rig.folder / "instance.json").exists()  # whose database it is, is known in the bucket, too
