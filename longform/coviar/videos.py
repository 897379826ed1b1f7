"""Compressed videos as training and evaluation read them: pictures and codes of motion and residual, by place."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

from extractors.compressed.accumulate import Precision
from extractors.compressed.views import Code, code_of
from longform.coviar.sampling import Address
from longform.training.errors import TrainingError
from pipeline.errors import DecodeError, PipelineError
from pipeline.video.compressed import CompressedReader

NAMED = 5
"""Videos that an error lists."""


@dataclass(frozen=True, kw_only=True)
class VectorReading:
    """How motion and residuals are read from a stream."""

    accumulate: bool = True
    """Trace them back to the I-frame; otherwise they lead to the frame before, as the bitstream has them."""
    precision: Precision = "whole"
    """`whole` pixels as in the original, or `sub-pixel`."""
    max_gop: int | None = None
    """Most frames of a group of pictures; longer ones are cut."""


class CodeSource(Protocol):
    """Videos by number."""

    def __len__(self) -> int: ...

    def gop_lengths(self, index: int) -> Sequence[int]:
        """Frames of each group of pictures of a video."""
        ...

    def codes(self, index: int, addresses: Sequence[Address], stream: str) -> list[Code]:
        """(H, W, C) bytes of each place: the I-frame in RGB, motion in x and y, or the residual in RGB."""
        ...


@dataclass(frozen=True)
class CompressedVideos:
    """Video files, whose packets have been looked through."""

    paths: Sequence[str]
    reading: VectorReading
    lengths: Sequence[tuple[int, ...]]
    """Of each video the frames of its groups of pictures."""

    def __len__(self) -> int:
        return len(self.paths)

    def gop_lengths(self, index: int) -> Sequence[int]:
        return self.lengths[index]

    def codes(self, index: int, addresses: Sequence[Address], stream: str) -> list[Code]:
        """Raises what the reader raises for a damaged file."""
        with CompressedReader(self.paths[index], max_gop=self.reading.max_gop) as reader:
            return [self._code(reader, place, stream) for place in addresses]

    def _code(self, reader: CompressedReader, place: Address, stream: str) -> Code:
        frame = reader.read(
            place.gop,
            place.position,
            accumulate=self.reading.accumulate,
            precision=self.reading.precision,
            with_pictures=stream != "motion",
        )
        return code_of(frame, stream)


def open_videos(
    paths: Sequence[str],
    reading: VectorReading,
    *,
    needs_motion: bool,
    skip_unreadable: bool = False,
    threads: int = 4,
) -> tuple[CompressedVideos, list[int]]:
    """The videos whose motion can be read, and which of `paths` those are.

    Every file is opened and its packets are read once, without decoding.

    Args:
        needs_motion: whether a video without P-frames cannot be used.
        skip_unreadable: leave out videos that cannot be used; otherwise they are an error.
    Raises:
        TrainingError: videos cannot be used, with the reason of the first ones.
    """

    def lengths_of(path: str) -> tuple[int, ...] | PipelineError:
        try:
            with CompressedReader(path, max_gop=reading.max_gop) as reader:
                lengths = tuple(gop.length for gop in reader.gops)
            if needs_motion and max(lengths) == 1:
                return DecodeError(f"{path!r} has I-frames only, and so no motion.")
            return lengths
        except PipelineError as error:
            return error

    with ThreadPoolExecutor(threads) as pool:
        found = list(pool.map(lengths_of, paths))
    errors = [answer for answer in found if isinstance(answer, PipelineError)]
    good = [index for index, answer in enumerate(found) if not isinstance(answer, PipelineError)]
    if errors and not (skip_unreadable and good):
        reasons = "".join(f"\n  {error}" for error in errors[:NAMED])
        raise TrainingError(f"{len(errors)} of {len(paths)} videos have no motion that can be read:{reasons}\n"
                            "Leave them out with --skip-unreadable, or re-encode them.")  # fmt: skip
    lengths = [answer for answer in found if not isinstance(answer, PipelineError)]
    return CompressedVideos([paths[index] for index in good], reading, lengths), good
