"""One video of a class, from a seed."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.motions.camera import CAMERA_MOTIONS, SCENE_SIDES, CameraPath, View, handheld, look
from benchmarks.motions.classes import APPEARANCES, MOTIONS, MotionClass
from benchmarks.motions.deformations import DEFORMATIONS
from benchmarks.motions.figures import FIGURE_ACTIONS
from benchmarks.motions.particles import PARTICLE_MOTIONS
from benchmarks.motions.paths import RIGID_MOTIONS, rigid
from benchmarks.motions.sprites import place, sprite
from benchmarks.motions.stage import Painter, Stage
from benchmarks.motions.textures import Image, Rng, colours, smooth_noise, texture

FPS = 30

SUBJECT_MOTIONS: dict[str, Callable[[Stage], Painter]] = {
    **{name: rigid(path_of) for name, path_of in RIGID_MOTIONS.items()},
    **DEFORMATIONS,
    **PARTICLE_MOTIONS,
    **FIGURE_ACTIONS,
}

SURFACE_SIDES = 0.6
"""Side of the subject's texture, in sides of the frame."""

NOISE_FIELDS = 4


def render(shown: MotionClass, seed: int, *, frames: int = 48, size: int = 112) -> NDArray[np.uint8]:
    """(frames, size, size, 3) RGB at 30 frames/s. The same arguments give the same video.

    What happens once takes the length of the video, what repeats has a rate of its own. Colours, sizes, places,
    speeds, background, light, unsteadiness of the camera and noise are random.

    Raises:
        ValueError: there is no such class.
    """
    if shown.motion not in MOTIONS or shown.appearance not in APPEARANCES:
        raise ValueError(
            f"{shown}: there is no such class. Motions: {', '.join(MOTIONS)}. Appearances: {', '.join(APPEARANCES)}."
        )
    rng = np.random.default_rng(seed)
    scene, camera, paint = _filmed(shown, rng, frames / FPS, size)
    finish = _finish(rng, size)
    video = np.empty((frames, size, size, 3), np.uint8)
    for i, moment in enumerate(np.linspace(0, 1, frames)):
        frame = look(scene, camera(float(moment)), size)
        paint(frame, float(moment))
        video[i] = finish(frame, float(moment))
    return video


def _filmed(shown: MotionClass, rng: Rng, seconds: float, size: int) -> tuple[Image, CameraPath, Painter]:
    """The scene, what the camera does, and what happens in front of the scene."""
    if shown.motion in CAMERA_MOTIONS:
        scene = texture(shown.appearance, rng, round(SCENE_SIDES * size))
        _furnish(rng, scene, size, things=int(rng.integers(7, 14)))
        return scene, CAMERA_MOTIONS[shown.motion](rng, seconds), lambda frame, moment: None
    palette = colours(rng, 4)
    scene = texture(APPEARANCES[rng.integers(len(APPEARANCES))], rng, round(SCENE_SIDES * size), palette[2:])
    scene = _softened(rng, scene, palette[2:].mean(0))
    _furnish(rng, scene, size, things=int(rng.integers(0, 5)))
    surface = texture(shown.appearance, rng, round(SURFACE_SIDES * size), palette[:2])
    stage = Stage(rng=rng, size=size, seconds=seconds, surface=surface, sprite=sprite(rng, surface))
    return scene, _steady(rng, seconds), SUBJECT_MOTIONS[shown.motion](stage)


def _softened(rng: Rng, scene: Image, mean: NDArray[np.float32]) -> Image:
    """A background with less contrast than its texture, lighter or darker towards one side."""
    contrast, side = rng.uniform(0.15, 0.9), len(scene)
    ramp = np.linspace(-1, 1, side, dtype=np.float32) * np.float32(rng.uniform(-50, 50))
    shade = ramp[:, None] if rng.random() < 0.7 else ramp[None]
    return np.clip(mean + contrast * (scene - mean) + shade[..., None], 0, 255).astype(np.uint8)


def _furnish(rng: Rng, scene: Image, size: int, things: int) -> None:
    """Things that stand still."""
    for _ in range(things):
        family = APPEARANCES[rng.integers(len(APPEARANCES))]
        thing = sprite(rng, texture(family, rng, round(rng.uniform(0.15, 0.5) * size)))
        x, y = rng.uniform(0, len(scene), 2)
        place(scene, thing, x, y)


def _steady(rng: Rng, seconds: float) -> CameraPath:
    """On a stand, in a hand, or slowly drifting."""
    zoom, angle = rng.uniform(0.8, 1.2), rng.normal(0, 0.1)
    how = rng.random()
    shaken = handheld(rng, seconds, 0.006 if how < 0.4 else 0.0)
    drift = rng.uniform(-0.06, 0.06, 2) if how > 0.75 else np.zeros(2)

    def path(moment: float) -> View:
        view = shaken(moment)
        return View(view.x + drift[0] * moment, view.y + drift[1] * moment, zoom, angle + view.angle)

    return path


def _finish(rng: Rng, size: int) -> Callable[[Image, float], Image]:
    """Light (level, contrast, its change, shade across the frame), softness of the lens, and noise."""
    light, change = rng.uniform(0.75, 1.2), rng.normal(0, 0.05)
    contrast, gamma = rng.uniform(0.7, 1.1), rng.uniform(0.8, 1.25)
    shade = cv2.cvtColor(0.75 + 0.35 * smooth_noise(rng, size, 2), cv2.COLOR_GRAY2RGB) if rng.random() < 0.5 else None
    sigma, blur = rng.uniform(0, 8) * (rng.random() < 0.7), rng.uniform(0.5, 1.1) * (rng.random() < 0.35)
    noise = rng.normal(0, sigma, (NOISE_FIELDS, 2 * size, size, 3)).astype(np.int16)
    levels = 127.5 + 255 * contrast * ((np.arange(256) / 255) ** gamma - 0.5)
    shifts = rng.integers(0, size, 256)

    def finish(frame: Image, moment: float) -> Image:
        gain = light * (1 + change * moment)
        frame = cv2.LUT(frame, np.clip(gain * levels, 0, 255).astype(np.uint8))
        if shade is not None:
            frame = cv2.multiply(frame, shade, dtype=cv2.CV_8U)
        if blur:
            frame = cv2.GaussianBlur(frame, (0, 0), blur * size / 112)
        if sigma:
            at = round(moment * 997)
            top = shifts[at % len(shifts)]
            frame = cv2.add(frame, noise[at % NOISE_FIELDS, top : top + size], dtype=cv2.CV_8U)
        return frame

    return finish
