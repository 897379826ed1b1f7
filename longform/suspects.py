"""The usual suspects: what other tools do differently between a video file and a clip feature.

A `Recipe` is everything that makes a feature of a moment of a video; a suspect is a change of one step of it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
import torch

from extractors.backbones.base import Backbone
from extractors.clips.input import ClipInput
from extractors.clips.preprocess import FULL, to_clip
from extractors.runtime import Runtime
from longform.chosen_frames import chosen_frames
from pipeline.features.networks import centred_offsets
from pipeline.video.geometry import Geometry, PictureSpec
from pipeline.video.probe import MeasuredFacts, probe


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a clip feature is made of a video."""

    spec: ClipInput
    scaler: str = "original"
    """As in `pipeline.features.networks.NetworkClipConfig`."""
    crops: int | str = 1
    shift: int = 0
    """Frames by which every frame of a clip is later."""
    starts: bool = False
    """The clip begins at its moment, instead of being centred on it."""
    even: bool = False
    """Frames are spread evenly over the span, first and last included (PySlowFast's test: a step of 63/31)."""
    own_rate: bool = False
    """The stride counts the file's own frames, whatever their rate."""
    square_pixels: bool = True
    """A picture of pixels that are not square is widened or narrowed to the one that a player shows."""
    upright: bool = True
    """A picture that the file says to turn is turned."""

    def frames(self, moment: Fraction, pts: Sequence[int], measured: MeasuredFacts) -> list[int]:
        """Indices of a clip's frames among all displayed frames, whose timestamps are `pts`."""
        spec = replace(self.spec, fps=measured.fps) if self.own_rate else self.spec
        offsets = centred_offsets(spec)
        if self.even and len(offsets) > 1:
            step = offsets[1] - offsets[0]
            span = len(offsets) * step - Fraction(measured.fps).limit_denominator(1001) ** -1
            offsets = [offsets[0] + j * span / (len(offsets) - 1) for j in range(len(offsets))]
        first = offsets[0] if self.starts else 0
        slack = Fraction(measured.end_pts - measured.clock.start_pts, 4 * measured.num_frames)
        ticks = [pts[0] + (moment + o - first) / measured.clock.time_base + slack for o in offsets]
        shown = [bisect_right(pts, tick) - 1 + self.shift for tick in ticks]
        return [min(max(index, 0), len(pts) - 1) for index in shown]

    @property
    def picture(self) -> PictureSpec:
        """What is asked of the decoder."""
        return PictureSpec(short_side_px=self.spec.short_side_px if self.scaler == "decoder" else None)

    def geometry(self, shown: Geometry) -> Geometry:
        """How the pictures of a file are taken that a player shows as `shown`."""
        return replace(
            shown,
            pixel_aspect=shown.pixel_aspect if self.square_pixels else Fraction(1),
            rotation_deg=shown.rotation_deg if self.upright else 0,
        )

    def clip(self, pictures: Sequence[np.ndarray]) -> torch.Tensor:
        """(1, 3, T, H, W) of the clip's pictures."""
        return to_clip(pictures, self.spec, crops=self.crops)


def _with(**changes: object) -> Callable[[Recipe], Recipe]:
    return lambda recipe: replace(recipe, **changes)  # type: ignore[arg-type]


def _spec(**changes: object) -> Callable[[Recipe], Recipe]:
    return lambda recipe: replace(recipe, spec=replace(recipe.spec, **changes))  # type: ignore[arg-type]


def _swap_colours(recipe: Recipe) -> Recipe:
    return _spec(channels="bgr" if recipe.spec.channels == "rgb" else "rgb")(recipe)


def _crop_of(side: int) -> Callable[[Recipe], Recipe]:
    return _spec(crop_px=side)


def _scale_to_crop(recipe: Recipe) -> Recipe:
    return _spec(short_side_px=recipe.spec.crop_px)(recipe)


