"""The tables of a bank, a unit and a sentence on every column.

Seconds count from the first displayed frame and spans are half-open; boxes are x0 y0 x1 y1 as fractions
of the displayed frame. What is not nullable here is never null in a file.
"""

import re

import pyarrow as pa

from pipeline.bank.errors import BankError, UnknownNameError
from pipeline.bank.naming import MAX_ID_BYTES, is_id_character

FORMAT_VERSION = 1
"""Raised when a file of an older program could not be read any more, or be misread by one."""

FEATURES = "features/"
"""Prefix of the table name of a feature space: "features/clip.slowfast_8x8_r50"."""

MAX_FEATURE_DIM = 1 << 20
_ROW_GROUP_BYTES = 1 << 20
_ROW_GROUP_ROWS = 1 << 15

STRING, INT32, INT64, FLOAT64 = pa.string(), pa.int32(), pa.int64(), pa.float64()


def _column(name: str, kind: pa.DataType, unit: str, doc: str, nullable: bool = False) -> pa.Field:
    return pa.field(name, kind, nullable, metadata={"unit": unit, "doc": doc})


def _optional(name: str, kind: pa.DataType, unit: str, doc: str) -> pa.Field:
    return _column(name, kind, unit, doc, nullable=True)


def _vector(kind: pa.DataType, size: int) -> pa.DataType:
    return pa.list_(pa.field("element", kind, nullable=False), size)


_STAGE = pa.struct([pa.field("stage", STRING, False), pa.field("fingerprint", STRING, False)])
_FILE = pa.struct(
    [
        pa.field("table", STRING, False),
        pa.field("stage", STRING, False),
        pa.field("path", STRING, False),
        pa.field("rows", INT64, False),
        pa.field("bytes", INT64, False),
        pa.field("sha256", STRING, False),
    ]
)

_GAP = pa.struct(
    [pa.field("start_s", FLOAT64, False), pa.field("end_s", FLOAT64, False), pa.field("frames", INT64, True)]
)
"""Time without pictures, and how many there should be: null behind the end of a file that was cut off."""

_FRAME_PTS = pa.field("element", INT64, nullable=False)
_VIDEO_ID = _column("video_id", STRING, "id", "name of the video in this bank, from its path or given by the user")

VIDEOS = pa.schema(
    [
        _VIDEO_ID,
        _column("uri", STRING, "uri", "where the video was read from"),
        _column("status", STRING, "ok | failed", "whether the bank holds this video"),
        _optional("error_stage", STRING, "name", "stage that failed; null when ok"),
        _optional("error_class", STRING, "name", "class of the error; null when ok"),
        _optional("error_message", STRING, "text", "message of the error; null when ok"),
        _optional("error_at_s", FLOAT64, "s", "where in the video it failed; null when ok or not known"),
        _optional("damage", STRING, "text", "what could not be read of a video that was kept; null when all was"),
        _optional("gaps", pa.list_(pa.field("element", _GAP, False)), "s", "where that is; null when all was read"),
        _optional("duration_s", FLOAT64, "s", "from the first displayed frame to the end of the last"),
        _optional("width", INT32, "px", "width as displayed: upright, square pixels"),
        _optional("height", INT32, "px", "height as displayed: upright, square pixels"),
        _optional(
            "num_frames",
            INT64,
            "frames",
            "displayed frames, counted in packets",
        ),
        _optional("fps", FLOAT64, "frames/s", "mean frame rate"),
        _optional("container", STRING, "name", "container format"),
        _optional("codec", STRING, "name", "video codec"),
        _optional("pixel_format", STRING, "name", "pixel format of the decoded stream"),
        _optional("rotation_deg", INT32, "deg", "counter-clockwise rotation applied for display"),
        _optional("pixel_aspect", FLOAT64, "ratio", "width of a pixel over its height"),
        _optional("is_vfr", pa.bool_(), "flag", "true when frame durations vary"),
        _optional("start_pts", INT64, "time base", "timestamp of the first displayed frame"),
        _optional("time_base_num", INT64, "s", "numerator of the stream's time base"),
        _optional("time_base_den", INT64, "1", "denominator of the stream's time base"),
        _optional("source_bytes", INT64, "bytes", "size of the video file"),
        _optional("source_mtime_s", FLOAT64, "s since 1970", "modification time of the video file"),
        _optional("source_sha256", STRING, "hex", "sha256 of the video file where it was computed"),
        _column("stages", pa.list_(pa.field("element", _STAGE, False)), "list", "fingerprint of each stage done"),
        _column("files", pa.list_(pa.field("element", _FILE, False)), "list", "data files that hold this video"),
        _column("revision", INT64, "count", "of all rows of one video the highest revision is the valid one"),
    ]
)

ADDED_COLUMNS = ("gaps",)
"""Columns of table videos that rows of older versions of this program do not have; they are null there."""

SHOTS = pa.schema(
    [
        _VIDEO_ID,
        _column("shot_index", INT32, "index", "0 for the first shot of the video"),
        _column("start_s", FLOAT64, "s", "time of the first frame"),
        _column("end_s", FLOAT64, "s", "time of the first frame after the shot, or the end of the video"),
        _column("start_frame", INT64, "frame", "index of the first frame"),
        _column("end_frame", INT64, "frame", "index after the last frame"),
        _optional("start_pts", INT64, "time base", "timestamp of the first frame"),
        _optional("end_pts", INT64, "time base", "timestamp at the end of the shot"),
    ]
)

