"""Render the frames of a planned film together with their truth.

`render` draws frames one by one; `shoot` writes them to a file and returns the truth.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.sample.compose import Seen, paste
from pipeline.sample.encode import Coding, encode
from pipeline.sample.figures import Patch, clothes_of, draw_figure
from pipeline.sample.places import View, paint
from pipeline.sample.plan import Camera, Film, Timeline, Walk, timeline
from pipeline.sample.truth import BoxTruth, CameraTruth, ShotTruth, Truth

Frame = NDArray[np.uint8]

CYCLE_HEIGHTS = 0.40
"""Way that a walker makes in one two-step cycle, as a share of the person's height."""
STANDING_PHASE = 0.06
"""Moment of the gait in which those stand who do not walk."""


@dataclass(frozen=True, kw_only=True)
class Picture:
    """One rendered frame and the people in it."""

    rgb: Frame
    """(H, W, 3) uint8."""
    boxes: tuple[BoxTruth, ...]


def render(film: Film, *, times_s: Sequence[float] | None = None) -> Iterator[Picture]:
    """Draw the frames of a film in order.

    Args:
        film: the plan.
        times_s: when each frame is shown, for a variable frame rate; None is index / fps. Shots begin at the
            same frames in both cases.
    Yields:
        one picture per frame. During a transition the people of both shots are listed, with the index of
        their own shot, their visibility scaled by that shot's share in the mixture.
    """
    plan = timeline(film)
    times = [index / float(film.fps) for index in range(plan.num_frames)] if times_s is None else list(times_s)
    if len(times) < plan.num_frames:
        raise ValueError(f"Sample video: got {len(times)} times, expected one for each of {plan.num_frames} frames.")
    stages: dict[int, _Stage] = {}
    for frame in range(plan.num_frames):
        weights = _weights(plan, frame)
        for index in [index for index in stages if index < min(weights)]:
            del stages[index]
        mixture = np.zeros((*film.size_hw, 3), np.float32)
        boxes: list[BoxTruth] = []
        for index, weight in weights.items():
            if index not in stages:
                stages[index] = _Stage(film, index, plan, times)
            rgb, found = stages[index].draw(frame)
            if weight == 1:
                mixture = rgb
            else:
                mixture += np.float32(weight) * rgb
            boxes += [_dimmed(box, weight) for box in found if weight > 0]
        yield Picture(rgb=np.clip(np.round(mixture), 0, 255).astype(np.uint8), boxes=tuple(sorted(boxes, key=_order)))


def shoot(
    film: Film,
    path: Path,
    *,
    coding: Coding | None = None,
    pts: Sequence[int] | None = None,
    time_base: Fraction | None = None,
) -> Truth:
    """Render a film into a video file.

    Args:
        film: the plan.
        path: the suffix chooses the container.
        coding: codec, pixel format, rotation, audio.
        pts: a timestamp per frame in units of time_base, for a variable rate; None is constant at film.fps.
        time_base: seconds per unit of pts.
    """
    times_s = None
    if pts is not None and time_base is not None:
        times_s = [float((value - pts[0]) * time_base) for value in pts]
    boxes: list[BoxTruth] = []

    def frames() -> Iterator[Frame]:
        for picture in render(film, times_s=times_s):
            boxes.extend(picture.boxes)
            yield picture.rgb

    coding = coding or Coding()
    encoded = encode(frames(), path, fps=film.fps, pts=pts, time_base=time_base, coding=coding)
    plan = timeline(film)
    return Truth(
        video=path.name,
        size_hw=film.size_hw,
        fps=film.fps,
        time_base=encoded.time_base,
        pts=encoded.pts,
        rotation=coding.rotation,
        shots=tuple(_shot_truth(film, plan, index) for index in range(len(film.shots))),
        transitions=plan.changes,
        boxes=tuple(boxes),
    )


def _shot_truth(film: Film, plan: Timeline, index: int) -> ShotTruth:
    shot, rate = film.shots[index], float(film.fps)
    pan = (shot.camera.pan[0] * film.size_hw[0] / rate, shot.camera.pan[1] * film.size_hw[0] / rate)
    camera = CameraTruth(
        motion=shot.camera.motion, pan_px_per_frame=pan, zoom_per_frame=float(shot.camera.zoom ** (1 / rate))
    )
    start, end = plan.starts[index : index + 2]
    return ShotTruth(shot_index=index, start_frame=start, end_frame=end, place=shot.place, camera=camera)


def _order(box: BoxTruth) -> tuple[int, int]:
    return box.identity, box.shot_index


def _dimmed(box: BoxTruth, weight: float) -> BoxTruth:
    return BoxTruth(**{**vars(box), "visible": box.visible * weight}) if weight < 1 else box


