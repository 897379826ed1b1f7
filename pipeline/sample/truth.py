"""What is known about a generated video: cuts, transitions, cameras, people, timestamps.

Frames are counted in display order from 0. Boxes are xyxy in [0, 1] of the displayed (turned) frame.
`Truth.save` writes one JSON file; `Truth.load` reads it back to an equal value.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any


@dataclass(frozen=True, kw_only=True)
class CameraTruth:
    """How the camera moves during one shot; positive pan is a camera that moves right and down."""

    motion: str
    """One of "still", "pan", "zoom"."""
    pan_px_per_frame: tuple[float, float] = (0.0, 0.0)
    """(x, y) in displayed pixels; still scenery moves by its negative from frame to frame. With a
    variable frame rate this is the motion in 1 / fps."""
    zoom_per_frame: float = 1.0
    """Growth of the picture about its centre from one frame to the next; above 1 goes closer."""


@dataclass(frozen=True, kw_only=True)
class ShotTruth:
    """One shot: frames [start_frame, end_frame). A gradual transition is split at its middle frame."""

    shot_index: int
    start_frame: int
    end_frame: int
    place: str
    camera: CameraTruth


@dataclass(frozen=True, kw_only=True)
class TransitionTruth:
    """A gradual change; `first_frame` and `last_frame` are the first and last frames that are a mixture."""

    kind: str
    """Between shots "dissolve" or "fade" (through black); at the video's ends "fade_in" and "fade_out"."""
    first_frame: int
    last_frame: int


@dataclass(frozen=True, kw_only=True)
class BoxTruth:
    """One person in one frame."""

    frame: int
    identity: int
    """The same number is the same person, in the same clothes, in every shot and every video."""
    shot_index: int
    box: tuple[float, float, float, float]
    """xyxy of the silhouette inside the frame, as if no nearer person stood before it."""
    visible: float
    """Share of the silhouette that can be seen, in (0, 1]: less than 1 at the frame's edge, behind someone,
    or in a mixture of two shots."""


@dataclass(frozen=True, kw_only=True)
class Truth:
    """Everything known about one generated video."""

    video: str
    """File name of the video, without its folder."""
    size_hw: tuple[int, int]
    """Displayed height and width, after turning."""
    fps: Fraction
    """Nominal frame rate; `pts` is what counts where the rate varies."""
    time_base: Fraction
    """Seconds per unit of `pts`."""
    pts: tuple[int, ...]
    """One rising timestamp per frame, rounded as the container rounds; some containers add a constant."""
    rotation: int
    """Degrees counter-clockwise that a player turns the stored frame: 0, 90, 180 or 270."""
    shots: tuple[ShotTruth, ...]
    transitions: tuple[TransitionTruth, ...]
    boxes: tuple[BoxTruth, ...]
    """Ordered by frame, identity, shot_index."""

    @property
    def num_frames(self) -> int:
        """Number of frames."""
        return len(self.pts)

    @property
    def times_s(self) -> tuple[float, ...]:
        """Seconds of each frame; the first is 0."""
        return tuple(float((value - self.pts[0]) * self.time_base) for value in self.pts)

    @property
    def cuts(self) -> tuple[int, ...]:
        """First frame of every shot that begins with a hard cut."""
        mixed = [(change.first_frame, change.last_frame) for change in self.transitions]
        starts = [shot.start_frame for shot in self.shots[1:]]
        return tuple(start for start in starts if not any(first <= start <= last for first, last in mixed))

    def boxes_at(self, frame: int) -> tuple[BoxTruth, ...]:
        """The people of one frame."""
        return tuple(box for box in self.boxes if box.frame == frame)

    def to_json(self) -> str:
        """One JSON object; fractions are written "numerator/denominator"."""
        fields = asdict(self)
        for name in ("fps", "time_base"):
            value = fields[name]
            fields[name] = f"{value.numerator}/{value.denominator}"
        fields["cuts"] = self.cuts
        return json.dumps(fields, indent=None, separators=(",", ":")) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Truth:
        """The inverse of `to_json`."""
        fields: dict[str, Any] = json.loads(text)
        fields.pop("cuts")
        return cls(
            video=fields["video"],
            size_hw=tuple(fields["size_hw"]),
            fps=Fraction(fields["fps"]),
            time_base=Fraction(fields["time_base"]),
            pts=tuple(fields["pts"]),
            rotation=fields["rotation"],
            shots=tuple(_shot(item) for item in fields["shots"]),
            transitions=tuple(TransitionTruth(**item) for item in fields["transitions"]),
            boxes=tuple(BoxTruth(**{**item, "box": tuple(item["box"])}) for item in fields["boxes"]),
        )

    def save(self, path: Path) -> None:
        """Write `to_json` to a file."""
        path.write_text(self.to_json(), encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Truth:
        """Read what `save` wrote."""
        return cls.from_json(path.read_text(encoding="utf-8"))


def _shot(fields: dict[str, Any]) -> ShotTruth:
    camera = fields["camera"]
    pan = tuple(camera["pan_px_per_frame"])
    return ShotTruth(**{**fields, "camera": CameraTruth(**{**camera, "pan_px_per_frame": pan})})