DETECTIONS = pa.schema(
    [
        _VIDEO_ID,
        _column("at_s", FLOAT64, "s", "time of the frame"),
        _column("frame", INT64, "frame", "index of the frame"),
        _optional("pts", INT64, "time base", "timestamp of the frame"),
        _column("detection_id", INT64, "id", "unique within the video"),
        _column("box", _vector(pa.float32(), 4), "fraction", "x0 y0 x1 y1 of the displayed frame, in [0, 1]"),
        _column("score", pa.float32(), "1", "confidence of the detector, on its own scale"),
        _column("class_id", INT32, "id", "class in the detector's own list"),
        _column("label", STRING, "name", "name of the class"),
        _optional("track_id", INT64, "id", "track in table tracks; null when in none"),
        _optional("shot_index", INT32, "index", "shot in table shots; null when there are no shots"),
    ]
)

TRACKS = pa.schema(
    [
        _VIDEO_ID,
        _column("track_id", INT64, "id", "unique within the video"),
        _column("class_id", INT32, "id", "class in the detector's own list"),
        _column("label", STRING, "name", "name of the class"),
        _optional("shot_index", INT32, "index", "the shot it lies in; null when there are no shots"),
        _column("start_s", FLOAT64, "s", "time of its first detection"),
        _column("end_s", FLOAT64, "s", "end of its last detection"),
        _column("num_detections", INT32, "count", "detections that carry its id"),
    ]
)

TABLES: dict[str, pa.Schema] = {"shots": SHOTS, "detections": DETECTIONS, "tracks": TRACKS}


def feature_schema(dim: int) -> pa.Schema:
    """The schema of a feature space of `dim` values a row. Raises BankError for a dim out of range."""
    if not 1 <= dim <= MAX_FEATURE_DIM:
        raise BankError(f"Bad feature space: got dim {dim}, expected 1 to {MAX_FEATURE_DIM}.")
    return pa.schema(
        [
            _VIDEO_ID,
            _column("at_s", FLOAT64, "s", "the moment the feature stands for; windows select by it"),
            _column("start_s", FLOAT64, "s", "start of what was seen"),
            _column("end_s", FLOAT64, "s", "end of what was seen"),
            _optional("detection_id", INT64, "id", "the detection it describes; null for a whole clip"),
            _optional("track_id", INT64, "id", "the track of that detection; null for a whole clip or no track"),
            _optional("frame_pts", pa.list_(_FRAME_PTS), "time base", "times of the frames seen; null if not kept"),
            _column("feature", _vector(pa.float16(), int(dim)), "feature", "the vector"),
        ]
    )


def schema_of(table: str, dim: int | None = None) -> pa.Schema:
    """The schema of "shots", "detections", "tracks", "videos" or "features/<space>" (with its dim)."""
    if table.startswith(FEATURES):
        check_space_name(table[len(FEATURES) :])
        if dim is None:
            raise BankError(f"No schema for {table!r}: got no dim, expected the dimension of the space.")
        return feature_schema(dim)
    known = {**TABLES, "videos": VIDEOS}
    if table not in known:
        raise UnknownNameError(f"No table {table!r} in a bank: expected one of {sorted(known)} or features/<space>.")
    return known[table]


def order_of(table: str) -> tuple[str, str]:
    """The columns a table is sorted by within a video: its time, then its id."""
    orders = {"shots": ("start_s", "shot_index"), "tracks": ("start_s", "track_id")}
    return orders.get(table, ("at_s", "detection_id"))


def default_row_group_rows(schema: pa.Schema) -> int:
    """Rows of a row group: about 1 MiB of feature, so that a short window reads little."""
    if "feature" not in schema.names:
        return _ROW_GROUP_ROWS
    row_bytes = 2 * schema.field("feature").type.list_size
    return max(64, min(_ROW_GROUP_ROWS, _ROW_GROUP_BYTES // row_bytes))


def check_space_name(name: str) -> str:
    """Returns `name`; raises BankError unless it is letters, digits, ``.``, ``_``, ``-``, no sign first."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", name):
        raise BankError(
            f"Bad name of a feature space: got {name!r}, expected up to 100 letters, digits, '.', '_' "
            "and '-', the first a letter or digit."
        )
    return name


def check_video_id(video_id: str) -> str:
    """Returns `video_id`; raises BankError unless it is what `naming.video_id_for` could give.

    One thing more is allowed: a leading ``_`` or ``.``, which YouTube ids have.
    """
    bad = sorted({char for char in video_id if not is_id_character(char)})
    if bad or not 1 <= len(video_id.encode("utf-8", "surrogatepass")) <= MAX_ID_BYTES:
        raise BankError(
            f"Bad video_id: got {video_id!r}, expected 1 to {MAX_ID_BYTES} bytes of letters, digits "
            "and . - _ ~ %"
            + (f" (not {''.join(bad)!r})" if bad else "")
            + ". Give another id, or none: it is then made from the path."
        )
    return video_id
