"""Locations, and files that appear whole or not at all."""

import errno
from pathlib import Path

import pytest
from pyarrow import fs as pafs

from pipeline.bank import filesystem
from pipeline.bank.errors import BankBusyError, BankError, StorageError
from pipeline.bank.locks import lock
from tests.pipeline.bank.helpers import DyingFilesystem

LOCAL = pafs.LocalFileSystem()


def test_local_paths_and_file_uris_are_the_same_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for uri in ("a b", str(tmp_path / "a b"), f"file://{tmp_path}/a%20b/"):
        fs, root = filesystem.open_location(uri)
        assert filesystem.is_local(fs)
        assert root == str(tmp_path / "a b")


def test_unknown_scheme_names_the_extra() -> None:
    with pytest.raises(BankError, match=r"longform-video\[cloud\]"):
        filesystem.open_location("nosuch://x/y")


def test_write_replaces_and_leaves_no_temporary_file(tmp_path: Path) -> None:
    path = str(tmp_path / "folder" / "file")
    filesystem.write_bytes_atomic(LOCAL, path, b"one")
    filesystem.write_bytes_atomic(LOCAL, path, b"two")
    assert filesystem.read_bytes(LOCAL, path) == b"two"
    assert filesystem.list_names(LOCAL, str(tmp_path / "folder")) == ["file"]


def test_failed_write_keeps_the_old_file(tmp_path: Path) -> None:
    path = str(tmp_path / "file")
    filesystem.write_bytes_atomic(LOCAL, path, b"one")

    def fails_halfway() -> None:
        with filesystem.publishing(LOCAL, path) as temporary:
            Path(temporary).write_bytes(b"half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fails_halfway()
    assert Path(path).read_bytes() == b"one"
    assert filesystem.list_names(LOCAL, str(tmp_path)) == ["file"]


def test_deleting_what_is_gone_is_no_error(tmp_path: Path) -> None:
    filesystem.delete_quietly(LOCAL, str(tmp_path / "x"))
    filesystem.delete_folder_quietly(LOCAL, str(tmp_path / "x"))
    assert filesystem.list_files(LOCAL, str(tmp_path / "x")) == []
    assert filesystem.file_info(LOCAL, str(tmp_path / "x")) is None


def test_a_file_where_a_folder_is_to_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "bank").touch()
    with pytest.raises(StorageError, match=r"Cannot make folder '.*/bank/_locks'.*Give another place"):
        filesystem.make_folder(LOCAL, str(tmp_path / "bank/_locks"))


class Filling(DyingFilesystem):
    """Another process puts a file into every folder that is being deleted."""

    def delete_dir(self, path: str) -> None:
        raise OSError(errno.ENOTEMPTY, "Directory not empty")


def test_a_folder_that_others_write_into_is_left_to_them(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    filesystem.delete_folder_quietly(pafs.PyFileSystem(Filling(LOCAL, None)), str(tmp_path / "x"))
    assert (tmp_path / "x").exists()


def test_temporary_names_are_skipped_by_dataset_readers_and_fit() -> None:
    name = filesystem.temporary_name("/bank/shots/" + "v" * 201).rsplit("/", 1)[1]
    assert name.startswith("_")
    assert filesystem.is_temporary(name)
    assert len(name) <= 255


def test_a_lock_excludes_and_is_freed(tmp_path: Path) -> None:
    with lock(LOCAL, str(tmp_path), "commit"):
        second = lock(LOCAL, str(tmp_path), "commit", timeout_s=0.02)
        with pytest.raises(BankBusyError, match="fuser"):
            second.__enter__()
    with lock(LOCAL, str(tmp_path), "commit", timeout_s=0.0):
        pass
