"""The window of a bank that goes with a clip, as Long-Term Feature Banks cuts it (Wu et al., CVPR 2019; lib/datasets).

AVA reads the seconds s - 30 to s + 29, five people of each at random, each second at its place. The others read what is
within half a window of the clip's centre, packed to the front: slots are not aligned to time. Empty slots are zeros.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from longform.lfb.recipes import WINDOWS_S
from longform.lfb.video_names import found_names
from pipeline.bank.reader import FeatureBank
from pipeline.bank.windows import Choice, PaddedWindows, Window, WindowGrid, pad_windows
from pipeline.errors import InputError


@dataclass(frozen=True, kw_only=True)
class WindowKind:
    """How the windows of a data set are made."""

    fps: int
    """Rate at which centres of clips are counted."""
    moments_per_s: int
    """Of the bank."""
    items: int = 1
    """Features of a moment that a window has room for."""
    choice: Choice = "first"
    """Of them, where there are more; `first` where the bank knows no scores."""
    min_score: float | None = None
    """Where the bank knows scores."""
    aligned: bool = False
    """Whether each moment has its slots, empty or not."""


WINDOW_KINDS: Mapping[str, WindowKind] = {
    "ava": WindowKind(fps=30, moments_per_s=1, items=5, choice="random", min_score=0.9, aligned=True),
    "epic-verb": WindowKind(fps=30, moments_per_s=1),
    "epic-noun": WindowKind(fps=30, moments_per_s=1, items=10, choice="top_score"),
    "charades": WindowKind(fps=24, moments_per_s=2),
}


@dataclass(frozen=True, kw_only=True, eq=False)
class BankWindow:
    """One window, in L slots; where `mask` is false, ids are -1 and all else is 0."""

    features: NDArray[np.float32]
    """(L, D)."""
    mask: NDArray[np.bool_]
    times_s: NDArray[np.float64]
    """(L,), in the time of the bank."""
    at_s: float
    """The clip's centre, in the same time."""
    video_id: str
    """In the bank."""
    boxes: NDArray[np.float32]
    """(L, 4)."""
    detection_ids: NDArray[np.int64]
    track_ids: NDArray[np.int64]


class BankWindows:
    """The windows of one task over one space. Opens the bank anew in each process, so that loaders can fork."""

    def __init__(
        self,
        bank: str,
        space: str,
        task: str,
        *,
        window_s: int | None = None,
        causal: bool = False,
        offset_s: float = 0.0,
    ) -> None:
        """
        Args:
            window_s: length; None for the published one.
            causal: the whole window lies before the clip's centre.
            offset_s: time of frame 0 in the bank: 900 for whole films of AVA.
        Raises:
            InputError: the bank has no such space.
        """
        self.bank, self.space, self.kind = bank, space, WINDOW_KINDS[task]
        self.window_s = WINDOWS_S[task] if window_s is None else window_s
        self.causal, self.offset_s = causal, offset_s
        self._opened: tuple[int, FeatureBank] | None = None
        self._names: dict[str, str] = {}
        spaces = self._here().spaces
        if space not in spaces:
            raise InputError(
                f"Bank {bank!r} has no space {space!r}: name one of {', '.join(sorted(spaces))} with --space, or "
                "extract with the preset of the data set."
            )
        self.dim = spaces[space].dim

    @property
    def slots(self) -> int:
        """L of a window."""
        return self.window_s * self.kind.moments_per_s * self.kind.items

    def require(self, videos: Sequence[str], *, span_s: tuple[float, float] | None = None) -> None:
        """Make sure that all videos of a list are in the bank.

        Args:
            span_s: seconds, counted from frame 0, in which the list has moments: of the first videos, some must have
                features there.
        Raises:
            InputError: some are not; the message names them. Or there is nothing in the span.
        """
        rows = self._here().videos().select(["video_id", "status"]).to_pydict()
        held = [name for name, status in zip(rows["video_id"], rows["status"], strict=True) if status == "ok"]
        self._names = found_names(videos, held, f"bank {self.bank!r}")
        missing = [video for video in videos if video not in self._names]
        if missing:
            raise InputError(
                f"{len(missing)} of {len(videos)} videos are not in bank {self.bank!r}: {', '.join(missing[:5])}"
                f"{', ...' if len(missing) > 5 else ''}. It has {len(held)} videos, such as "
                f"{', '.join(held[:3]) or 'none'}. Extract or import them; is it the bank of another data set?"
            )
        if span_s is not None:
            self._require_times(videos[:5], span_s)

    def _require_times(self, videos: Sequence[str], span_s: tuple[float, float]) -> None:
        first, last = span_s[0] + self.offset_s, span_s[1] + self.offset_s
        seen = []
        for video in videos:
            times_s = self._here().features(self.space, self._names[video], ["at_s"])["at_s"].to_numpy()
            if ((times_s >= first) & (times_s <= last)).any():
                return
            seen += [times_s.min(), times_s.max()] if len(times_s) else []
        where = f"from {min(seen):.0f} to {max(seen):.0f} s" if seen else "nowhere"
        raise InputError(
            f"Bank {self.bank!r} has features {where}, and the list has moments from {first:.0f} to {last:.0f} s "
            f"({', '.join(videos)}). Is --start-second right?"
        )

    def read(self, video: str, centre_frame: int, rng: np.random.Generator) -> BankWindow:
        """The window of a clip.

        Args:
            video: one of those that were required.
            centre_frame: of the clip, at the rate of the data set.
            rng: draws among the features of a moment.
        """
        at_s = centre_frame / self.kind.fps + self.offset_s
        half_frame_s = 0.5 / self.kind.fps  # so that rounding of times moves nothing over the edge
        before_s, after_s = (self.window_s, 0) if self.causal else (self.window_s / 2, self.window_s / 2)
        video_id = self._names[video]
        window = self._here().window(self.space, video_id, at_s - half_frame_s, before_s, after_s)
        arrays = self._padded(window, rng)
        flat = {name: values.reshape(-1, *values.shape[3:]) for name, values in vars(arrays).items()}
        kept = ("features", "mask", "times_s", "boxes", "detection_ids", "track_ids")
        return BankWindow(at_s=at_s, video_id=video_id, **{name: flat[name] for name in kept})

    def _padded(self, window: Window, rng: np.random.Generator) -> PaddedWindows:
        kind = self.kind
        if kind.items == 1:
            return pad_windows([window], WindowGrid(steps=1, items_per_step=self.slots))
        scored = window.scores is not None or not len(window.times_s)
        grid = WindowGrid(
            steps=self.window_s * kind.moments_per_s,
            items_per_step=kind.items,
            choice="first" if kind.choice == "top_score" and not scored else kind.choice,
            min_score=kind.min_score if scored else None,
        )
        arrays = pad_windows([window], grid, rng)
        return arrays if kind.aligned else arrays.packed(self.slots)

    def _here(self) -> FeatureBank:
        if self._opened is None or self._opened[0] != os.getpid():
            self._opened = (os.getpid(), FeatureBank.open(self.bank))
        return self._opened[1]

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_opened": None}
