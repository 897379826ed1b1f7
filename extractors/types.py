"""The arrays that extractors hand to each other, checked when they are made."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from extractors.errors import ShapeError


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Detections:
    """N detections in one frame, in the detector's order.

    Attributes:
        boxes: (N, 4) float32 xyxy, in [0, 1] of the displayed frame.
        scores: (N,) float32, larger is surer; what the number means is the detector's to say.
        classes: (N,) int32, 0-based index into `class_names`.
        features: (N, D) float32, or None for a detector that has none.
        class_names: what the classes are called.
    Raises:
        ShapeError: on creation, when shapes, dtypes or class indices do not fit together.
    """

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    classes: NDArray[np.int32]
    class_names: tuple[str, ...]
    features: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        count = self.boxes.shape[0] if self.boxes.ndim else 0
        fits = (
            _is(self.boxes, np.float32, (count, 4))
            and _is(self.scores, np.float32, (count,))
            and _is(self.classes, np.int32, (count,))
            and (self.features is None or _is(self.features, np.float32, (count, None)))
        )
        if not fits:
            raise ShapeError(
                "Detections do not fit together: got "
                f"boxes {_describe(self.boxes)}, scores {_describe(self.scores)}, "
                f"classes {_describe(self.classes)}, features {_describe(self.features)}; expected "
                "boxes (N, 4) float32, scores (N,) float32, classes (N,) int32, features (N, D) float32 or None."
            )
        if count and (self.classes.min() < 0 or self.classes.max() >= len(self.class_names)):
            raise ShapeError(
                f"Detections name classes {self.classes.min()}..{self.classes.max()}; "
                f"expected 0..{len(self.class_names) - 1} for class_names {self.class_names}."
            )

    def __len__(self) -> int:
        return len(self.boxes)

    def __repr__(self) -> str:
        return f"Detections(N={len(self)}, features={_describe(self.features)}, class_names={self.class_names})"

    @classmethod
    def none(cls, *, class_names: tuple[str, ...], feature_dim: int | None = None) -> Detections:
        """No detections, with the dtypes and dimensions that some would have."""
        return cls(
            boxes=np.zeros((0, 4), np.float32),
            scores=np.zeros(0, np.float32),
            classes=np.zeros(0, np.int32),
            features=None if feature_dim is None else np.zeros((0, feature_dim), np.float32),
            class_names=class_names,
        )

    def take(self, which: NDArray[np.bool_] | NDArray[np.integer]) -> Detections:
        """The detections selected by a (N,) mask, or by indices in the order given."""
        which = np.asarray(which)
        if which.size == 0 and which.dtype != np.bool_:
            which = which.astype(np.intp)  # np.asarray([]) is float64, which cannot index
        return Detections(
            boxes=self.boxes[which],
            scores=self.scores[which],
            classes=self.classes[which],
            features=None if self.features is None else self.features[which],
            class_names=self.class_names,
        )


def check_frame(frame: object) -> None:
    """Let only pictures pass that a detector can look at.

    Raises:
        ShapeError: it is not an array (H, W, 3) uint8, or empty.
    """
    if not isinstance(frame, np.ndarray):
        raise ShapeError(f"Frame is a {type(frame).__name__}; expected a NumPy array (H, W, 3) uint8 RGB.")
    if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3 or not frame.size:
        raise ShapeError(f"Frame is {_describe(frame)}; expected (H, W, 3) uint8 RGB.")


def _is(array: NDArray, dtype: type, shape: tuple[int | None, ...]) -> bool:
    """Whether it has the dtype and the shape, in which None is any size."""
    same_rank = array.ndim == len(shape)
    return array.dtype == dtype and same_rank and all(b in (None, a) for a, b in zip(array.shape, shape, strict=True))


def _describe(array: NDArray | None) -> str:
    return "None" if array is None else f"{array.shape} {array.dtype}"
