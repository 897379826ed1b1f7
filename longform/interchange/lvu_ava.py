"""AVA as the released code of Object Transformers reads it: `train.csv`, `val.csv`, `{train,val}_features.pkl`.

A row of a csv is one box with one action: video, second, x1, y1, x2, y2, action or nothing, score, track, shot, and a
column that is not used. A pickle of features is a tuple: vectors (N, 2304), boxes (N, 5) whose first column is the
place in a batch, and N pairs of video and second. The box with three decimals joins the two.

Training boxes are ground truth; the original calls their videos `GT_<name>`, and so does the bank.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from longform.interchange.bank_import import BankImport, ImportReport, ImportSettings
from longform.interchange.errors import InterchangeError
from longform.interchange.lvu import SPACE, counterparts, import_video, key_of
from longform.interchange.source_file import SourceFile, read_pickle
from longform.metrics.tables import csv_rows, finite, malformed

FORMAT = "lvu-ava"
LAYOUT = "video, second, x1, y1, x2, y2, action or nothing, score, track, shot, unused"
GROUND_TRUTH_CSV, GROUND_TRUTH_FEATURES, GROUND_TRUTH = "train.csv", "train_features", "GT_"

Features = dict[str, dict[int, dict[str, Any]]]


def import_lvu_ava(files: Sequence[Path], bank: str, *, space: str | None = None) -> ImportReport:
    """Read LVU's AVA files into `bank`; actions, which are annotations, stay in the csv.

    Args:
        files: csv files, and pickles of features.
    Returns:
        Also what is missing: videos that only one kind of file has are not imported, and named.
    Raises:
        InterchangeError: a file is not as the format says, or no video has both.
        AnnotationError: a line of a csv is malformed.
        WeightsError: a pickle holds more than plain data.
    """
    metas: dict[str, dict[int, dict[str, tuple[int, int]]]] = {}
    scores: dict[str, dict[tuple[int, str], float]] = {}
    features: dict[str, tuple[SourceFile, dict[int, dict[str, Any]]]] = {}
    sources = [SourceFile.of(path) for path in files]
    for source in sources:
        if source.path.suffix == ".csv":
            _read_csv(source.path, metas, scores)
        else:
            for video_id, seconds in _read_features(source.path).items():
                other, _ = features.setdefault(video_id, (source, seconds))
                if other is not source:
                    raise InterchangeError(f"{other.path} and {source.path} both have features of {video_id!r}.")
    settings = ImportSettings(format=FORMAT, space=space or SPACE)
    target = BankImport(bank, settings, {"imported_from": FORMAT, "of": "chaoyuaw/lvu, ava/*_features.pkl"})
    target.record_run(sources)
    for video_id in counterparts(target.report, features, metas, "csv rows"):
        source, seconds = features[video_id]
        metas[video_id] = dict(sorted(metas[video_id].items()))
        import_video(target, video_id, source, metas[video_id], partial(dict, seconds), scores[video_id])
    return target.report


def _read_csv(path: Path, metas: dict[str, Any], scores: dict[str, Any]) -> None:
    is_truth = GROUND_TRUTH_CSV in path.name
    for line, row in csv_rows(path, (11,), LAYOUT):
        video_id, key = GROUND_TRUTH * is_truth + row[0], ",".join(row[2:6])
        try:
            second, track, shot = int(row[1]), int(row[8]), int(row[9])
            score = 1.0 if is_truth else finite(row[7])
            if min(second, track, shot) < 0:
                raise ValueError(f"second {second}, track {track}, shot {shot}; expected 0 or more")
        except ValueError as error:
            raise malformed(path, line, error) from error
        known = metas.setdefault(video_id, {}).setdefault(second, {}).setdefault(key, (shot, track))
        if known != (shot, track):
            raise malformed(path, line, f"box {key} is in shot and track {(shot, track)}, and above in {known}")
        scores.setdefault(video_id, {})[second, key] = score


def _read_features(path: Path) -> Features:
    content = read_pickle(path)
    try:
        vectors, boxes, moments = content
        lengths = {len(vectors), len(boxes), len(moments)}
    except (TypeError, ValueError) as error:
        raise InterchangeError(f"{path} is no tuple of vectors, boxes and (video, second) pairs.") from error
    if len(lengths) > 1:
        raise InterchangeError(f"{path} has {len(vectors)} vectors, {len(boxes)} boxes and {len(moments)} moments.")
    prefix = GROUND_TRUTH * (GROUND_TRUTH_FEATURES in path.name)
    found: Features = {}
    for vector, box, (video, second) in zip(vectors, boxes, moments, strict=True):
        found.setdefault(f"{prefix}{video}", {}).setdefault(int(second), {})[key_of(list(box)[1:])] = vector
    return found
