"""What the shot detectors can be told: one frozen dataclass for each PySceneDetect detector.

The fields are PySceneDetect 0.7's parameters with its defaults, under names that carry their unit.
Differs from PySceneDetect: minimum lengths are always seconds (`min_shot_s`; there a length can be
frames, seconds or a string, by Python type), so a setting means the same time in every video. Its
defaults of 15 frames are the 0.6 s of its command line here. Nothing in this file imports PySceneDetect.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from extractors.errors import ConfigError

Weights = tuple[float, float, float, float]
"""Weights of the (hue, saturation, luma, edges) differences in a content score."""

HSV_WEIGHTS: Weights = (1.0, 1.0, 1.0, 0.0)
"""PySceneDetect's default: colour and brightness count alike, edges are not computed."""

LUMA_ONLY: Weights = (0.0, 0.0, 1.0, 0.0)
"""Brightness only, PySceneDetect's `luma_only`."""

EDGES_ONLY: Weights = (0.0, 0.0, 0.0, 1.0)
"""Edges only. Needs a higher threshold and costs several times the time of the others."""


def _check_positive(name: str, value: float) -> None:
    if not value > 0:
        raise ConfigError(f"{name}: got {value}, expected a number above 0.")


def _check_not_negative(name: str, value: float) -> None:
    if not value >= 0:
        raise ConfigError(f"{name}: got {value}, expected a number of at least 0.")


def _check_one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ConfigError(f"{name}: got {value!r}, expected one of {', '.join(allowed)}.")


def _check_content_score(weights: Weights, kernel_size: int | None) -> None:
    if len(weights) != 4 or not any(weights):
        raise ConfigError(f"weights: got {weights}, expected four numbers, not all 0.")
    if kernel_size is not None and (kernel_size < 3 or kernel_size % 2 == 0):
        raise ConfigError(f"kernel_size: got {kernel_size}, expected None or an odd number >= 3.")


@dataclass(frozen=True, kw_only=True)
class ContentConfig:
    """Cut where the mean HSV difference of two neighbouring frames reaches a fixed threshold.

    Attributes:
        threshold: of the content score, 0 to 255.
        min_shot_s: cuts nearer than this are merged or suppressed, see `filter_mode`.
        weights: (hue, saturation, luma, edges) of the content score.
        kernel_size: side in px of the kernel that widens edges, odd and >= 3; None: from the picture size.
        filter_mode: "merge" joins quick cuts (a strobe) to one cut at their end; "suppress" drops all
            but the first.
    """

    kind: Literal["content"] = field(default="content", init=False)
    threshold: float = 27.0
    min_shot_s: float = 0.6
    weights: Weights = HSV_WEIGHTS
    kernel_size: int | None = None
    filter_mode: Literal["merge", "suppress"] = "merge"

    def __post_init__(self) -> None:
        _check_positive("threshold", self.threshold)
        _check_not_negative("min_shot_s", self.min_shot_s)
        _check_content_score(self.weights, self.kernel_size)
        _check_one_of("filter_mode", self.filter_mode, ("merge", "suppress"))


@dataclass(frozen=True, kw_only=True)
class AdaptiveConfig:
    """Cut where the content score stands out from its neighbours, so that a fast pan is no cut.

    Attributes:
        adaptive_threshold: least ratio of a frame's content score to the mean of its neighbours'.
        min_shot_s: least time from the previous cut, or from the first frame.
        window_width: neighbouring frames on each side, >= 1.
        min_content_val: least content score of a cut, 0 to 255.
        weights: (hue, saturation, luma, edges) of the content score.
        kernel_size: as in `ContentConfig`.
    """

    kind: Literal["adaptive"] = field(default="adaptive", init=False)
    adaptive_threshold: float = 3.0
    min_shot_s: float = 0.6
    window_width: int = 2
    min_content_val: float = 15.0
    weights: Weights = HSV_WEIGHTS
    kernel_size: int | None = None

    def __post_init__(self) -> None:
        _check_positive("adaptive_threshold", self.adaptive_threshold)
        _check_not_negative("min_shot_s", self.min_shot_s)
        _check_positive("window_width", self.window_width)
        _check_positive("min_content_val", self.min_content_val)
        _check_content_score(self.weights, self.kernel_size)


