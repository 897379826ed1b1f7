"""Link detections over time into tracks: boxes in, track ids out, one frame after the other.

Every frame is one assignment problem between the tracks alive and the boxes found, solved exactly
(Kuhn, "The Hungarian Method for the Assignment Problem", 1955, through SciPy). As in DeepSORT
(Wojke et al., "Simple Online and Realtime Tracking with a Deep Association Metric", ICIP 2017) the
cost of a pair mixes position with appearance, and gates rule out what cannot be.

Differs from DeepSORT:

- Frames may be far apart (1 Hz). Overlap says less the longer ago a box was seen, so it counts less
  with time; somebody who walked clear of the last box is found by distance and appearance.
- A box is compared with the last one and with where constant velocity puts it. No Kalman filter:
  at 1 Hz there is nothing for one to filter, and at 25 Hz the last box is close enough.
- No confirmation period and no track deletion but by time: every detection gets an id at once.

Equal inputs give equal ids; the order of the boxes within a frame does not matter to what is linked.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from extractors.errors import ConfigError, OrderError, ShapeError
from extractors.ops import boxes as box_ops

NO_TRACK = -1
LAST_BOX_TRUST = 0.8  # below 1 so that of two equal fits the predicted one wins: walkers who cross keep walking


@dataclass(frozen=True, kw_only=True, slots=True)
class LinkConfig:
    """What makes two boxes the same person. Heights are of the taller of the two boxes.

    The cost of a pair is the weighted mean of 1 - IoU, distance (as a share of how far it may be)
    and 1 - cosine of appearance; without appearance, the mean of the first two. The IoU is taken
    smaller the longer ago the track was seen, so a track just seen wins over one long unseen.
    `IOU_ONLY` and `AVA_KEYFRAMES` are the rules of other work.

    Attributes:
        iou_weight: weight of 1 - IoU.
        iou_half_life_s: time after which an overlap counts half.
        distance_weight: weight of the distance between centres.
        appearance_weight: weight of 1 - cosine.
        max_cost: pairs with appearance and a cost above this are not linked.
        max_position_cost: pairs without appearance and a cost above this are not linked. At 0.75 boxes that
            do not overlap must be within a quarter of how far one may have gone.
        max_gap_s: a track not seen for longer than this is over.
        max_speed_heights_per_s: how fast a centre may move, in box heights; a brisk walk is 1.
        slack_heights: how far it may move beyond that: jitter of the boxes.
        max_size_ratio: largest ratio of the square roots of the areas.
        min_iou: boxes that overlap less than this with where a track was, or is expected, are not linked.
        appearance_half_life_s, velocity_half_life_s: what a track remembers fades by half in this time.
        min_score: detections below it get no track.
    """

    iou_weight: float = 1.0
    iou_half_life_s: float = 1.0
    distance_weight: float = 0.5
    appearance_weight: float = 2.0
    max_cost: float = 0.5
    max_position_cost: float = 0.75
    max_gap_s: float = 2.5
    max_speed_heights_per_s: float = 1.5
    slack_heights: float = 0.3
    max_size_ratio: float = 2.0
    min_iou: float = 0.0
    appearance_half_life_s: float = 1.0
    velocity_half_life_s: float = 1.0
    min_score: float = 0.0

    def __post_init__(self) -> None:
        weights = self.iou_weight, self.distance_weight, self.appearance_weight
        for name in ("iou_weight", "distance_weight", "appearance_weight"):
            self._expect(name, 0 <= getattr(self, name) < math.inf, "0 or more, and finite")
        self._expect("appearance_weight", sum(weights) > 0, "above 0 where the other weights are 0")
        self._expect("max_cost", 0 < self.max_cost <= 2, "in (0, 2]")
        for name in ("iou_half_life_s", "max_gap_s", "appearance_half_life_s", "velocity_half_life_s"):
            self._expect(name, getattr(self, name) > 0, "above 0")
        for name in ("max_speed_heights_per_s", "slack_heights"):
            self._expect(name, getattr(self, name) >= 0, "0 or more")
        self._expect("max_size_ratio", self.max_size_ratio >= 1, "1 or more")
        self._expect("max_position_cost", 0 < self.max_position_cost <= 1, "in (0, 1]")
        self._expect("min_iou", 0 <= self.min_iou <= 1, "in [0, 1]")
        self._expect("min_score", not math.isnan(self.min_score), "a number")

    def _expect(self, name: str, holds: bool, rule: str) -> None:
        if not holds:
            raise ConfigError(f"LinkConfig.{name} is {getattr(self, name)!r}; expected {rule}.")


IOU_ONLY = LinkConfig(distance_weight=0.0, appearance_weight=0.0, max_position_cost=1.0, min_iou=0.3)
"""Overlap alone, with the box expected by constant velocity; for boxes at frame rate.

