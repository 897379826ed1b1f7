"""The answers that have room on the page, by video, and the frames that show them."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from longform.report.answers import Answers, Entry, MaskedTrack, Prediction
from longform.report.collect import Boxes
from longform.report.limits import Limits, fair_shares

SAME_MOMENT_S = 0.01


@dataclass(frozen=True, kw_only=True)
class VideoAnswers:
    """The answers about one video, by time."""

    predictions: list[Prediction]
    masked: list[MaskedTrack]
    notes: list[str]
    """What was left out."""

    def frames(self, boxes: Boxes, fps: float, num_frames: int) -> list[int]:
        """Display indices of the frames that the answers are about: of the detections of that time, or by the rate."""
        entries: list[Prediction | MaskedTrack] = [*self.predictions, *self.masked]
        times_s = np.array([at_s for entry in entries for at_s in entry.pictured_s])
        found = np.floor(times_s * fps + 1e-3).astype(np.int64)
        known_s, frames = np.asarray(boxes.at_s), np.asarray(boxes.frame, np.int64)
        if len(known_s):
            after = np.searchsorted(known_s, times_s).clip(max=len(known_s) - 1)
            for place in (np.maximum(after - 1, 0), after):
                same = np.abs(known_s[place] - times_s) <= SAME_MOMENT_S
                found[same] = frames[place[same]]
        return np.unique(found.clip(0, max(0, num_frames - 1))).tolist()


def answers_shown(
    explained: Answers[Prediction], masked: Answers[MaskedTrack], video_ids: Sequence[str], limits: Limits
) -> list[VideoAnswers]:
    """For each of the shown videos its answers, as far as there is room; of a prediction the heaviest moments."""
    predictions, some = _fitted(explained, video_ids, limits.predictions, "predictions")
    shares = iter(fair_shares([len(one.moments) for one in itertools.chain(*predictions)], limits.attended))
    predictions = [[replace(one, moments=one.moments[: next(shares)]) for one in found] for found in predictions]
    tracks, others = _fitted(masked, video_ids, limits.masked, "masked tracks")
    columns = zip(predictions, tracks, some, others, strict=True)
    return [VideoAnswers(predictions=ours, masked=theirs, notes=[*a, *b]) for ours, theirs, a, b in columns]


def _fitted(
    answers: Answers[Entry], video_ids: Sequence[str], most: int, what: str
) -> tuple[list[list[Entry]], list[list[str]]]:
    """The entries of each video, evenly chosen where there are too many, and a note if so."""
    found = [answers.by_video.get(video_id, []) for video_id in video_ids]
    kept, notes = [], []
    for entries, share in zip(found, fair_shares([len(one) for one in found], most), strict=True):
        places = np.linspace(0, len(entries) - 1, share).round().astype(np.int64)
        kept.append([entries[place] for place in places])
        left = share < len(entries)
        note = f"The page has room for {share:,} of {len(entries):,} {what} of this video: an even selection."
        notes.append([note] if left else [])
    return kept, notes
