"""HOTA, CLEAR and identity measures of one sequence of tracked boxes.

HOTA: Luiten et al., "HOTA: A Higher Order Metric for Evaluating Multi-Object Tracking", IJCV 2021. CLEAR: Bernardin and
Stiefelhagen, "Evaluating Multiple Object Tracking Performance", 2008. Identity: Ristani et al., "Performance Measures
and a Data Set for Multi-Target, Multi-Camera Tracking", 2016. Where a paper leaves room, the rules are those of
github.com/JonathonLuiten/TrackEval, commit 12c8791, which tests hold this equal to.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from extractors.errors import ShapeError
from longform.metrics.overlap import iou

ALPHAS = np.arange(0.05, 0.99, 0.05)
"""The 19 thresholds of intersection over union that HOTA is a mean over."""
IOU_THRESHOLD = 0.5
EPSILON = float(np.finfo(float).eps)
MOSTLY_TRACKED, MOSTLY_LOST = 0.8, 0.2
KEPT_MATCH = 1000.0  # above any sum of overlaps in a frame: first of all, who was matched before stays matched


@dataclass(frozen=True, kw_only=True, eq=False)
class TrackedBoxes:
    """Boxes with identities, of one sequence.

    Raises:
        ShapeError: the arrays do not fit together, or an identity has two boxes on one frame.
    """

    frames: NDArray[np.int64]
    """(N,)"""
    ids: NDArray[np.int64]
    """(N,)"""
    boxes: NDArray[np.float64]
    """(N, 4) xyxy in any unit."""

    def __post_init__(self) -> None:
        count = len(self.frames)
        if self.ids.shape != (count,) or self.boxes.shape != (count, 4):
            raise ShapeError(
                f"Tracks do not fit together: frames {self.frames.shape}, ids {self.ids.shape}, boxes "
                f"{self.boxes.shape}; expected (N,), (N,), (N, 4)."
            )
        sightings, times = np.unique(np.stack([self.frames, self.ids], axis=1), axis=0, return_counts=True)
        if (times > 1).any():
            frame, identity = sightings[times.argmax()].tolist()
            raise ShapeError(f"Identity {identity} has {times.max()} boxes on frame {frame}; expected one.")

    def take(self, rows: NDArray[np.bool_]) -> TrackedBoxes:
        """The rows of a mask."""
        return TrackedBoxes(frames=self.frames[rows], ids=self.ids[rows], boxes=self.boxes[rows])


def tracking_metrics(truth: TrackedBoxes, found: TrackedBoxes) -> dict[str, float | int | list[float]]:
    """All measures of a tracker on one sequence; TrackEval's names.

    Returns:
        HOTA and its parts (means over 19 thresholds; `HOTA_by_alpha` has all, `HOTA(0)` the first), `MOTA` and the
        CLEAR family, `IDF1` and the identity family, and counts. Shares are in 0…1. Without annotated boxes there is
        nothing to share: they are 0, and `LocA` is 1.
    """
    sequence = _Sequence.of(truth, found)
    counts = {
        "Dets": len(found.frames),
        "GT_Dets": len(truth.frames),
        "IDs": len(sequence.found_lengths),
        "GT_IDs": len(sequence.truth_lengths),
    }
    return {**_hota(sequence), **_clear(sequence), **_identity(sequence), **counts}


def frame_overlaps(
    truth: TrackedBoxes, found: TrackedBoxes
) -> list[tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64]]]:
    """For every frame with boxes, by time: rows of `truth`, rows of `found`, and their (G, T) overlaps."""
    frames = np.unique(np.concatenate([truth.frames, found.frames]))
    groups = zip(_rows_of(truth.frames, frames), _rows_of(found.frames, frames), strict=True)
    return [(g, t, iou(truth.boxes[g][:, None], found.boxes[t][None])) for g, t in groups]


def matched(scores: NDArray[np.float64]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows and columns of the assignment with the greatest sum."""
    rows, columns = linear_sum_assignment(scores, maximize=True)
    return rows, columns


def _rows_of(values: NDArray[np.int64], wanted: NDArray[np.int64]) -> list[NDArray[np.intp]]:
    order = np.argsort(values, kind="stable")
    return np.split(order, np.searchsorted(values[order], wanted[1:], "left"))


