"""The banks of Long-Term Feature Banks (Wu et al., CVPR 2019) as its code writes them: `train_lfb.pkl`, `val_lfb.pkl`.

    AVA           {video number: {second: [vector, ...]}}
    EPIC verbs    {video name: {frame: vector}}
    EPIC nouns    {video number: {frame: array (n, D), or an empty list}}
    Charades      {video number: {frame: vector}}

A video's number is its place in the frame list of its split. No file says to which box a feature belongs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np

from longform.datasets.frame_lists import read_frame_lists
from longform.interchange.bank_import import BankImport, ImportReport, ImportSettings, Row, vector
from longform.interchange.errors import InterchangeError
from longform.interchange.python2_pickle import Pairs, write_python2_pickle
from longform.interchange.source_file import SourceFile, read_pickle
from pipeline.bank.reader import FeatureBank
from pipeline.bank.rows import vectors_of
from pipeline.bank.schema import FEATURES
from pipeline.bank.vectors import to_float32
from pipeline.new_file import new_file

GRID_TOLERANCE = 1e-3
"""Of a frame: how far a time may lie from the frame whose key it gets."""


@dataclass(frozen=True, kw_only=True)
class LfbFormat:
    """One of the four files."""

    name: str
    space: str
    """Where its features go, unless the user names another space."""
    rate_hz: int
    """Keys per second: frames, or seconds."""
    clip_s: float
    """Seconds that a feature saw, centred on its moment."""
    by_number: bool
    """Videos are numbers, not names."""
    many: str = ""
    """What holds the features of one moment: a `list`, an `array`; nothing where there is one."""


FORMATS = {
    made.name: made
    for made in (
        LfbFormat(name="lfb-ava", space="person.ava_lfb_i3d_nl_r50", rate_hz=1, clip_s=64 / 30, by_number=True,
                  many="list"),
        LfbFormat(name="lfb-epic-verb", space="clip.lfb_i3d_nl_r50", rate_hz=30, clip_s=64 / 30, by_number=False),
        LfbFormat(name="lfb-epic-noun", space="object.faster_rcnn_x101_fpn", rate_hz=30, clip_s=0.0, by_number=True,
                  many="array"),
        LfbFormat(name="lfb-charades", space="clip.lfb_i3d_nl_r50", rate_hz=24, clip_s=128 / 24, by_number=True),
    )
}  # fmt: skip


def import_lfb(
    files: Sequence[Path],
    bank: str,
    format_name: str,
    *,
    frame_lists: Sequence[Path] = (),
    space: str | None = None,
    start_second: int = 0,
) -> ImportReport:
    """Read banks of `format_name` into `bank`.

    Args:
        files: pickles, such as `train_lfb.pkl` and `val_lfb.pkl`.
        frame_lists: of each file the frame list of its split, in the same order; needed where videos are numbers.
        start_second: key that is 0 s in the bank; 900 for AVA films that were cut there.
    Raises:
        InterchangeError: a file is not as the format says, or does not fit its frame list.
        AnnotationError: a frame list is malformed.
        WeightsError: a pickle holds more than plain data.
    """
    made = FORMATS[format_name]
    if (made.by_number or frame_lists) and len(frame_lists) != len(files):
        raise InterchangeError(
            f"{format_name}: got {len(files)} files and {len(frame_lists)} frame lists; expected one --frame-list for "
            "each file, in the same order: they say which video a number means."
        )
    settings = ImportSettings(format=made.name, space=space or made.space, start_second=start_second)
    target = BankImport(bank, settings, {"imported_from": made.name, "of": "facebookresearch long-term feature banks"})
    sources = [SourceFile.of(path) for path in files]
    target.record_run(sources)
    seen: dict[str, Path] = {}
    lists = [list(read_frame_lists(path)) for path in frame_lists]
    for source, names in zip_longest(sources, lists):
        for video_id, moments in _videos(source.path, made, names):
            if seen.setdefault(video_id, source.path) != source.path:
                raise InterchangeError(
                    f"Video {video_id!r} is in {seen[video_id]} and in {source.path}; expected once."
                )
            fingerprint = target.fingerprint(source.sha256, video_id)
            if not target.has(video_id, fingerprint):
                rows = _rows(moments, made, start_second, f"{source.path}, video {video_id!r}")
                target.add(video_id, source, fingerprint, {FEATURES + settings.space: rows})
    return target.report


def _videos(path: Path, made: LfbFormat, names: Sequence[str] | None) -> Iterator[tuple[str, Mapping[Any, Any]]]:
    """`(video_id, {key: features})` of one file, checked against its frame list."""
    content = read_pickle(path)
    if not isinstance(content, dict) or not all(isinstance(moments, dict) for moments in content.values()):
        raise InterchangeError(f"{path} is no bank: expected a dict of videos, each a dict of seconds or frames.")
    kind = int if made.by_number else str
    if strange := [key for key in content if not isinstance(key, kind) or isinstance(key, bool)]:
        raise InterchangeError(
            f"{path} calls a video {strange[0]!r}; a bank of {made.name} calls its videos by "
            f"{'number' if made.by_number else 'name'}. Is it a bank of another data set?"
        )
    known: Sequence[Any] = range(len(names)) if names is not None and made.by_number else names or list(content)
    missing, unknown = [key for key in known if key not in content], content.keys() - set(known)
    if missing or unknown:
        lacking = [names[key] if names is not None and made.by_number else key for key in missing]
        raise InterchangeError(
            f"{path} has {len(content)} videos, its frame list {len(known)}: {len(missing)} of the list are missing "
            f"({', '.join(lacking[:5])}), {len(unknown)} are unknown ({', '.join(map(str, sorted(unknown)[:5]))}). "
            "Give the frame list of the same split."
        )
    for key in known:
        yield names[key] if names is not None and made.by_number else key, content[key]


def _rows(moments: Mapping[Any, Any], made: LfbFormat, start_second: int, where: str) -> list[Row]:
    rows: list[Row] = []
    for key in sorted(moments, key=lambda key: _frame(key, where)):
        at_s = int(key) / made.rate_hz - start_second
        if at_s < 0:
            raise InterchangeError(f"{where}: key {key} is before --start-second {start_second}.")
        times = {"at_s": at_s, "start_s": max(0.0, at_s - made.clip_s / 2), "end_s": at_s + made.clip_s / 2}
        for value in moments[key] if made.many else [moments[key]]:
            dim = len(rows[0]["feature"]) if rows else None
            rows.append(times | {"feature": vector(value, dim, f"{where}, key {key}")})
    return rows


def _frame(key: Any, where: str) -> int:
    if isinstance(key, (int, float)) and not isinstance(key, bool) and key == int(key):
        return int(key)
    raise InterchangeError(f"{where}: got the key {key!r}; expected the number of a frame or second.")


def export_lfb(
    bank: FeatureBank,
    format_name: str,
    path: Path,
    *,
    frame_list: Path | None = None,
    space: str | None = None,
    start_second: int = 0,
) -> dict[str, int]:
    """Write a space of `bank` as the code of Long-Term Feature Banks reads it, for Python 2 and 3.

    Args:
        path: such as `train_lfb.pkl`.
        frame_list: of the split: which videos, and their numbers. Without it, and where videos are names, all that
            are ok.
        start_second: key of 0 s, as in `import_lfb`.
    Returns:
        How many `videos` and `features` were written.
    Raises:
        InterchangeError: a video of the list is not in the bank, or a time is on no frame of the data set.
    """
    made = FORMATS[format_name]
    table = bank.videos().select(["video_id", "status"]).to_pydict()
    held = [name for name, status in zip(table["video_id"], table["status"], strict=True) if status == "ok"]
    if made.by_number and frame_list is None:
        raise InterchangeError(f"{format_name} calls videos by their number in a frame list: give --frame-list.")
    names = held if frame_list is None else list(read_frame_lists(frame_list))
    if missing := sorted(set(names) - set(held)):
        raise InterchangeError(
            f"{len(missing)} of {len(names)} videos of {frame_list} are not in {bank.uri}: {', '.join(missing[:5])}. "
            "The original's loader wants them all: extract or import them, or shorten the list."
        )
    counts = {"videos": len(names), "features": 0}
    source = space or made.space

    def videos() -> Pairs:
        for number, name in enumerate(names):
            times_s, features = _features(bank, source, name)
            counts["features"] += len(features)
            keys = _keys(times_s + start_second, made, name)
            yield number if made.by_number else name, _moments(keys, features, made)

    path.parent.mkdir(parents=True, exist_ok=True)
    with new_file(path) as partial, partial.open("wb") as file:
        write_python2_pickle(file, videos())
    return counts


def _features(bank: FeatureBank, space: str, video_id: str) -> tuple[np.ndarray, np.ndarray]:
    """Times (N,) and features (N, D) float32 of a video, by time."""
    rows = bank.features(space, video_id, ["at_s", "feature"])
    return rows["at_s"].to_numpy(), to_float32(vectors_of(rows["feature"]))


def _keys(times_s: np.ndarray, made: LfbFormat, video_id: str) -> np.ndarray:
    """Frames or seconds of the data set."""
    exact = times_s * made.rate_hz
    keys = np.rint(exact)
    off = np.abs(exact - keys) > GRID_TOLERANCE
    if off.any():
        raise InterchangeError(
            f"Video {video_id!r} has a feature at {times_s[off][0]:.6f} s, which is no frame at {made.rate_hz}/s: "
            f"extract it with --preset {made.name}."
        )
    return keys.astype(np.int64)


def _moments(keys: np.ndarray, features: np.ndarray, made: LfbFormat) -> Pairs:
    starts = np.flatnonzero(np.diff(keys, prepend=-1))
    for key, some in zip(keys[starts].tolist(), np.split(features, starts[1:]), strict=False):
        if made.many:
            yield key, some if made.many == "array" else list(some)
        elif len(some) == 1:
            yield key, some[0]
        else:
            raise InterchangeError(f"{len(some)} features at key {key}; {made.name} has one.")
