"""Short locks between the processes that write one bank on a local disk.

The commit protocol is safe against kills without them. They close one race: a commit that replaces a row
in the moment in which `compact` deletes the row it replaced. Object stores and other remote places have
no such lock; there `claims` keeps compact and runs apart.
"""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from pyarrow import fs as pafs

from pipeline.bank import filesystem
from pipeline.bank.errors import BankBusyError

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None  # type: ignore[assignment]

FOLDER = "_locks"
_POLL_S = 0.005
_log = logging.getLogger(__name__)


@contextmanager
def lock(fs: pafs.FileSystem, root: str, name: str, timeout_s: float = 600.0) -> Iterator[None]:
    """Holds the bank's lock `name`; the system frees it when the process dies.

    Raises BankBusyError if another process still holds it after `timeout_s`.
    """
    if fcntl is None or not filesystem.is_local(fs):
        yield
        return
    filesystem.make_folder(fs, filesystem.join(root, FOLDER))
    path = filesystem.join(root, FOLDER, name)
    with open(path, "a", encoding="utf-8") as handle:
        _acquire(handle, path, timeout_s)
        yield


def _acquire(handle: IO[str], path: str, timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError as error:
            if time.monotonic() >= deadline:
                raise BankBusyError(
                    f"Lock {path!r}: got no turn in {timeout_s:g} s, expected its holder to finish. "
                    "See which process has it open (fuser), and try again when that is done."
                ) from error
            time.sleep(_POLL_S)
        except OSError as error:  # some network file systems have no locks
            _log.warning("%s: no file locks here (%s); do not compact while a run writes this bank", path, error)
            return