@dataclass(frozen=True, kw_only=True, eq=False)
class _Frame:
    truth: NDArray[np.intp]
    """(G,) identities, numbered from 0."""
    found: NDArray[np.intp]
    """(T,) identities, numbered from 0."""
    overlap: NDArray[np.float64]
    """(G, T)"""


@dataclass(frozen=True, kw_only=True, eq=False)
class _Sequence:
    frames: list[_Frame]
    truth_lengths: NDArray[np.int64]
    """Boxes of every annotated identity."""
    found_lengths: NDArray[np.int64]
    """Boxes of every identity of the tracker."""

    @staticmethod
    def of(truth: TrackedBoxes, found: TrackedBoxes) -> _Sequence:
        _, truth_ids, truth_lengths = np.unique(truth.ids, return_inverse=True, return_counts=True)
        _, found_ids, found_lengths = np.unique(found.ids, return_inverse=True, return_counts=True)
        frames = [
            _Frame(truth=truth_ids.reshape(-1)[g], found=found_ids.reshape(-1)[t], overlap=overlap)
            for g, t, overlap in frame_overlaps(truth, found)
        ]
        return _Sequence(frames=frames, truth_lengths=truth_lengths, found_lengths=found_lengths)

    def pair_sums(self) -> NDArray[np.float64]:
        return np.zeros((len(self.truth_lengths), len(self.found_lengths)))


def _hota(sequence: _Sequence) -> dict[str, float | list[float]]:
    truth, found, overlap = _hota_matches(sequence)
    parts = [_hota_parts(sequence, truth, found, overlap, alpha) for alpha in ALPHAS.tolist()]
    by_alpha = {name: [part[name] for part in parts] for name in parts[0]}
    return {
        **{name: float(np.mean(values)) for name, values in by_alpha.items()},
        "HOTA(0)": by_alpha["HOTA"][0],
        "HOTA_by_alpha": by_alpha["HOTA"],
    }


def _hota_matches(sequence: _Sequence) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64]]:
    """(M,) identities and overlaps of the boxes assigned to each other, of all frames: one assignment for all alphas.

    It maximises overlap weighted by how well the two identities agree over the whole sequence.
    """
    shared = sequence.pair_sums()
    for frame in sequence.frames:
        rivals = frame.overlap.sum(0)[None] + frame.overlap.sum(1)[:, None] - frame.overlap
        part = np.divide(frame.overlap, rivals, out=np.zeros_like(rivals), where=rivals > EPSILON)
        shared[np.ix_(frame.truth, frame.found)] += part
    agreement = shared / (sequence.truth_lengths[:, None] + sequence.found_lengths[None] - shared)
    truth, found, overlap = [np.empty(0, np.intp)], [np.empty(0, np.intp)], [np.empty(0)]
    for frame in sequence.frames:
        rows, columns = matched(agreement[np.ix_(frame.truth, frame.found)] * frame.overlap)
        truth.append(frame.truth[rows])
        found.append(frame.found[columns])
        overlap.append(frame.overlap[rows, columns])
    return np.concatenate(truth), np.concatenate(found), np.concatenate(overlap)


def _hota_parts(
    sequence: _Sequence,
    truth: NDArray[np.intp],
    found: NDArray[np.intp],
    overlap: NDArray[np.float64],
    alpha: float,
) -> dict[str, float]:
    """The measures at one threshold; association is a mean over true positives."""
    hits = overlap >= alpha - EPSILON
    num_hits, num_truth, num_found = int(hits.sum()), sequence.truth_lengths.sum(), sequence.found_lengths.sum()
    pairs, times = np.unique(np.stack([truth[hits], found[hits]]), axis=1, return_counts=True)
    truth_length, found_length = sequence.truth_lengths[pairs[0]], sequence.found_lengths[pairs[1]]
    detection = _share(num_hits, num_truth + num_found - num_hits)
    association = _share((times**2 / (truth_length + found_length - times)).sum(), num_hits)
    return {
        "HOTA": float(np.sqrt(detection * association)),
        "DetA": detection,
        "AssA": association,
        "DetRe": _share(num_hits, num_truth),
        "DetPr": _share(num_hits, num_found),
        "AssRe": _share((times**2 / truth_length).sum(), num_hits),
        "AssPr": _share((times**2 / found_length).sum(), num_hits),
        "LocA": _share(overlap[hits].sum(), num_hits) if num_hits else 1.0,
    }


