"""Rows of boxes: what every stage that finds boxes writes into its parts, before tracks and shots are known."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from extractors.types import Detections
from pipeline.bank.schema import DETECTIONS, feature_schema
from pipeline.stages import Row

IDS_PER_FRAME = 1000
"""`detection_id` is `frame * IDS_PER_FRAME + first_place + place by score`, so it needs no count over the video."""

LINKED = {"video_id", "track_id", "shot_index"}
"""Columns that `TrackStage` adds."""

DETECTION_PART = pa.schema([field for field in DETECTIONS if field.name not in LINKED])

LOOK = ".hsv_stripes"
"""End of the name of the space with a colour vector for each box, by which boxes are linked."""

LOOKED_AT = ("at_s", "start_s", "end_s")
"""Columns of a feature that hold one time where a single frame was looked at."""


def box_part(dim: int) -> pa.Schema:
    """Schema of the part of a per-box feature space."""
    return pa.schema([field for field in feature_schema(dim) if field.name not in LINKED])


def detection_rows(found: Detections, ids: range, *, at_s: float, frame: int, pts: int) -> Iterator[Row]:
    """Rows of part `detections`, one a box."""
    for place, detection_id in enumerate(ids):
        yield {
            "at_s": at_s,
            "frame": frame,
            "pts": pts,
            "detection_id": detection_id,
            "box": found.boxes[place].tolist(),
            "score": float(found.scores[place]),
            "class_id": int(found.classes[place]),
            "label": found.class_names[found.classes[place]],
        }


def feature_rows(space: str, features: np.ndarray, ids: range, times: Row) -> Iterator[tuple[str, Row]]:
    """`(part, row)` of a per-box feature space; `times` are the columns that all rows share."""
    for detection_id, feature in zip(ids, features, strict=True):
        yield f"features/{space}", times | {"detection_id": detection_id, "feature": feature}
