"""Second copies of the two files that a whole bank hangs on: bank.json and the compacted rows.

They lie in ``_spare/`` and carry the seals of their originals, which tell whether a copy can be put back.
"""

from pyarrow import fs as pafs

from pipeline.bank import filesystem
from pipeline.bank.seal import SealState, seal_state

FOLDER = "_spare"


def write_with_spare(fs: pafs.FileSystem, path: str, root: str, data: bytes) -> None:
    """Write a sealed file in one step, then its second copy."""
    filesystem.write_bytes_atomic(fs, path, data)
    filesystem.write_bytes_atomic(fs, _spare_path(root, path), data)


def put_back(fs: pafs.FileSystem, root: str, path: str) -> bool:
    """Write the second copy of a file over it; False, and nothing is done, if there is no whole copy."""
    try:
        data = filesystem.read_bytes(fs, _spare_path(root, path))
    except FileNotFoundError:
        return False
    if seal_state(data) is not SealState.WHOLE:
        return False
    filesystem.write_bytes_atomic(fs, path, data)
    return True


def _spare_path(root: str, path: str) -> str:
    name = path.rsplit("/", 1)[1]
    return filesystem.join(root, FOLDER, f"{name}.copy")  # no .parquet, which a search through all folders would read
