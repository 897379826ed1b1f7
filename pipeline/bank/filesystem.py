"""Where a bank lives: any filesystem that pyarrow or fsspec knows, and publishing files there atomically.

A file is visible under its name only once it is complete. On a filesystem with rename it is written
under a temporary name in the same folder and moved over the old one; object stores make a put visible
only as a whole. On local disk the file's data is synced before the move, so not even a power cut leaves
an empty file behind the name; folders are not synced (journalling file systems keep renames in order).

On object stores every request is tried again, with growing random pauses, after answers such as 500 and 503,
lost connections and answers that do not come; see `open_location`. What still fails, and what local disks
refuse, is a `StorageError`: not the fault of a video.
"""

import errno
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from datetime import timedelta

import pyarrow as pa
from pyarrow import fs as pafs

from pipeline.bank.errors import BankError, StorageError
from pipeline.bank.s3 import InsistentS3

_OBJECT_STORES = frozenset({"s3", "gcs", "abfs"})
ATTEMPTS_VARIABLE = "AWS_MAX_ATTEMPTS"
"""Environment variable, known from other S3 clients, for how often a request to S3 is tried."""
_ATTEMPTS = 9  # pauses of random length below 1, 2, 4, 8, 16, 20, 20, 20 s
_CONNECT_TIMEOUT_S = 5.0
_ANSWER_TIMEOUT_S = 30.0
_GCS_PATIENCE = timedelta(seconds=120)
_DISK_IS_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def open_location(uri: str | os.PathLike[str]) -> tuple[pafs.FileSystem, str]:
    """The filesystem of a local path or URI, and the path on it (no trailing slash).

    Arrow's own filesystems come first (file, s3, gs, abfs, hdfs), then fsspec's by scheme. Nothing is
    opened or created. A request to S3 is tried up to 9 times ($AWS_MAX_ATTEMPTS) over about 90 s, one to GCS
    for 120 s. Raises BankError if no filesystem is known for the scheme.
    """
    text = os.fspath(uri)
    if "://" not in text:
        return pafs.LocalFileSystem(), os.path.abspath(text)
    try:
        fs, path = pafs.FileSystem.from_uri(text)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        fs, path = _open_with_fsspec(text)
    return _patient(fs), path.rstrip("/") or "/"


def _patient(fs: pafs.FileSystem) -> pafs.FileSystem:
    """The same place, with retries that outlast a short outage: Arrow's own give an S3 server 6 s."""
    if fs.type_name not in ("s3", "gcs"):
        return fs
    _, (options,) = fs.__reduce__()
    if fs.type_name == "gcs":
        return pafs.GcsFileSystem(**options | {"retry_time_limit": _GCS_PATIENCE})
    timeouts = {"connect_timeout": _CONNECT_TIMEOUT_S, "request_timeout": _ANSWER_TIMEOUT_S}
    return InsistentS3(attempts=_attempts(), **options | timeouts)


def _attempts() -> int:
    text = os.environ.get(ATTEMPTS_VARIABLE, str(_ATTEMPTS))
    if not text.isdecimal() or int(text) < 1:
        raise BankError(f"${ATTEMPTS_VARIABLE} must be a whole number of tries from 1 on: got {text!r}.")
    return int(text)


@contextmanager
def storage_errors(fs: pafs.FileSystem, path: str) -> Iterator[None]:
    """Turns the errors of a storage into `StorageError`; that something is not there stays what it is."""
    try:
        yield
    except (FileNotFoundError, NotADirectoryError, StorageError):
        raise
    except OSError as error:
        if error.errno in _DISK_IS_FULL:
            got = f"no space left ({error.strerror or error})"
            way_out = f"Make room, {_free_space(fs, path)}or give a --bank on a larger disk (copy the folder there)."
        else:
            got = str(error)
            way_out = "Check that the place can be reached and written."
        raise StorageError(f"Cannot use {path!r}: got {got}, expected storage that works. {way_out}") from error


def remote_errors(fs: pafs.FileSystem, path: str) -> AbstractContextManager[None]:
    """As `storage_errors`, where a file is read that may be damaged: on a local disk errors speak of the file."""
    return nullcontext() if is_local(fs) else storage_errors(fs, path)


def _free_space(fs: pafs.FileSystem, path: str) -> str:
    folder = os.path.dirname(path)
    if not is_local(fs) or not os.path.isdir(folder):
        return ""
    return f"now {shutil.disk_usage(folder).free / 1e6:.1f} MB are free, "


def _open_with_fsspec(uri: str) -> tuple[pafs.FileSystem, str]:
    scheme = uri.split("://", 1)[0]
    try:
        from fsspec.core import url_to_fs

        fs, path = url_to_fs(uri)
    except (ImportError, ValueError) as error:
        raise BankError(
            f"Cannot open {uri!r}: got scheme {scheme!r}, expected a local path, file://, s3://, gs:// or a "
            f"scheme that fsspec knows ({error}). Install the extra: pip install 'longform-video[cloud]'."
        ) from error
    return pafs.PyFileSystem(pafs.FSSpecHandler(fs)), path


