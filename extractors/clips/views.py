"""Which frames of a video a network looks at in testing, and how the answers of its views become one.

A *view* is one crop of one clip. The samplings are those of the originals' tests; none of them looks at time stamps:
they count displayed frames, and know a video by its number of frames and its mean rate.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from extractors.backbones.base import Backbone
from extractors.clips.input import ClipInput
from extractors.errors import ConfigError
from extractors.runtime import Runtime

Indices = NDArray[np.int64]


def uniform_clips(num_frames: int, fps: float, spec: ClipInput, n: int) -> Indices:
    """Frames of the clips by which the network's original would test it on a video.

    Args:
        num_frames: displayed frames of the video, at least 1.
        fps: their mean rate.
        spec: `sampling`, `num_frames`, `stride` and `fps` say what is sampled.
        n: number of clips; `segments` and `all` have one, whatever `n` is.
    Returns:
        (clips, T) int64 in [0, num_frames).
    Raises:
        ConfigError: the sampling is not known, or a number is not positive.
    """
    if spec.sampling not in SAMPLINGS:
        raise ConfigError(f"No sampling is called {spec.sampling!r}. Choose one of: {', '.join(SAMPLINGS)}.")
    if num_frames < 1 or n < 1 or not fps > 0:
        raise ConfigError(f"Cannot take {n} clips of {num_frames} frames at {fps} fps; each must be positive.")
    return SAMPLINGS[spec.sampling](num_frames, fps, spec, n)


def _pyslowfast(num_frames: int, fps: float, spec: ClipInput, n: int) -> Indices:
    """Clip i of n starts at i/n of what the video is longer than a clip; the step inside is (span - 1)/(T - 1).

    In single precision and with torch's `linspace`, as there, so that no index differs by rounding.
    """
    span = spec.stride * spec.num_frames / spec.fps * fps
    spare = max(num_frames - span, 0)
    rows = []
    for i in range(n):
        start = spare * i / n
        places = torch.linspace(start, start + span - 1, spec.num_frames)
        rows.append(places.clamp(0, num_frames - 1).long().numpy())
    return np.stack(rows)


def _nonlocal(num_frames: int, fps: float, spec: ClipInput, n: int) -> Indices:
    """Clip i of n starts at i/n of the video and counts frames, whatever their rate; past the end it goes on at 0."""
    starts = np.floor(num_frames / n * np.arange(n)).astype(np.int64)
    return (starts[:, None] + spec.stride * np.arange(spec.num_frames)) % num_frames


def _charades(num_frames: int, fps: float, spec: ClipInput, n: int) -> Indices:
    """Evenly from the first clip to the last that fits; counts frames, whatever their rate."""
    span = (spec.num_frames - 1) * spec.stride + 1
    starts = np.rint(np.linspace(0, max(num_frames - span, 0), n)).astype(np.int64)
    return np.minimum(starts[:, None] + spec.stride * np.arange(spec.num_frames), num_frames - 1)


def _even(num_frames: int, fps: float, spec: ClipInput, n: int) -> Indices:
    """Evenly from the first clip to the last that fits, each resampled to `spec.fps`."""
    step = spec.stride * fps / spec.fps
    starts = np.linspace(0, max(num_frames - step * spec.num_frames, 0), n)
    return _floored(starts[:, None] + step * np.arange(spec.num_frames), num_frames)


def _segments(num_frames: int, fps: float, spec: ClipInput, n: int) -> Indices:
    """One clip: the middles of T equal parts of the video (Something-Something)."""
    edges = np.rint((num_frames - 1) / spec.num_frames * np.arange(spec.num_frames + 1)).astype(np.int64)
    return (edges[:-1] + edges[1:])[None] // 2


def _all(num_frames: int, fps: float, spec: ClipInput, n: int) -> Indices:
    """One clip: the whole video at `spec.fps` (I3D and S3D)."""
    step = spec.stride * fps / spec.fps
    return _floored(step * np.arange(max(1, round(num_frames / step)))[None], num_frames)


def _floored(places: NDArray[np.floating], num_frames: int) -> Indices:
    return np.minimum(np.floor(places + 1e-6), num_frames - 1).astype(np.int64)


SAMPLINGS: dict[str, Callable[[int, float, ClipInput, int], Indices]] = {
    "pyslowfast": _pyslowfast,  # PySlowFast and PyTorchVideo on Kinetics
    "nonlocal": _nonlocal,  # video-nonlocal-net on Kinetics
    "charades": _charades,  # PySlowFast on Charades
    "segments": _segments,  # PySlowFast on Something-Something v2
    "even": _even,  # torchvision's uniform clip sampler
    "all": _all,  # the Inception family, on the clips of 10 s that Kinetics has
}
"""(clips, T) frame indices from the number of frames, their rate, the input and the number of clips."""


def recognise(model: Backbone, clips: Iterable[Tensor], runtime: Runtime, *, batch: int = 4) -> Tensor:
    """Probabilities of all views, in order.

    Args:
        model: prepared by `runtime`.
        clips: (crops, 3, T, h, w) each, all of one shape; they are drawn as the network gets to them.
        batch: views that go through the network together.
    Returns:
        (views, K) float32 on the CPU: the crops of the first clip, of the second, and so on.
    """
    views = (view for clip in clips for view in clip.split(1))
    scores = []
    with torch.inference_mode():
        while group := list(islice(views, batch)):
            scores.append(model.run(runtime.to(torch.cat(group))).probabilities.float().cpu())
    return torch.cat(scores)


def combine(probabilities: Tensor, how: str = "mean") -> Tensor:
    """One answer (…, K) of several views (…, V, K).

    Args:
        how: `mean` (Kinetics) or `max` (Charades).
    Raises:
        ConfigError: another word.
    """
    if how == "mean":
        return probabilities.mean(-2)
    if how == "max":
        return probabilities.amax(-2)
    raise ConfigError(f"Views cannot be combined by {how!r}; expected mean or max.")