@dataclass(kw_only=True, eq=False)
class _ClearState:
    """What CLEAR carries from frame to frame, for each annotated identity; -1 is no identity of the tracker."""

    last_partner: NDArray[np.intp]
    """Who it was matched with last, however long ago."""
    partner: NDArray[np.intp]
    """Who it was matched with on the frame before."""
    times_matched: NDArray[np.int64]
    times_begun: NDArray[np.int64]
    """How often it was matched and had not been on the frame before."""
    hits: int = 0
    switches: int = 0
    overlap: float = 0.0

    def step(self, frame: _Frame) -> None:
        kept = frame.found[None] == self.partner[frame.truth][:, None]
        scores = np.where(frame.overlap >= IOU_THRESHOLD - EPSILON, KEPT_MATCH * kept + frame.overlap, 0.0)
        rows, columns = matched(scores)
        real = scores[rows, columns] > EPSILON
        rows, columns = rows[real], columns[real]
        truth, found = frame.truth[rows], frame.found[columns]
        self.switches += int(((self.last_partner[truth] >= 0) & (self.last_partner[truth] != found)).sum())
        self.times_matched[truth] += 1
        self.times_begun[truth] += self.partner[truth] < 0
        self.last_partner[truth] = found
        self.partner[:] = -1
        self.partner[truth] = found
        self.hits += len(rows)
        self.overlap += float(frame.overlap[rows, columns].sum())


def _clear(sequence: _Sequence) -> dict[str, float | int]:
    lengths = sequence.truth_lengths
    state = _ClearState(
        last_partner=np.full(len(lengths), -1),
        partner=np.full(len(lengths), -1),
        times_matched=np.zeros(len(lengths), np.int64),
        times_begun=np.zeros(len(lengths), np.int64),
    )
    for frame in sequence.frames:
        if frame.overlap.size:  # as in TrackEval: a frame without boxes on one side interrupts nobody
            state.step(frame)
    num_truth, num_found = int(lengths.sum()), int(sequence.found_lengths.sum())
    false_alarms, tracked = num_found - state.hits, state.times_matched / lengths
    most, some = int((tracked > MOSTLY_TRACKED).sum()), int((tracked >= MOSTLY_LOST).sum())
    return {
        "MOTA": _share(state.hits - false_alarms - state.switches, num_truth),
        "MOTP": _share(state.overlap, state.hits),
        "MODA": _share(state.hits - false_alarms, num_truth),
        "sMOTA": _share(state.overlap - false_alarms - state.switches, num_truth),
        "CLR_Re": _share(state.hits, num_truth),
        "CLR_Pr": _share(state.hits, num_found),
        "CLR_TP": state.hits,
        "CLR_FN": num_truth - state.hits,
        "CLR_FP": false_alarms,
        "IDSW": state.switches,
        "MT": most,
        "PT": some - most,
        "ML": len(lengths) - some,
        "Frag": int(np.maximum(state.times_begun - 1, 0).sum()),
    }


def _identity(sequence: _Sequence) -> dict[str, float | int]:
    """One partner for each identity over the whole sequence, so that most boxes agree."""
    together = sequence.pair_sums()
    for frame in sequence.frames:
        together[np.ix_(frame.truth, frame.found)] += frame.overlap >= IOU_THRESHOLD
    hits = int(together[matched(together)].sum())
    num_truth, num_found = int(sequence.truth_lengths.sum()), int(sequence.found_lengths.sum())
    return {
        "IDF1": _share(2 * hits, num_truth + num_found),
        "IDR": _share(hits, num_truth),
        "IDP": _share(hits, num_found),
        "IDTP": hits,
        "IDFN": num_truth - hits,
        "IDFP": num_found - hits,
    }


def _share(part: float, whole: float) -> float:
    return float(part / whole) if whole else 0.0
