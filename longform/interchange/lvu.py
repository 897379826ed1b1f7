"""The released features of Object Transformers on LVU (Wu and Krähenbühl, CVPR 2021), read into a bank.

    features/<video>.npz              entry `a`: a pickled dict {second: {box key: vector}}
    instance_meta_<task>.pkl          {video: {second: {box key: [shot, track]}}}

A box key is `x1,y1,x2,y2`, fractions of the frame with three decimals. There is one key frame a second, and nothing is
known of the frames between, of scores, and of when shots begin.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from longform.interchange.bank_import import BankImport, ImportReport, ImportSettings, Row, vector
from longform.interchange.errors import InterchangeError
from longform.interchange.source_file import SourceFile, read_object_npz, read_pickle
from pipeline.bank.schema import FEATURES
from pipeline.features.box_rows import IDS_PER_FRAME

FORMAT = "lvu"
SPACE = "person.slowfast_32x2_r101_nl"
ENTRY = "a"
META_PREFIX, META_END, FEATURES_END = "instance_meta_", ".pkl", ".npz"
CLIP_S = 64 / 30
"""Seconds that a feature saw, centred on its second."""

FRAMES_PER_S = 1000
"""Frames are not known. Column `frame` counts milliseconds, so that many shots fit between two seconds."""

PERSON = "person"

SCORE = 1.0
"""Of boxes whose scores are not in the files. All were sure enough for the authors."""

Meta = Mapping[int, Mapping[str, tuple[int, int]]]
"""Second -> box key -> shot, track."""

Scores = Mapping[tuple[int, str], float]
"""(second, box key) -> score of the detector."""


@dataclass(frozen=True, slots=True)
class _Box:
    """A box of a video, from both files."""

    second: int
    detection_id: int
    key: str
    sides: list[float]
    score: float
    shot: int
    track: int
    feature: np.ndarray | None


def import_lvu(files: Sequence[Path], bank: str, *, space: str | None = None) -> ImportReport:
    """Read LVU's features into `bank`: videos, shots, detections, tracks and a feature space.

    Args:
        files: `.npz` files, `instance_meta_*.pkl` files, or folders of them, such as LVU's `data`.
    Returns:
        Also what is missing: videos that only one kind of file has are not imported, and named.
    Raises:
        InterchangeError: a file is not as the format says, two disagree about a video, or no video has both.
        WeightsError: a file holds more than plain data.
    """
    metas, features = _sort(files)
    settings = ImportSettings(format=FORMAT, space=space or SPACE)
    meta_of = _merged([SourceFile.of(path) for path in metas])
    target = BankImport(bank, settings, {"imported_from": FORMAT, "of": "chaoyuaw/lvu, features/*.npz"})
    target.record_run([source for source, _ in meta_of.sources], feature_files=len(features))
    for video_id in counterparts(target.report, features, meta_of.videos, "instance_meta"):
        path = features[video_id]
        import_video(
            target, video_id, SourceFile.of(path), meta_of.videos[video_id], partial(read_object_npz, path, ENTRY)
        )
    return target.report


def counterparts(
    report: ImportReport, features: Mapping[str, Any], metas: Mapping[str, Meta], meta_files: str
) -> list[str]:
    """The videos that have features and metadata; the others are named in the report.

    Raises:
        InterchangeError: there is none.
    """
    report.missing = {
        f"features of videos in {meta_files}": sorted(metas.keys() - features.keys()),
        f"{meta_files} of videos with features": sorted(features.keys() - metas.keys()),
    }
    both = sorted(features.keys() & metas.keys())
    if not both:
        raise InterchangeError(
            f"No video has both features and {meta_files}: got features of {len(features)} videos and {meta_files} of "
            f"{len(metas)}. Give the files of both, or the folder above them."
        )
    return both


def _sort(files: Sequence[Path]) -> tuple[list[Path], dict[str, Path]]:
    """The instance_meta files, and the feature file of each video."""
    found = [path for file in files for path in (sorted(file.rglob("*")) if file.is_dir() else [file])]
    metas = [path for path in found if path.name.startswith(META_PREFIX) and path.name.endswith(META_END)]
    features: dict[str, Path] = {}
    for path in found:
        if path.name.endswith(FEATURES_END):
            other = features.setdefault(path.name.removesuffix(FEATURES_END), path)
            if other.resolve() != path.resolve():
                raise InterchangeError(f"Two files have the features of one video: {other} and {path}.")
        elif path not in metas and path in files:
            raise InterchangeError(f"{path} is neither features (.npz) nor {META_PREFIX}*{META_END}.")
    return metas, features


@dataclass(frozen=True, slots=True)
class _Metas:
    sources: Sequence[tuple[SourceFile, int]]
    videos: Mapping[str, Meta]


def _merged(sources: Sequence[SourceFile]) -> _Metas:
    """The videos of all instance_meta files; those of several tasks must say the same of a video."""
    videos: dict[str, Meta] = {}
    origin: dict[str, Path] = {}
    counts = []
    for source in sources:
        content = read_pickle(source.path)
        if not isinstance(content, dict):
            raise InterchangeError(f"{source.path} holds a {type(content).__name__}; expected a dict of videos.")
        counts.append((source, len(content)))
        for video_id, seconds in content.items():
            meta = _checked_meta(seconds, f"{source.path}, video {video_id!r}")
            other = origin.setdefault(str(video_id), source.path)
            if videos.setdefault(str(video_id), meta) != meta:
                raise InterchangeError(
                    f"{other} and {source.path} disagree about video {video_id!r}. Import them into two banks."
                )
    return _Metas(counts, videos)


def _checked_meta(seconds: Any, where: str) -> Meta:
    return {
        second: {key: _shot_and_track(pair, f"{where}, second {second}, box {key}") for key, pair in boxes.items()}
        for second, boxes in _by_second(seconds, where)
    }


def _shot_and_track(pair: Any, where: str) -> tuple[int, int]:
    values = pair.tolist() if isinstance(pair, np.ndarray) else list(pair) if isinstance(pair, (list, tuple)) else []
    whole = all(isinstance(value, (int, float)) and value >= 0 and float(value).is_integer() for value in values)
    if len(values) != 2 or not whole:
        raise InterchangeError(f"{where}: got {pair!r}; expected [shot, track], two numbers from 0 on.")
    return int(values[0]), int(values[1])


def _by_second(seconds: Any, where: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """The seconds of a video in order of time, with their boxes."""
    if not isinstance(seconds, dict):
        raise InterchangeError(f"{where}: a {type(seconds).__name__}; expected a dict of seconds.")
    for second in seconds:
        if not isinstance(second, int) or second < 0:
            raise InterchangeError(f"{where}: got the second {second!r}; expected a whole number from 0 on.")
    for second in sorted(seconds):
        boxes = seconds[second]
        if not isinstance(boxes, dict) or not all(isinstance(key, str) for key in boxes):
            raise InterchangeError(f"{where}, second {second}: expected a dict of boxes by 'x1,y1,x2,y2'.")
        if len(boxes) > IDS_PER_FRAME:
            raise InterchangeError(f"{where}, second {second}: {len(boxes)} boxes; expected at most {IDS_PER_FRAME}.")
        yield second, boxes


def import_video(
    target: BankImport,
    video_id: str,
    source: SourceFile,
    meta: Meta,
    read: Callable[[], Any],
    scores: Scores | None = None,
) -> None:
    """Write one video into the bank, unless it has it.

    Args:
        source: the file of features.
        read: gives its {second: {box key: vector}}.
    """
    listed = [[second, [[key, *pair] for key, pair in boxes.items()]] for second, boxes in meta.items()]
    fingerprint = target.fingerprint(source.sha256, listed, sorted((scores or {}).items()))
    if target.has(video_id, fingerprint):
        return
    features = dict(_by_second(read(), str(source.path)))
    boxes = list(_boxes(features, meta, scores or {}, str(source.path)))
    lacking = sum(box.feature is None for box in boxes)
    unlinked = sum(map(len, features.values())) - len(boxes) + lacking
    if lacking or unlinked:
        target.report.notes.append(
            f"{video_id}: {lacking} boxes without feature; left out, since they have no shot and track: {unlinked}"
        )
    if other_keys := sum(key_of(box.sides) != box.key for box in boxes):
        target.report.notes.append(f"{video_id}: {other_keys} box keys are not of three decimals; exports have three")
    tables = {
        "shots": _shots(boxes, f"video {video_id!r}"),
        "detections": [_detection(box) for box in boxes],
        "tracks": _tracks(boxes),
        FEATURES + target.settings.space: [_feature(box) for box in boxes if box.feature is not None],
    }
    target.add(video_id, source, fingerprint, tables)


def _boxes(features: Mapping[int, Mapping[str, Any]], meta: Meta, scores: Scores, where: str) -> Iterator[_Box]:
    """The boxes of a video by time, then in the order of instance_meta."""
    dim: int | None = None
    for second, known in meta.items():
        here = features.get(second, {})
        for place, (key, (shot, track)) in enumerate(known.items()):
            feature = vector(here[key], dim, f"{where}, second {second}, box {key}") if key in here else None
            dim = dim if feature is None else len(feature)
            sides = box_of(key, f"{where}, second {second}")
            score = scores.get((second, key), SCORE)
            yield _Box(second, second * IDS_PER_FRAME + place, key, sides, score, shot, track, feature)


def box_of(key: str, where: str) -> list[float]:
    """The four sides of a box key. Raises InterchangeError."""
    try:
        x1, y1, x2, y2 = sides = [float(side) for side in key.split(",")]
    except ValueError:
        sides = []
    if not sides or not (0 <= x1 <= x2 <= 1 and 0 <= y1 <= y2 <= 1):
        raise InterchangeError(f"{where}: got the box {key!r}; expected 'x1,y1,x2,y2', fractions of the frame.")
    return sides


def key_of(box: Sequence[float]) -> str:
    """The box key of four sides."""
    return ",".join(f"{side:.3f}" for side in box)


def _detection(box: _Box) -> Row:
    return {
        "at_s": float(box.second),
        "frame": box.second * FRAMES_PER_S,
        "detection_id": box.detection_id,
        "box": box.sides,
        "score": box.score,
        "class_id": 0,
        "label": PERSON,
        "track_id": box.track,
        "shot_index": box.shot,
    }


def _feature(box: _Box) -> Row:
    at_s = float(box.second)
    times = {"at_s": at_s, "start_s": max(0.0, at_s - CLIP_S / 2), "end_s": at_s + CLIP_S / 2}
    return times | {"detection_id": box.detection_id, "track_id": box.track, "feature": box.feature}


def _tracks(boxes: Sequence[_Box]) -> list[Row]:
    """One row a track, by start; a track in several shots has no shot."""
    members: dict[int, list[_Box]] = {}
    for box in boxes:
        members.setdefault(box.track, []).append(box)
    rows = [
        {
            "track_id": track,
            "class_id": 0,
            "label": PERSON,
            "shot_index": some[0].shot if len({box.shot for box in some}) == 1 else None,
            "start_s": float(some[0].second),
            "end_s": float(some[-1].second),
            "num_detections": len(some),
        }
        for track, some in members.items()
    ]
    return sorted(rows, key=lambda row: (row["start_s"], row["track_id"]))


def _shots(boxes: Sequence[_Box], where: str) -> list[Row]:
    """Shots side by side, 0 to the last that a box names, each beginning at the second of its first box.

    Shots without boxes are spread evenly over the time between those around them; a shot lasts at least 1 ms.
    """
    seconds: dict[int, list[int]] = {}
    for box in boxes:
        seconds.setdefault(box.shot, []).append(box.second)
    seen = sorted(seconds)
    if not seen:
        return []
    for shot, after in pairwise(seen):
        if max(seconds[shot]) > min(seconds[after]):
            raise InterchangeError(
                f"{where}: shot {shot} has a box at {max(seconds[shot])} s and shot {after} one at "
                f"{min(seconds[after])} s; expected shots numbered in order of time."
            )
    known = [(-1, 0.0), *((shot, float(min(seconds[shot]))) for shot in seen)]
    starts: list[int] = []
    for (shot, start_s), (after, after_s) in pairwise(known):
        for step in range(1, after - shot + 1):
            wanted = round((start_s + (after_s - start_s) * step / (after - shot)) * FRAMES_PER_S)
            starts.append(max(wanted, starts[-1] + 1) if starts else 0)
    ends = [*starts[1:], max(starts[-1] + 1, (max(seconds[seen[-1]]) + 1) * FRAMES_PER_S)]
    return [
        {
            "shot_index": index,
            "start_s": start / FRAMES_PER_S,
            "end_s": end / FRAMES_PER_S,
            "start_frame": start,
            "end_frame": end,
        }
        for index, (start, end) in enumerate(zip(starts, ends, strict=True))
    ]