At least 0.3, as in SORT (Bewley et al., "Simple Online and Realtime Tracking", ICIP 2016), which forgets a
track at the first frame without it; this bridges gaps as the default does.
"""

AVA_KEYFRAMES = LinkConfig(
    iou_weight=0.0,
    distance_weight=0.0,
    appearance_weight=1.0,
    max_gap_s=1.5,
    max_speed_heights_per_s=math.inf,
    max_size_ratio=math.inf,
)
"""How tracks are made in AVA (Gu et al., CVPR 2018) and, by its citation, in Object Transformers.

Boxes one second apart; those of neighbouring key frames are assigned by the similarity of a person embedding,
wherever they stand, so whoever is missing in one key frame is a new track in the next. No threshold of that
similarity and no code are published: give an embedding as appearance, and set `max_cost`, the largest
1 - cosine, to suit it.
"""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Found:
    """The boxes of one frame, x scaled so that distances are in heights of the frame."""

    boxes: NDArray[np.float32]  # (N, 4)
    classes: NDArray[np.int64]  # (N,)
    appearance: NDArray[np.float32] | None  # (N, D), rows of length 1

    def take(self, indices: NDArray[np.intp]) -> _Found:
        appearance = None if self.appearance is None else self.appearance[indices]
        return _Found(boxes=self.boxes[indices], classes=self.classes[indices], appearance=appearance)

    def order(self) -> NDArray[np.intp]:
        """Indices in an order that does not depend on the order given, but for perfect twins."""

        def key(i: int) -> tuple[object, ...]:
            looks = b"" if self.appearance is None else self.appearance[i].tobytes()
            return (int(self.classes[i]), *self.boxes[i].tolist(), looks)

        return np.array(sorted(range(len(self.boxes)), key=key), np.intp)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Track:
    """What is remembered of a track: a fixed amount, however long it runs."""

    track_id: int
    class_id: int
    seen_at_s: float
    box: NDArray[np.float32]  # (4,)
    velocity: NDArray[np.float32] | None  # (2,) of the centre, per second; None after one sighting
    appearance: NDArray[np.float32] | None  # (D,) of length 1


class Linker:
    """Gives track ids to the detections of one video. Remembers only the tracks still alive.

    Args:
        config: how to link.
        frame_aspect: displayed width over height, so that a step sideways and one upwards of the same
            length count the same. 1.0 takes normalised coordinates as they are.
    """

    def __init__(self, config: LinkConfig | None = None, *, frame_aspect: float = 1.0) -> None:
        if not (math.isfinite(frame_aspect) and frame_aspect > 0):
            raise ConfigError(f"frame_aspect is {frame_aspect!r}; expected a positive number.")
        self.config = config or LinkConfig()
        self._stretch = np.array([frame_aspect, 1.0, frame_aspect, 1.0], np.float32)
        self._tracks: list[_Track] = []
        self._next_id = 0
        self._at_s = -math.inf
        self._shot_index: int | None = None

    def step(
        self,
        at_s: float,
        shot_index: int,
        boxes: ArrayLike,
        classes: ArrayLike,
        appearance: ArrayLike | None = None,
        *,
        scores: ArrayLike | None = None,
    ) -> NDArray[np.int64]:
        """The track of every detection of the next frame looked at.

        Call it for frames without detections too, or not: a gap is measured in seconds, not in calls.

        Args:
            at_s: time of the frame, later than that of the call before.
            shot_index: shot of the frame; tracks never run from one shot into another.
            boxes: (N, 4) xyxy in [0, 1].
            classes: (N,) integers; tracks never change class.
            appearance: (N, D) vectors whose cosine says how alike two boxes look, or None.
            scores: (N,), compared with `LinkConfig.min_score`; may be None where that is 0: all count.
        Returns:
            (N,) int64: ids 0, 1, 2… in order of first appearance in the video, within one frame in
            the order given; `NO_TRACK` for detections below `min_score`.
        Raises:
            OrderError: `at_s` is not later than before.
            ShapeError: the arrays do not fit together, or hold numbers that are not finite.
            ConfigError: there is a `min_score` and no scores to compare with it, or only appearance has a
                weight and there is none.
        """
        if not at_s > self._at_s:
            raise OrderError(f"Frame at {at_s} s came after the one at {self._at_s} s; expected a later one.")
        found = self._checked(boxes, classes, appearance)
        counted = self._counted(scores, len(found.boxes))
        self._expect_something_to_compare(found, at_s)
        if shot_index != self._shot_index:
            self._tracks = []
        self._at_s, self._shot_index = at_s, shot_index
        self._tracks = [track for track in self._tracks if at_s - track.seen_at_s <= self.config.max_gap_s]
        track_ids = np.full(len(found.boxes), NO_TRACK, np.int64)
        track_ids[counted] = self._link(found.take(counted))
        return track_ids

    def _checked(self, boxes: ArrayLike, classes: ArrayLike, appearance: ArrayLike | None) -> _Found:
        boxes = box_ops.as_boxes(boxes)
        classes = np.asarray(classes).astype(np.int64)
        looks = None if appearance is None else np.asarray(appearance, np.float32)
        fits = classes.shape == boxes.shape[:1] and (looks is None or (looks.ndim == 2 and len(looks) == len(boxes)))
        if not fits:
            raise ShapeError(
                f"Detections do not fit together: boxes {boxes.shape}, classes {classes.shape}, appearance "
                f"{None if looks is None else looks.shape}; expected (N, 4), (N,), (N, D) or None."
            )
        if not (np.isfinite(boxes).all() and (looks is None or np.isfinite(looks).all())):
            raise ShapeError("Boxes or appearance hold numbers that are not finite.")
        dims = {len(track.appearance) for track in self._tracks if track.appearance is not None}
        if looks is not None and len(looks) and dims - {looks.shape[1]}:
            raise ShapeError(f"Appearance has {looks.shape[1]} dimensions; before, it had {dims.pop()}.")
        return _Found(boxes=boxes * self._stretch, classes=classes, appearance=None if looks is None else _unit(looks))

    def _expect_something_to_compare(self, found: _Found, at_s: float) -> None:
        if found.appearance is None and len(found.boxes) and not self.config.iou_weight + self.config.distance_weight:
            raise ConfigError(
                f"LinkConfig weighs appearance alone, but {len(found.boxes)} boxes at {at_s} s came without; "
                "give appearance, or set iou_weight or distance_weight above 0."
            )

    def _counted(self, scores: ArrayLike | None, count: int) -> NDArray[np.intp]:
        """Indices of the detections that may have a track."""
        if scores is None:
            if self.config.min_score > 0:
                raise ConfigError(f"LinkConfig.min_score is {self.config.min_score}, but no scores were given.")
            return np.arange(count)
        scores = np.asarray(scores)
        if scores.shape != (count,):
            raise ShapeError(f"Scores have shape {scores.shape}; expected ({count},), one per box.")
        return np.flatnonzero(scores >= self.config.min_score)

    def _link(self, found: _Found) -> NDArray[np.int64]:
        """Ids of all of `found`, in its order; updates and adds tracks.

        The assignment is made in an order of its own, and new tracks are stored in that order, so
        that ties fall the same way whatever order the boxes came in.
        """
        order = found.order()
        ids = np.full(len(order), NO_TRACK, np.int64)
        for t, i in self._assigned(found.take(order)):
            self._tracks[t] = self._seen_again(self._tracks[t], found, order[i])
            ids[order[i]] = self._tracks[t].track_id
        new = ids == NO_TRACK
        ids[new] = self._next_id + np.arange(new.sum())
        self._next_id += int(new.sum())
        self._tracks += [self._first_seen(int(ids[i]), found, i) for i in order if new[i]]
        return ids

    def _assigned(self, found: _Found) -> list[tuple[int, int]]:
        """Pairs (track, detection) of least total cost; leaving both of a pair alone costs `max_cost`."""
        if not self._tracks or not len(found.boxes):
            return []
        from scipy.optimize import linear_sum_assignment  # 0.3 s to import; most processes never link

        costs = self._costs(found)
        pairs = zip(*linear_sum_assignment(np.minimum(costs, self.config.max_cost)), strict=True)
        return [(int(t), int(i)) for t, i in pairs if costs[t, i] <= self.config.max_cost]

    def _costs(self, found: _Found) -> NDArray[np.float64]:
        """(T, N) cost of every pair; infinite where a gate is closed."""
        config = self.config
        elapsed_s = np.array([self._at_s - track.seen_at_s for track in self._tracks])[:, None]
        overlap, travelled = self._positions(found, elapsed_s)
        reach = config.slack_heights + config.max_speed_heights_per_s * elapsed_s
        believed = overlap * 0.5 ** (elapsed_s / config.iou_half_life_s)
        far = np.minimum(travelled / np.maximum(reach, 1e-9), 1.0)
        position = config.iou_weight * (1 - believed) + config.distance_weight * far
        position_weight = config.iou_weight + config.distance_weight
        unlikeness = _unlikeness(
            [track.appearance for track in self._tracks], found.appearance if config.appearance_weight else None
        )
        both = (position + config.appearance_weight * unlikeness) / (position_weight + config.appearance_weight)
        # Without appearance, in the same scale: what costs max_position_cost there costs max_cost.
        alone = config.max_cost * position / max(config.max_position_cost * position_weight, 1e-9)
        costs = np.where(np.isnan(unlikeness), alone, both)
        return np.where(self._possible(found, reach) & (overlap >= config.min_iou), costs, np.inf)

    def _positions(
        self, found: _Found, elapsed_s: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(T, N) IoU and (T, N) distance in heights, each the better of last and predicted box."""
        last = np.stack([track.box for track in self._tracks])
        still = np.zeros(2, np.float32)
        velocity = np.stack([still if track.velocity is None else track.velocity for track in self._tracks])
        predicted = last + np.tile(velocity * elapsed_s, 2)
        overlap = np.maximum(
            box_ops.iou_matrix(predicted, found.boxes),
            LAST_BOX_TRUST * box_ops.iou_matrix(last, found.boxes),
        )
        travelled = np.minimum(
            _distance_in_heights(predicted, found.boxes),
            _distance_in_heights(last, found.boxes) / LAST_BOX_TRUST,
        )
        return overlap.astype(np.float64), travelled

    def _possible(self, found: _Found, reach: NDArray[np.float64]) -> NDArray[np.bool_]:
        """(T, N) whether a pair passes every gate: class, distance from the last box, size."""
        last = np.stack([track.box for track in self._tracks])
        same_class = np.array([track.class_id for track in self._tracks])[:, None] == found.classes[None]
        sides = [np.sqrt(box_ops.area(boxes).astype(np.float64)) for boxes in (last, found.boxes)]
        larger, smaller = np.maximum.outer(*sides), np.minimum.outer(*sides)
        near = _distance_in_heights(last, found.boxes) <= reach
        return same_class & near & (larger / np.maximum(smaller, 1e-9) <= self.config.max_size_ratio)

    def _first_seen(self, track_id: int, found: _Found, i: int) -> _Track:
        return _Track(
            track_id=track_id,
            class_id=int(found.classes[i]),
            seen_at_s=self._at_s,
            box=found.boxes[i],
            velocity=None,
            appearance=None if found.appearance is None else found.appearance[i],
        )

    def _seen_again(self, track: _Track, found: _Found, i: int) -> _Track:
        elapsed_s = self._at_s - track.seen_at_s
        moved = box_ops.centres(found.boxes[i : i + 1])[0] - box_ops.centres(track.box[None])[0]
        velocity, appearance = moved / np.float32(elapsed_s), track.appearance
        if track.velocity is not None:
            kept = 0.5 ** (elapsed_s / self.config.velocity_half_life_s)
            velocity = (kept * track.velocity + (1 - kept) * velocity).astype(np.float32)
        if found.appearance is not None:
            appearance = found.appearance[i]
            if track.appearance is not None:
                kept = 0.5 ** (elapsed_s / self.config.appearance_half_life_s)
                appearance = _unit(kept * track.appearance + (1 - kept) * appearance)
        return replace(track, seen_at_s=self._at_s, box=found.boxes[i], velocity=velocity, appearance=appearance)


def _distance_in_heights(boxes: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float64]:
    """(T, N) distance between centres over the height of the taller box."""
    apart = box_ops.centres(boxes)[:, None] - box_ops.centres(others)[None]
    heights = np.maximum.outer(boxes[:, 3] - boxes[:, 1], others[:, 3] - others[:, 1])
    return np.hypot(apart[..., 0], apart[..., 1]).astype(np.float64) / np.maximum(heights, 1e-9)


def _unlikeness(before: list[NDArray[np.float32] | None], now: NDArray[np.float32] | None) -> NDArray[np.float64]:
    """(T, N) 1 - cosine, at least 0; NaN for a track without appearance."""
    if now is None:
        return np.full((len(before), 1), np.nan)
    unknown = np.full(now.shape[1], np.nan, np.float32)
    known = np.stack([unknown if vector is None else vector for vector in before])
    return np.maximum(1.0 - known.astype(np.float64) @ now.T.astype(np.float64), 0.0)


def _unit(vectors: NDArray[np.floating]) -> NDArray[np.float32]:
    """Scaled to length 1 over the last axis; zeros stay zeros."""
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return (vectors / np.maximum(length, 1e-12)).astype(np.float32)