SUSPECTS: Mapping[str, Callable[[Recipe], Recipe]] = {
    "red and blue are swapped (BGR)": _swap_colours,
    "values in [0, 1], no mean and deviation": _spec(mean=(0.0,) * 3, std=(1.0,) * 3),
    "values in [-1, 1]": _spec(mean=(0.5,) * 3, std=(0.5,) * 3),
    "values in [0, 255]": _spec(mean=(0.0,) * 3, std=(1 / 255,) * 3),
    "mean 0.45, deviation 0.225": _spec(mean=(0.45,) * 3, std=(0.225,) * 3),
    "ImageNet's mean and deviation": _spec(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)),
    "scaled in float": _spec(resize="float"),
    "scaled in bytes, before normalising": _spec(resize="bytes"),
    "smoothed while it is scaled (PIL, torchvision)": _spec(resize="smooth"),
    "scaled by the decoder": _with(scaler="decoder"),
    "scaled to a square": _spec(square=True),
    "shorter side scaled to the size of the crop": _scale_to_crop,
    "crop of 224 px": _crop_of(224),
    "crop of 256 px": _crop_of(256),
    "whole picture, no crop": _with(crops=FULL),
    "pixel aspect ratio ignored": _with(square_pixels=False),
    "rotation ignored": _with(upright=False),
    "one frame early": _with(shift=-1),
    "one frame late": _with(shift=1),
    "clips begin at their time instead of being centred": _with(starts=True),
    "frames spread over the whole clip (PySlowFast's test)": _with(even=True),
    "stride counted in the file's own frames": _with(own_rate=True),
}


def recipes(base: Recipe, shown: Geometry) -> dict[str, Recipe]:
    """Each suspect that would change `base` on pictures that a player shows as `shown`."""

    def steps(recipe: Recipe) -> tuple[Recipe, Geometry]:
        return replace(recipe, square_pixels=True, upright=True), recipe.geometry(shown)

    changed = {name: change(base) for name, change in SUSPECTS.items()}
    fits = {name: recipe for name, recipe in changed.items() if recipe.spec.crop_px <= recipe.spec.short_side_px}
    return {name: recipe for name, recipe in fits.items() if steps(recipe) != steps(base)}


Wanted = tuple[Geometry, int, PictureSpec]
"""A picture: how the file's are taken, the index of its frame, and its size."""


class Moments:
    """Some moments of a video, whose features can be computed again by any recipe."""

    def __init__(self, uri: str, moments: Sequence[Fraction], network: Backbone, runtime: Runtime) -> None:
        """`network` is prepared by `runtime`; `moments` rise, in seconds."""
        self._moments, self._network, self._runtime = moments, network, runtime
        self._facts, self._index = probe(uri)
        self._pts = [int(pts) for pts in self._index.pts]

    @property
    def geometry(self) -> Geometry:
        """How a player shows the video."""
        return self._facts.measured.geometry

    def features(self, ways: Mapping[str, Recipe]) -> dict[str, np.ndarray]:
        """(moments, D) float32 by each recipe; the frames of one moment are held at once."""
        rows: dict[str, list[np.ndarray]] = {name: [] for name in ways}
        for moment in self._moments:
            plan = {name: way.frames(moment, self._pts, self._facts.measured) for name, way in ways.items()}
            takes = {name: (way.geometry(self.geometry), way.picture) for name, way in ways.items()}
            pictures = self._pictures({(takes[name][0], i, takes[name][1]) for name in ways for i in plan[name]})
            for name, recipe in ways.items():
                geometry, spec = takes[name]
                clip = recipe.clip([pictures[geometry, index, spec] for index in plan[name]])
                with torch.inference_mode():
                    rows[name].append(self._network.embed(self._runtime.to(clip)).float().cpu().numpy()[0])
        return {name: np.stack(found) for name, found in rows.items()}

    def _pictures(self, wanted: set[Wanted]) -> dict[Wanted, np.ndarray]:
        pictures: dict[Wanted, np.ndarray] = {}
        for geometry in {geometry for geometry, _, _ in wanted}:
            taken = replace(self._facts, measured=replace(self._facts.measured, geometry=geometry))
            indices = sorted({index for other, index, _ in wanted if other == geometry})
            for i, frame in chosen_frames(taken, self._index, indices):
                specs = {spec for other, index, spec in wanted if (other, index) == (geometry, i)}
                pictures |= {(geometry, i, spec): frame.picture(spec) for spec in specs}
        return pictures
