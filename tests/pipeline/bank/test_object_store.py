"""Banks on S3: the commit protocol without rename and locks, retries on what passes, clear errors on what does not."""

import errno
import time
from collections.abc import Iterator

import pytest
from pyarrow import fs as pafs

from pipeline.bank import FeatureBank, claims, filesystem
from pipeline.bank.claims import COMPACT, RUN, claim
from pipeline.bank.compact import compact
from pipeline.bank.compare import compare
from pipeline.bank.errors import BankBusyError, BankError, StorageError
from pipeline.bank.verify import verify
from tests.pipeline.bank.helpers import CLIPS, Video, assert_whole, everything, new_bank, put, video
from tests.pipeline.bank.s3 import CREDENTIALS, FaultyS3, some


@pytest.fixture(scope="module")
def server() -> Iterator[FaultyS3]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in CREDENTIALS.items():
            patch.setenv(name, value)
        with FaultyS3().running() as server:
            yield server


@pytest.fixture
def s3(server: FaultyS3) -> Iterator[FaultyS3]:
    yield server
    server.fault = lambda method, path: None


def small(video_id: str, seed: int = 0) -> Video:
    """Two tables only: every file is some ten requests."""
    content = video(video_id, seed=seed)
    return Video(video_id, {name: content.rows[name] for name in ("shots", "features/" + CLIPS)})


def fill(uri: str) -> None:
    writer = new_bank(uri)
    for name in ("a", "b"):
        put(writer, small(name))
    put(writer, small("a", seed=1), "e" * 16)


def test_a_bank_written_read_and_compacted_through_faults_is_the_same_bank(s3: FaultyS3) -> None:
    fill(s3.uri("calm"))
    compact(s3.uri("calm"))
    s3.faults, s3.fault = 0, some(["503", "drop", "500", 0.2], every=23)
    fill(s3.uri("rough"))
    before = everything(FeatureBank.open(s3.uri("rough")))
    compact(s3.uri("rough"))
    assert everything(FeatureBank.open(s3.uri("rough"))) == before
    assert_whole(s3.uri("rough"), warnings=[])
    assert compare(s3.uri("calm"), s3.uri("rough")).is_same
    assert s3.faults >= 8


@pytest.mark.parametrize("kind", ["500", "503", "drop"])
def test_what_does_not_pass_is_an_error_in_bounded_time(
    s3: FaultyS3, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(filesystem.ATTEMPTS_VARIABLE, "3")
    uri = s3.uri(f"lost-{kind}")
    fill(uri)
    writer = new_bank(uri)
    s3.fault = lambda method, path: kind
    s3.requests, began = 0, time.monotonic()
    with pytest.raises(StorageError, match=r"banks/lost-.*AWS Error.*can be reached and written"):
        put(writer, small("c"))
    assert s3.requests <= 2 * 3
    assert time.monotonic() - began < 60
    with pytest.raises(StorageError):
        verify(uri)
    s3.fault = lambda method, path: None
    assert verify(uri).is_whole
    put(writer, small("c"))
    assert_whole(uri, warnings=[])


@pytest.mark.parametrize("kind", ["500", "503"])
def test_a_part_smaller_than_the_text_of_an_error_is_asked_for_again(s3: FaultyS3, kind: str) -> None:
    """Arrow's own client gives up where the text does not fit into the buffer of what was asked for."""
    fs, root = filesystem.open_location(s3.uri(f"small-{kind}"))
    filesystem.write_bytes_atomic(fs, f"{root}/note", b"twenty bytes of text")
    with fs.open_input_file(f"{root}/note") as file:
        file.seek(7)
        answers = iter([kind, kind])
        s3.faults, s3.fault = 0, lambda method, path: next(answers, None)
        assert (file.read(5), file.read(), s3.faults) == (b"bytes", b" of text", 2)
    answers = iter([None, kind])
    assert filesystem.read_bytes(fs, f"{root}/note") == b"twenty bytes of text"


def test_an_answer_that_never_comes_is_asked_for_again(s3: FaultyS3, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filesystem, "_ANSWER_TIMEOUT_S", 1.0)
    uri = s3.uri("slow")
    fill(uri)
    late = iter([60.0])
    s3.fault = lambda method, path: next(late, None)
    began = time.monotonic()
    assert verify(uri, quick=True).is_whole
    assert next(late, None) is None
    assert time.monotonic() - began < 40


def test_a_slow_answer_is_waited_for(s3: FaultyS3) -> None:
    """Arrow's own limit is 3 s."""
    fill(s3.uri("patient"))
    late = iter([4.0])
    s3.requests, s3.fault = 0, lambda method, path: next(late, None)
    fs, root = filesystem.open_location(s3.uri("patient"))
    assert filesystem.file_info(fs, f"{root}/bank.json") is not None
    assert s3.requests == 1


def test_one_run_at_a_time_and_no_compact_beside_it(s3: FaultyS3, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(s3.uri("shared"))
    fs, root = filesystem.open_location(s3.uri("shared"))
    with claim(fs, root, RUN):
        for work in (RUN, COMPACT):
            with pytest.raises(BankBusyError, match="run by process"), claim(fs, root, work):
                pass
        with pytest.raises(BankBusyError, match="is in use: run by process"):
            compact(s3.uri("shared"))
        [name] = [name for name in filesystem.list_names(fs, f"{root}/_locks") if name.endswith(".json")]
        content = filesystem.read_bytes(fs, f"{root}/_locks/{name}")
    compact(s3.uri("shared"))
    elsewhere = content.replace(b'"machine": "', b'"machine": "elsewhere-')
    filesystem.write_bytes_atomic(fs, f"{root}/_locks/{name}", elsewhere)
    monkeypatch.setattr(claims, "LEASE_S", 1.0)
    monkeypatch.setattr(claims, "_POLL_S", 0.2)
    with claim(fs, root, RUN):
        assert not filesystem.exists(fs, f"{root}/_locks/{name}"), "its holder on another machine gives no sign"


def test_the_number_of_tries_can_be_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for text in ("0", "x", "-1"):
        monkeypatch.setenv(filesystem.ATTEMPTS_VARIABLE, text)
        with pytest.raises(BankError, match=f"AWS_MAX_ATTEMPTS.*got '{text}'"):
            filesystem.open_location("s3://bucket/bank?region=us-east-1")


def test_gcs_gets_a_limit_for_its_retries() -> None:
    fs, root = filesystem.open_location("gs://anonymous@bucket/some/bank")
    assert (fs.type_name, root) == ("gcs", "bucket/some/bank")
    assert fs.__reduce__()[1][0]["retry_time_limit"] == filesystem._GCS_PATIENCE
    assert fs.__reduce__()[1][0]["anonymous"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_is_named(number: int, tmp_path: object) -> None:
    fs = pafs.LocalFileSystem()
    with (
        pytest.raises(StorageError, match=r"no space left.*Make room, now [0-9.]+ MB are free"),
        filesystem.storage_errors(fs, f"{tmp_path}/x"),
    ):
        raise OSError(number, "no room")


def test_what_is_not_there_stays_what_it_is(tmp_path: object) -> None:
    with pytest.raises(FileNotFoundError):
        filesystem.read_bytes(pafs.LocalFileSystem(), f"{tmp_path}/x")
