"""S3 through Arrow, with one retry that Arrow's client leaves out (25.0).

Arrow reads a part of an object into a buffer of just its size. An answer such as 503 has a text of some hundred bytes;
where the part is smaller, the text does not fit, the client takes this for an error of its own, "Failed to flush
response stream", and does not ask again. Most files of a bank are read in such parts.
"""

import random
import time
from typing import Any

import pyarrow as pa
from pyarrow import fs as pafs

_OVERFLOW = "Failed to flush response stream"
_LONGEST_PAUSE_S = 20.0


class InsistentS3(pafs.S3FileSystem):
    """An S3 filesystem that asks again, up to `attempts` times in all, for small parts of objects too."""

    def __init__(self, *, attempts: int, **options: Any) -> None:
        strategy = pafs.AwsStandardS3RetryStrategy(max_attempts=attempts)
        super().__init__(retry_strategy=strategy, **options)
        self._attempts = attempts

    def open_input_file(self, path: str) -> pa.NativeFile:
        return pa.PythonFile(_InsistentFile(super().open_input_file(path), self._attempts), mode="r")

    def open_input_stream(
        self, path: str, compression: str | None = None, buffer_size: int | None = None
    ) -> pa.NativeFile:
        file = self.open_input_file(path)
        return pa.BufferedInputStream(file, buffer_size) if buffer_size else file


class _InsistentFile:
    """What `pa.PythonFile` asks of a file. Arrow's own does not move when a read fails."""

    def __init__(self, file: pa.NativeFile, attempts: int) -> None:
        self._file, self._attempts = file, attempts

    def read(self, size: int | None = None) -> bytes:
        for failed in range(self._attempts):
            try:
                return self._file.read(size)
            except OSError as error:
                if _OVERFLOW not in str(error) or failed + 1 == self._attempts:
                    raise
                time.sleep(random.uniform(0.0, min(_LONGEST_PAUSE_S, 2.0**failed)))
        raise AssertionError("not reached")

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def close(self) -> None:
        self._file.close()

    @property
    def closed(self) -> bool:
        return self._file.closed
