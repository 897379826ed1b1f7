"""What a user should know before a long run, on standard error: counts beside the published ones, frame rates."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence

from longform.datasets.counts import Count
from longform.lfb.footage import Footage
from pipeline.errors import InputError

TOLERANCE = 0.02
"""Of a frame rate."""


def say(sentences: Iterable[str]) -> None:
    """Print sentences."""
    for sentence in sentences:
        print(sentence, file=sys.stderr)


def say_counts(counts: Sequence[Count]) -> None:
    """Print the counts that are none of the published ones."""
    say(f"{count.what}: {count.found:,}; {count.verdict}." for count in counts if not count.agrees)


def frame_notes(footage: Footage, lengths_s: Mapping[str, float], *, fps: int) -> list[str]:
    """Sentences about videos whose number of frames does not fit the rate of the data set.

    Args:
        lengths_s: length of some videos, as the data set states it.
    """
    notes = []
    for video, length_s in lengths_s.items():
        count = footage.reader.num_frames(video)
        rate = count / length_s
        if abs(rate / fps - 1) > TOLERANCE:
            notes.append(
                f"Video {video!r} has {count} frames in {length_s:g} s, which are {rate:.1f} a second; the data set "
                f"has {fps}. Frames of another rate cost 2 to 4 mAP: is it cut or extracted as docs/datasets.md says?"
            )
    return notes


def require_frames(footage: Footage, last_frames: Mapping[str, int], *, fps: int) -> None:
    """Refuse videos that end before their annotations.

    Args:
        last_frames: of some videos the last annotated frame.
    Raises:
        InputError: one is shorter by more than a second.
    """
    for video, last in last_frames.items():
        count = footage.reader.num_frames(video)
        if last >= count + fps:
            raise InputError(
                f"Video {video!r} has {count} frames, and an annotation at frame {last}. Are its frames {fps} a second?"
            )
