"""decord as a second decoder behind the contract of `pipeline.video.decode`.

decord turns every frame it decodes into full-size RGB, whether somebody wants it or not, and scales on
request with OpenCV, so it is slower than PyAV where few or small pictures are wanted. It turns pictures upright
itself. It numbers frames and has no exact timestamps; those come from the packets of the file. A file in which
the two disagree is refused. Its seeks give wrong pictures in streams with open groups of pictures (measured:
x265's default), so a segment is reached by decoding all before it, and runs with this decoder do not split
videos.
"""

from collections.abc import Callable, Iterator

import numpy as np

from extractors.optional import require
from pipeline.errors import ConfigError, DecodeError
from pipeline.video.frames import DecodeStats, Frame
from pipeline.video.geometry import Geometry, PictureSpec
from pipeline.video.limits import VideoLimits
from pipeline.video.probe import VideoFacts, read_index
from pipeline.video.segments import Segment
from pipeline.video.source import local_path


def decode_decord(
    facts: VideoFacts, segment: Segment, stats: DecodeStats, threads: int, limits: VideoLimits
) -> Iterator[Frame]:
    """The frames from the start of `segment` to the end of the video, decoded by decord."""
    decord = require("decord", step="decoding with --decoder decord", extra="decord")
    path = local_path(facts.uri)
    if path is None:
        raise ConfigError(f"decord reads local files only: got {facts.uri!r}. Use --decoder pyav.")
    pts = read_index(facts.uri, facts.measured.is_timed, limits).pts
    try:
        reader = decord.VideoReader(str(path), num_threads=threads)
        if len(reader) != len(pts):
            raise DecodeError(
                f"decord sees {len(reader)} frames in {facts.uri!r}, its packets say {len(pts)}. Use --decoder pyav."
            )
        for _ in range(segment.start_frame):
            reader.next()
            stats.frames_decoded += 1
        for index in range(segment.start_frame, len(pts)):
            full = reader.next().asnumpy()
            stats.frames_decoded += 1
            yield Frame(
                index=index,
                pts=int(pts[index]),
                at_s=facts.measured.clock.seconds(int(pts[index])),
                previous_pts=int(pts[index - 1]) if index else None,
                _convert=_converter(full, facts.measured.geometry, stats),
            )
    except decord.DECORDError as error:
        lines = str(error).strip().splitlines()
        raise DecodeError(f"decord cannot decode {facts.uri!r}: {lines[0]}. Use --decoder pyav.") from error


def _converter(full: np.ndarray, geometry: Geometry, stats: DecodeStats) -> Callable[[PictureSpec], np.ndarray]:
    import cv2

    def convert(spec: PictureSpec) -> np.ndarray:
        stats.pictures_converted += 1
        height, width = geometry.picture_hw(spec)
        picture = cv2.resize(full, (width, height), interpolation=cv2.INTER_AREA)
        if spec.format == "gray":
            return cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
        return cv2.cvtColor(picture, cv2.COLOR_RGB2BGR) if spec.format == "bgr24" else picture

    return convert
