"""A bank on object storage: the whole job against a local S3 server."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.bank.reader import FeatureBank
from pipeline.bank.verify import verify
from pipeline.sample.encode import Coding
from pipeline.sample.samples import make_clip
from tests.integration.test_extract import longform

CREDENTIALS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_EC2_METADATA_DISABLED": "true"}


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Address of an empty bucket; `{}` stands for the path in it."""
    server_module = pytest.importorskip("moto.server")
    boto3 = pytest.importorskip("boto3")
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    server = server_module.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    try:
        boto3.client("s3", endpoint_url=f"http://{host}:{port}", region_name="us-east-1").create_bucket(Bucket="banks")
        yield f"s3://banks/{{}}?scheme=http&endpoint_override={host}%3A{port}&region=us-east-1"
    finally:
        server.stop()


def test_extract_resume_and_compact_on_s3(bucket: str, tmp_path: Path) -> None:
    make_clip(tmp_path / "clip.mp4", seconds=4, shots=2, coding=Coding(gop=12))
    (tmp_path / "bad.mp4").write_bytes(b"no video")
    bank = bucket.format("some/bank")
    environment = os.environ | CREDENTIALS
    words = ["extract", str(tmp_path), "--bank", bank, "--segment-s", "1", "--workers", "2", "--quiet"]
    done = longform(*words, env=environment)
    assert done.returncode == 1, done.stderr
    assert "2 videos: 1 ok, 1 failed" in done.stdout
    assert verify(bank).is_whole
    assert len(FeatureBank.open(bank).table("shots", "clip.mp4")) == 2
    again = longform(*words, env=environment)
    assert "1 were up to date" in again.stdout
    before = FeatureBank.open(bank).features("clip.hoghof").to_pylist()
    assert longform("compact", bank, env=environment).returncode == 0
    assert FeatureBank.open(bank).features("clip.hoghof").to_pylist() == before
    assert verify(bank).is_whole
