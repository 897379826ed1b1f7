"""Describe a video as shots, cameras and walking people, and place them on its frames.

Lengths are frame heights, so one plan works at any size; times are seconds.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

import numpy as np

from pipeline.sample.truth import TransitionTruth


@dataclass(frozen=True, kw_only=True)
class Camera:
    """A steady motion over a whole shot."""

    pan: tuple[float, float] = (0.0, 0.0)
    """(x, y) frame heights per second; positive moves right and down."""
    zoom: float = 1.0
    """Growth per second of the picture about its centre; above 1 goes closer."""

    def __post_init__(self) -> None:
        if self.zoom <= 0 or (self.zoom != 1 and self.pan != (0.0, 0.0)):
            raise ValueError(f"Camera of a sample video: got pan {self.pan} and zoom {self.zoom}, expected one motion.")

    @property
    def motion(self) -> str:
        """One of "still", "pan", "zoom"."""
        return "zoom" if self.zoom != 1 else "pan" if self.pan != (0.0, 0.0) else "still"


@dataclass(frozen=True, kw_only=True)
class Walk:
    """A person on a straight line at constant speed; with two walks of an identity someone comes back."""

    identity: int
    start_x: float
    """Place at the beginning of the shot, in frame heights from the frame's left edge at that time."""
    end_x: float
    """Place at the end of the walk."""
    start_s: float = 0.0
    """Seconds into the shot; before it the person is absent."""
    end_s: float | None = None
    """Seconds into the shot; None lasts to the end of the shot."""
    height: float = 0.6
    """Of the person, in frame heights before any zoom."""
    ground: float = 0.9
    """y of the soles; who stands lower is nearer and covers the others."""
    phase: float = 0.0
    """Moment of the gait at the beginning."""


@dataclass(frozen=True, kw_only=True)
class Shot:
    """What one camera sees from its first to its last frame."""

    place: str
    seconds: float
    """From the cut, or the middle of the transition, before it to the one after it."""
    camera: Camera = Camera()
    walks: tuple[Walk, ...] = ()
    transition: str = "cut"
    """How this shot begins: "cut", "dissolve" or "fade" (through black; the first shot rises from black)."""
    transition_s: float = 1.0
    """Length of a gradual beginning."""

    def __post_init__(self) -> None:
        if self.transition not in ("cut", "dissolve", "fade"):
            raise ValueError(
                f"Shot of a sample video: got transition {self.transition!r}, expected cut, dissolve or fade."
            )


@dataclass(frozen=True, kw_only=True)
class Film:
    """A whole video."""

    shots: tuple[Shot, ...]
    size_hw: tuple[int, int] = (360, 640)
    fps: Fraction = Fraction(25)
    seed: int = 0
    """Decides on the details of the places."""
    fade_out_s: float = 0.0
    """Length of a fade to black at the end."""


@dataclass(frozen=True, kw_only=True)
class Timeline:
    """The frames of a film."""

    starts: tuple[int, ...]
    """First frame of each shot, and the number of frames of the film."""
    changes: tuple[TransitionTruth, ...]

    @property
    def num_frames(self) -> int:
        """Number of frames."""
        return self.starts[-1]

    def shot_of(self, frame: int) -> int:
        """Index of the shot that a frame belongs to."""
        return bisect_right(self.starts, frame, 1, len(self.starts) - 1) - 1

    def change_at(self, frame: int) -> TransitionTruth | None:
        """The gradual transition that a frame is part of."""
        return next((change for change in self.changes if change.first_frame <= frame <= change.last_frame), None)


def timeline(film: Film) -> Timeline:
    """Place the shots and transitions of a film on its frames."""
    ends = np.cumsum([shot.seconds for shot in film.shots])
    starts = (0, *(max(1, round(float(end) * film.fps)) for end in ends))
    if any(later <= earlier for earlier, later in pairwise(starts)):
        raise ValueError(f"Sample video: got shots that begin at frames {starts}, expected at least one frame each.")
    changes = []
    for index, shot in enumerate(film.shots):
        length = round(shot.transition_s * film.fps) if shot.transition != "cut" else 0
        if length and index:
            first = starts[index] - length // 2
            changes.append(TransitionTruth(kind=shot.transition, first_frame=first, last_frame=first + length - 1))
        elif length:
            changes.append(TransitionTruth(kind="fade_in", first_frame=0, last_frame=length - 1))
    length = round(film.fade_out_s * film.fps)
    if length:
        changes.append(TransitionTruth(kind="fade_out", first_frame=starts[-1] - length, last_frame=starts[-1] - 1))
    overlap = any(later.first_frame <= earlier.last_frame for earlier, later in pairwise(changes))
    if overlap or any(not _within_two_shots(change, starts) for change in changes):
        raise ValueError("Sample video: got transitions that overlap. Use longer shots or shorter transitions.")
    return Timeline(starts=starts, changes=tuple(changes))


def _within_two_shots(change: TransitionTruth, starts: tuple[int, ...]) -> bool:
    """Whether a transition stays inside its two shots, or, at an end of the video, inside its one."""
    touched = sum(change.first_frame < end and change.last_frame >= start for start, end in pairwise(starts))
    inside = change.first_frame >= 0 and change.last_frame < starts[-1]
    return inside and touched <= (2 if change.kind in ("dissolve", "fade") else 1)