def join(root: str, *parts: str) -> str:
    """Paths on every Arrow filesystem are joined with a slash."""
    return "/".join((root.rstrip("/"), *parts))


def is_local(fs: pafs.FileSystem) -> bool:
    """True for the machine's own file systems."""
    return isinstance(fs, pafs.LocalFileSystem)


def file_info(fs: pafs.FileSystem, path: str) -> pafs.FileInfo | None:
    """Size and time of a file, or None where there is none."""
    with storage_errors(fs, path):
        info = fs.get_file_info(path)
    return info if info.type == pafs.FileType.File else None


def exists(fs: pafs.FileSystem, path: str) -> bool:
    """True if a file or a folder is there."""
    with storage_errors(fs, path):
        return fs.get_file_info(path).type != pafs.FileType.NotFound


def list_files(fs: pafs.FileSystem, folder: str, recursive: bool = False) -> list[pafs.FileInfo]:
    """The files in a folder sorted by path; none where the folder is missing."""
    selector = pafs.FileSelector(folder, allow_not_found=True, recursive=recursive)
    with storage_errors(fs, folder):
        found = [info for info in fs.get_file_info(selector) if info.type == pafs.FileType.File]
    return sorted(found, key=lambda info: info.path)


def list_names(fs: pafs.FileSystem, folder: str) -> list[str]:
    """Names of the files and folders in a folder, sorted; none where the folder is missing."""
    selector = pafs.FileSelector(folder, allow_not_found=True)
    with storage_errors(fs, folder):
        return sorted(info.base_name for info in fs.get_file_info(selector))


def read_bytes(fs: pafs.FileSystem, path: str) -> bytes:
    """The whole of a file. Raises FileNotFoundError."""
    with storage_errors(fs, path), fs.open_input_stream(path) as stream:
        return stream.read()


def write_bytes_atomic(fs: pafs.FileSystem, path: str, data: bytes, scratch: str | None = None) -> None:
    """Write a small file so that readers see the old one or the new one, never a part.

    `scratch` is the folder for the temporary file (of the same filesystem) instead of the file's own.
    """
    if fs.type_name in _OBJECT_STORES:
        with storage_errors(fs, path), fs.open_output_stream(path) as stream:
            stream.write(data)
        return
    with (
        publishing(fs, path, scratch) as temporary,
        storage_errors(fs, path),
        fs.open_output_stream(temporary) as stream,
    ):
        stream.write(data)


@contextmanager
def publishing(fs: pafs.FileSystem, path: str, scratch: str | None = None) -> Iterator[str]:
    """Gives a temporary name to write; leaving moves it to `path`, an exception removes it."""
    folder, name = path.rsplit("/", 1)
    temporary = temporary_name(f"{scratch or folder}/{name}")
    make_folder(fs, folder)
    try:
        yield temporary
        with storage_errors(fs, path):
            publish(fs, temporary, path)
    except BaseException:
        with suppress(Exception):  # the first error is the one to report
            delete_quietly(fs, temporary)
        raise


def temporary_name(path: str) -> str:
    """A name beside `path`, unique to this call, that dataset readers skip."""
    folder, name = path.rsplit("/", 1)
    return f"{folder}/_{name}.{uuid.uuid4().hex[:16]}.tmp"


def is_temporary(name: str) -> bool:
    """True for names made by `temporary_name`."""
    return name.startswith("_") and name.endswith(".tmp")


def publish(fs: pafs.FileSystem, temporary: str, path: str) -> None:
    """Give a complete file its name, replacing what had it."""
    if is_local(fs):
        _sync(temporary)
    fs.move(temporary, path)


def make_folder(fs: pafs.FileSystem, folder: str) -> None:
    """Create a folder and its parents where folders exist; object stores need none. Raises StorageError."""
    if fs.type_name in _OBJECT_STORES:
        return
    try:
        with storage_errors(fs, folder):
            fs.create_dir(folder, recursive=True)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise StorageError(
            f"Cannot make folder {folder!r}: got {error}, expected one that can be made. Give another place."
        ) from error


def delete_quietly(fs: pafs.FileSystem, path: str) -> None:
    """Delete a file; that it is already gone is no error."""
    with suppress(FileNotFoundError), storage_errors(fs, path):
        fs.delete_file(path)


def delete_folder_quietly(fs: pafs.FileSystem, folder: str) -> None:
    """Delete a folder with all in it; that it is already gone, or that others write into it, is no error."""
    if not exists(fs, folder):
        return
    with suppress(FileNotFoundError), storage_errors(fs, folder):
        try:
            fs.delete_dir(folder)
        except OSError as error:
            if error.errno != errno.ENOTEMPTY:
                raise


def _sync(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
