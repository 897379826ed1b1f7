"""Write a bank as the released code of Object Transformers reads it: `features/*.npz` and `instance_meta_*.pkl`."""

from __future__ import annotations

import io
import pickle
import zipfile
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from longform.interchange.errors import InterchangeError
from longform.interchange.lvu import ENTRY, FEATURES_END, META_END, META_PREFIX, PERSON, SPACE, key_of
from pipeline.bank.reader import FeatureBank
from pipeline.bank.rows import vectors_of
from pipeline.bank.vectors import to_float32
from pipeline.new_file import new_file

FEATURE_DIM = 2304
"""Slow and fast features of SlowFast R101, what the released checkpoints take."""

BoxFeatures = dict[int, dict[str, np.ndarray]]
BoxMeta = dict[int, dict[str, list[int]]]


def export_lvu(
    bank: FeatureBank, folder: Path, *, space: str | None = None, tasks: Sequence[str] = ("all",)
) -> dict[str, Any]:
    """Write every video of `bank` that has boxes in `space`, with its shots and tracks.

    Args:
        space: features of people, by default LVU's, or the only such space of 2304 values.
        tasks: a file `instance_meta/instance_meta_<task>.pkl` each, with all videos.
    Returns:
        How many `videos` and `boxes` were written; `without_boxes`, the videos left out; `merged`, boxes that are one
        to three decimals, of which the first was kept.
    Raises:
        InterchangeError: no such space, or a box is at no whole second.
    """
    chosen = space or _only_person_space(bank)
    report: dict[str, Any] = {"space": chosen, "videos": 0, "boxes": 0, "without_boxes": [], "merged": 0}
    metas: dict[str, BoxMeta] = {}
    features_folder, meta_folder = folder / "features", folder / "instance_meta"
    for each in (features_folder, meta_folder):
        each.mkdir(parents=True, exist_ok=True)
    status = bank.videos().select(["video_id", "status"]).to_pylist()
    for video_id in (row["video_id"] for row in status if row["status"] == "ok"):
        features, meta, merged = _video(bank, chosen, video_id)
        if not features:
            report["without_boxes"].append(video_id)
            continue
        metas[video_id] = meta
        report["videos"] += 1
        report["boxes"] += sum(map(len, features.values()))
        report["merged"] += merged
        with new_file(features_folder / f"{video_id}{FEATURES_END}") as partial:
            _write_npz(partial, features)
    for task in tasks:
        with new_file(meta_folder / f"{META_PREFIX}{task}{META_END}") as partial, partial.open("wb") as file:
            pickle.dump(metas, file, protocol=4)
    return report


def _only_person_space(bank: FeatureBank) -> str:
    people = [name for name, info in bank.spaces.items() if name.startswith("person.") and info.dim == FEATURE_DIM]
    if SPACE in bank.spaces:
        return SPACE
    if len(people) != 1:
        raise InterchangeError(
            f"{bank.uri} has {len(people)} spaces of people with {FEATURE_DIM} values ({', '.join(people)}); say which "
            f"one with --space. It has: {', '.join(bank.spaces)}."
        )
    return people[0]


def _video(bank: FeatureBank, space: str, video_id: str) -> tuple[BoxFeatures, BoxMeta, int]:
    """Features and metadata of a video's boxes, and how many boxes had the key of another."""
    detections = bank.table("detections", video_id)
    rows = bank.features(space, video_id, ["detection_id", "feature"])
    vector_of = dict(zip(rows["detection_id"].to_pylist(), to_float32(vectors_of(rows["feature"])), strict=True))
    unused = count(1 + max(detections["track_id"].drop_null().to_pylist(), default=-1))
    features: BoxFeatures = {}
    meta: BoxMeta = {}
    merged = 0
    for row in detections.to_pylist():
        vector = vector_of.get(row["detection_id"])
        if vector is None and row["label"] != PERSON:
            continue
        second, key = _whole(row["at_s"], video_id), key_of(row["box"])
        if key in features.get(second, {}) or key in meta.get(second, {}):
            merged += 1
            continue
        if vector is not None:
            features.setdefault(second, {})[key] = vector
        if row["shot_index"] is not None:
            track = next(unused) if row["track_id"] is None else row["track_id"]
            meta.setdefault(second, {})[key] = [row["shot_index"], track]
    return features, meta, merged


def _write_npz(path: Path, features: BoxFeatures) -> None:
    """As `numpy.savez(file, a=features)` of NumPy 1 writes it: the released code cannot read names of NumPy 2."""
    data = io.BytesIO()
    np.lib.format.write_array_header_1_0(data, {"descr": "|O", "fortran_order": False, "shape": ()})
    pickled = pickle.dumps(np.array(features, dtype=object), protocol=3)
    data.write(pickled.replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n", 1))
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(zipfile.ZipInfo(f"{ENTRY}.npy"), data.getvalue())


def _whole(at_s: float, video_id: str) -> int:
    if abs(at_s - round(at_s)) > 1e-6:
        raise InterchangeError(f"Video {video_id!r} has boxes at {at_s} s; LVU has one key frame each whole second.")
    return round(at_s)