def _weights(plan: Timeline, frame: int) -> dict[int, float]:
    """Share of each shot in a frame; what is missing to 1 is black."""
    shot_index, change = plan.shot_of(frame), plan.change_at(frame)
    if change is None:
        return {shot_index: 1.0}
    length = change.last_frame - change.first_frame + 1
    share = (frame - change.first_frame + 1) / (length + 1)
    if change.kind == "fade_in":
        return {shot_index: share}
    if change.kind == "fade_out":
        return {shot_index: 1 - share}
    after = plan.shot_of(change.last_frame)
    if change.kind == "dissolve":
        return {after - 1: 1 - share, after: share}
    return {after - 1: max(0.0, 1 - 2 * share), after: max(0.0, 2 * share - 1)}


class _Stage:
    """One shot ready to be drawn: its painted place, and when its frames are shown."""

    def __init__(self, film: Film, index: int, plan: Timeline, times: Sequence[float]) -> None:
        self._film, self._index = film, index
        self._shot = film.shots[index]
        start, end = plan.starts[index : index + 2]
        self._at_s = [time - times[start] for time in times]
        self._seconds = self._at_s[min(end, plan.num_frames - 1)]
        first, last = start, end - 1
        while first > 0 and index in _weights(plan, first - 1):
            first -= 1
        while last + 1 < plan.num_frames and index in _weights(plan, last + 1):
            last += 1
        self._view = _view(film, self._shot.camera, self._at_s[first], self._at_s[last])
        rng = np.random.default_rng([film.seed, index])
        self._canvas = paint(self._shot.place, self._view, rng)

    def draw(self, frame: int) -> tuple[NDArray[np.float32], list[BoxTruth]]:
        """(H, W, 3) in [0, 255] and the people seen, in one frame of the film."""
        at_s = self._at_s[frame]
        height, width = self._film.size_hw
        zoom, left, top = _window(self._film, self._shot.camera, at_s)
        to_canvas = self._view.px_per_height / (height * zoom)
        matrix = np.array([
            [to_canvas, 0, (left - self._view.left) * self._view.px_per_height + 0.5 * to_canvas - 0.5],
            [0, to_canvas, (top - self._view.top) * self._view.px_per_height + 0.5 * to_canvas - 0.5],
        ])  # fmt: skip
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        picture = cv2.warpAffine(self._canvas, matrix, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE)
        rgb = picture.astype(np.float32)
        people = []
        for walk in sorted(self._shot.walks, key=lambda walk: walk.ground):
            patch = self._figure(walk, at_s, zoom, left, top)
            if patch is not None:
                people.append((walk.identity, patch))
        seen = paste(rgb, [patch for _, patch in people])
        return rgb, self._boxes(frame, seen, [who for who, _ in people])

    def _figure(self, walk: Walk, at_s: float, zoom: float, left: float, top: float) -> Patch | None:
        """The drawn person, or None who is absent or outside the frame."""
        frame_height, frame_width = self._film.size_hw
        end_s = walk.end_s if walk.end_s is not None else self._seconds
        early, late = walk.start_s > 0 and at_s < walk.start_s, walk.end_s is not None and at_s >= end_s
        if early or late:
            return None
        way = walk.end_x - walk.start_x
        x = walk.start_x + way * (at_s - walk.start_s) / max(1e-6, end_s - walk.start_s)
        phase = walk.phase + abs(x - walk.start_x) / (CYCLE_HEIGHTS * walk.height) if way else STANDING_PHASE
        px = zoom * frame_height
        if not -walk.height * px < (x - left) * px < frame_width + walk.height * px:
            return None
        return draw_figure(
            clothes_of(walk.identity),
            x_px=(x - left) * px,
            ground_px=(walk.ground - top) * px,
            height_px=walk.height * px,
            phase=phase % 1,
            facing=1 if way >= 0 else -1,
        )

    def _boxes(self, frame: int, seen: list[Seen | None], identities: list[int]) -> list[BoxTruth]:
        return [
            BoxTruth(
                frame=frame,
                identity=who,
                shot_index=self._index,
                box=look.box,
                visible=round(look.visible, 4),
            )
            for who, look in zip(identities, seen, strict=True)
            if look is not None
        ]


def _window(film: Film, camera: Camera, at_s: float) -> tuple[float, float, float]:
    """Zoom, and the place in the frame's top left corner, at some seconds into a shot."""
    aspect = film.size_hw[1] / film.size_hw[0]
    zoom = float(camera.zoom**at_s)
    left = camera.pan[0] * at_s + aspect / 2 * (1 - 1 / zoom)
    top = camera.pan[1] * at_s + (1 - 1 / zoom) / 2
    return zoom, left, top


def _view(film: Film, camera: Camera, start_s: float, end_s: float) -> View:
    """All that a camera sees from start to end."""
    aspect = film.size_hw[1] / film.size_hw[0]
    windows = [_window(film, camera, at_s) for at_s in (start_s, end_s)]
    margin = 0.02
    return View(
        left=min(left for _, left, _ in windows) - margin,
        top=min(top for _, _, top in windows) - margin,
        right=max(left + aspect / zoom for zoom, left, _ in windows) + margin,
        bottom=max(top + 1 / zoom for zoom, _, top in windows) + margin,
        px_per_height=film.size_hw[0] * max(1.0, math.sqrt(max(zoom for zoom, _, _ in windows))),
    )