@dataclass(frozen=True, kw_only=True)
class ThresholdConfig:
    """Cut where the picture comes back from black (or white): fades, and cuts through black.

    Attributes:
        threshold: mean of all B, G and R values at which the picture counts as faded out, 0 to 255
            (whole numbers: PySceneDetect truncates).
        min_shot_s: least time from the previous such cut, or from the first frame.
        fade_bias: where in the dark part the cut lies: -1 at the fade-out, 0 in the middle, +1 at the
            first frame that is visible again.
        add_final_scene: also cut where a last fade-out begins that never comes back.
        method: "floor" for fades to black, "ceiling" for fades to white.
        min_out_s: shorter dark parts are ignored.
    """

    kind: Literal["threshold"] = field(default="threshold", init=False)
    threshold: int = 12
    min_shot_s: float = 0.6
    fade_bias: float = 0.0
    add_final_scene: bool = False
    method: Literal["floor", "ceiling"] = "floor"
    min_out_s: float = 0.0

    def __post_init__(self) -> None:
        _check_positive("threshold", self.threshold)
        if self.threshold != int(self.threshold):
            raise ConfigError(f"threshold of ThresholdConfig: got {self.threshold}, expected a whole number.")
        _check_not_negative("min_shot_s", self.min_shot_s)
        _check_not_negative("min_out_s", self.min_out_s)
        if not -1.0 <= self.fade_bias <= 1.0:
            raise ConfigError(f"fade_bias: got {self.fade_bias}, expected a number in [-1, 1].")
        _check_one_of("method", self.method, ("floor", "ceiling"))


@dataclass(frozen=True, kw_only=True)
class HistogramConfig:
    """Cut where the luma histograms of two neighbouring frames correlate little.

    Attributes:
        threshold: 1 - correlation at which a cut is made, in (0, 1].
        bins: of the luma histogram, 1 to 256.
        min_shot_s: least time from the previous cut, or from the first frame.
    """

    kind: Literal["histogram"] = field(default="histogram", init=False)
    threshold: float = 0.20
    bins: int = 128
    min_shot_s: float = 0.6

    def __post_init__(self) -> None:
        if not 0.0 < self.threshold <= 1.0:
            raise ConfigError(f"threshold of HistogramConfig: got {self.threshold}, expected (0, 1].")
        if not 1 <= self.bins <= 256:
            raise ConfigError(f"bins: got {self.bins}, expected 1 to 256.")
        _check_not_negative("min_shot_s", self.min_shot_s)


@dataclass(frozen=True, kw_only=True)
class HashConfig:
    """Cut where the perceptual (DCT) hashes of two neighbouring frames differ in many bits.

    Attributes:
        threshold: share of differing bits at which a cut is made, in (0, 1].
        size: side of the hash in bits, >= 2.
        lowpass: the hash is taken from a picture `size * lowpass` px square (an even number of px).
        min_shot_s: least time from the previous cut, or from the first frame.
    """

    kind: Literal["hash"] = field(default="hash", init=False)
    threshold: float = 0.35
    size: int = 8
    lowpass: int = 2
    min_shot_s: float = 0.6

    def __post_init__(self) -> None:
        if not 0.0 < self.threshold <= 1.0:
            raise ConfigError(f"threshold of HashConfig: got {self.threshold}, expected (0, 1].")
        if self.size < 2 or self.lowpass < 1 or self.size * self.lowpass % 2:
            raise ConfigError(
                f"size, lowpass: got {self.size}, {self.lowpass}, expected size >= 2, lowpass >= 1 and an "
                "even product (OpenCV's DCT takes even sizes only)."
            )
        _check_not_negative("min_shot_s", self.min_shot_s)


DetectorConfig = ContentConfig | AdaptiveConfig | ThresholdConfig | HistogramConfig | HashConfig


_SOFT_EDGES: Weights = (1.0, 1.0, 1.0, 0.5)


@dataclass(frozen=True, kw_only=True)
class ShotConfig:
    """Which detectors decide where shots begin; their cuts are united, as `SceneManager` does.

    The default, chosen with `benchmarks/shots.py`: PySceneDetect's adaptive detector at its own settings,
    with edges at half weight (a jump of exposure changes all colours but few edges), and two more of it,
    since a faint change is a cut where the picture is almost still (slides), and a strong one even where
    much moves (a fast pan); the three share one score. Fades through black are the threshold detector's:
    a shot begins at the first frame that is visible again.

    Attributes:
        detectors: at least one; a kind may come several times with different parameters.
        width_px: pictures are scored at this width; narrower ones at their own.
        min_gap_s: a cut nearer than this to the one before it, of whichever detector, is dropped: several
            detectors may answer to one fade. 0 keeps all, as `SceneManager` does.
    """

    detectors: tuple[DetectorConfig, ...] = (
        AdaptiveConfig(weights=_SOFT_EDGES),
        AdaptiveConfig(weights=_SOFT_EDGES, adaptive_threshold=20.0, min_content_val=6.0),
        AdaptiveConfig(weights=_SOFT_EDGES, adaptive_threshold=2.0, min_content_val=40.0),
        ThresholdConfig(fade_bias=1.0),
    )
    width_px: int = 128
    min_gap_s: float = 0.6

    def __post_init__(self) -> None:
        if not self.detectors:
            raise ConfigError("ShotConfig needs at least one detector: got an empty tuple.")
        for detector in self.detectors:
            if not isinstance(detector, DetectorConfig):
                raise ConfigError(f"detectors: got {detector!r}, expected {DetectorConfig}.")
        _check_positive("width_px", self.width_px)
        _check_not_negative("min_gap_s", self.min_gap_s)
