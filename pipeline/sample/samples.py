"""Ready-made sample videos: the demo's corpus, and small clips for tests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np

from pipeline.sample.encode import Coding
from pipeline.sample.figures import WARDROBE
from pipeline.sample.film import shoot
from pipeline.sample.places import PLACES
from pipeline.sample.plan import Camera, Film, Shot, Walk, timeline
from pipeline.sample.truth import Truth

STILL = Camera()
TRUTH_SUFFIX = ".truth.json"


def make_sample(folder: Path, *, seconds: float = 40.0, seed: int = 0) -> dict[str, Truth]:
    """Write the demo's corpus: six videos, and beside each `name.mp4` its truth `.name.mp4.truth.json`.

    Args:
        folder: is created.
        seconds: length of the longest video; the others are in proportion, but not below a few seconds.
        seed: changes the places and who walks there; the same seed gives the same bytes.
    Returns:
        the truth by file name.
    """
    folder.mkdir(parents=True, exist_ok=True)
    takes: list[tuple[str, Callable[[Path, float, int], Truth]]] = [
        ("street.mp4", _street), ("gallery.mkv", _gallery), ("phone.mov", _phone),
        ("uneven.mp4", _uneven), ("harbour.webm", _harbour), ("tape.avi", _tape),
    ]  # fmt: skip
    truths = {}
    for name, take in takes:
        truths[name] = take(folder / name, seconds, seed)
        truths[name].save(truth_path(folder / name))
    return truths


def truth_path(video: Path) -> Path:
    """Where `make_sample` puts the truth of a video."""
    return video.with_name(f".{video.name}{TRUTH_SUFFIX}")


def make_clip(
    path: Path,
    *,
    seconds: float = 4.0,
    size_hw: tuple[int, int] = (180, 320),
    fps: Fraction = Fraction(25),
    shots: int = 2,
    figures: int = 0,
    camera: Camera = STILL,
    transition: str = "cut",
    transition_s: float = 0.4,
    seed: int = 0,
    coding: Coding | None = None,
    pts: Sequence[int] | None = None,
    time_base: Fraction | None = None,
) -> Truth:
    """Write one small video with shots of equal length; people are found by HOG from about 640x360 upward.

    Args:
        path: the suffix chooses the container.
        seconds: length; with pts, the number of frames is still seconds * fps.
        size_hw: displayed height and width.
        fps: nominal frame rate.
        shots: number of shots, each in another place.
        figures: people in each shot, at most 3, who walk to and fro.
        camera: the same motion in every shot.
        transition: between shots: "cut", "dissolve" or "fade".
        transition_s: length of a gradual transition.
        seed: changes places and people.
        coding: codec, pixel format, rotation, audio.
        pts: a timestamp per frame in units of time_base, for a variable rate or a late start.
        time_base: seconds per unit of pts.
    """
    if not 0 <= figures <= 3:
        raise ValueError(f"Sample clip {path}: got {figures} figures, expected 0 to 3.")
    names, length = list(PLACES), seconds / shots
    planned = tuple(
        Shot(
            place=names[(seed + index) % len(names)],
            seconds=length,
            camera=camera,
            walks=_to_and_fro(figures, seed + 3 * index, length, camera, size_hw),
            transition=transition if index else "cut",
            transition_s=transition_s,
        )
        for index in range(shots)
    )
    film = Film(shots=planned, size_hw=size_hw, fps=fps, seed=seed)
    return shoot(film, path, coding=coding, pts=pts, time_base=time_base)


def uneven_pts(*, num_frames: int, seed: int = 0, first: int = 0) -> list[int]:
    """Timestamps in units of 1/90000 s whose distances are mixed from 1/60, 1/30, 1/25 and 1/10 s."""
    distances = np.random.default_rng(seed).choice([1500, 3000, 3600, 9000], num_frames, p=[0.15, 0.4, 0.35, 0.1])
    return [first, *(first + int(total) for total in np.cumsum(distances)[:-1])]


def _walk(
    identity: int, start: float, end: float, seconds: float, *, camera: Camera = STILL,
    aspect: float = 16 / 9, during: tuple[float, float] | None = None, near: float = 0.5, phase: float = 0.0,
) -> Walk:  # fmt: skip
    """A walk between two places of the frame, 0 its left and 1 its right edge; near runs from 0 to 1."""
    begin, finish = during or (0.0, seconds)
    return Walk(
        identity=identity % len(WARDROBE),
        start_x=start * aspect + camera.pan[0] * begin,
        end_x=end * aspect + camera.pan[0] * finish,
        start_s=begin,
        end_s=None if during is None else finish,
        height=0.50 + 0.10 * near,
        ground=0.86 + 0.04 * near,
        phase=phase,
    )


def _to_and_fro(
    figures: int, identity: int, seconds: float, camera: Camera, size_hw: tuple[int, int]
) -> tuple[Walk, ...]:
    """Up to three people in lanes of their own, at a walking pace."""
    aspect = size_hw[1] / size_hw[0]
    walks = []
    for lane in range(figures):
        middle = (lane + 0.5 + 0.5 * (figures == 1)) / max(2, figures)
        reach = min(0.5 / max(2, figures) - 0.1 / aspect, 0.10 * seconds / aspect)
        way = reach if (identity + lane) % 2 else -reach
        walks.append(
            _walk(identity + lane, middle - way, middle + way, seconds, camera=camera, aspect=aspect,
                  near=0.5 * lane, phase=0.3 * lane)
        )  # fmt: skip
    return tuple(walks)


def _one(who: int, seconds: float, camera: Camera) -> tuple[Walk, ...]:
    """One walks through, to the right or to the left."""
    start, end = (0.2, 0.75) if who % 2 else (0.8, 0.25)
    return (_walk(who, start, end, seconds, camera=camera, near=0.9),)


def _crossing(who: int, seconds: float, camera: Camera) -> tuple[Walk, ...]:
    """Two walk towards each other; the nearer hides the other for a moment."""
    ahead = _walk(who, 0.18, 0.82, seconds, camera=camera, near=0.2)
    return ahead, _walk(who + 1, 0.85, 0.2, seconds, camera=camera, near=1.0, phase=0.4)


def _leaving(who: int, seconds: float, camera: Camera) -> tuple[Walk, ...]:
    """One goes out at the right and comes back; another waits at the left."""
    leave, back = 0.42 * seconds, 0.55 * seconds
    out = _walk(who, 0.62, 1.12, seconds, camera=camera, during=(0.0, leave), near=0.8)
    return (
        out,
        _walk(who, 1.12, 0.55, seconds, camera=camera, during=(back, seconds + 1), near=0.8),
        _walk(who + 1, 0.25, 0.25, seconds, near=0.4),
    )


def _together(who: int, seconds: float, camera: Camera) -> tuple[Walk, ...]:
    """Two walk the same way."""
    first = _walk(who, 0.15, 0.55, seconds, camera=camera, near=0.7)
    return first, _walk(who + 1, 0.42, 0.85, seconds, camera=camera, near=0.4, phase=0.35)


def _cut_together(scenes: Sequence[Shot], seconds: float) -> tuple[Shot, ...]:
    """As many of the scenes, again and again, as fill the time; what is left over lengthens the last."""
    chosen: list[Shot] = []
    left = seconds
    while left > 0:
        shot = scenes[len(chosen) % len(scenes)]
        if left < shot.seconds and chosen and left < 2.5:
            chosen[-1] = replace(chosen[-1], seconds=chosen[-1].seconds + left)
            break
        chosen.append(replace(shot, seconds=min(left, shot.seconds)))
        left -= shot.seconds
    return tuple(chosen)


def _scene(
    place: str, seconds: float, cast: Callable[[int, float, Camera], tuple[Walk, ...]], who: int,
    camera: Camera = STILL, transition: str = "cut", transition_s: float = 1.0,
) -> Shot:  # fmt: skip
    walks = cast(who, seconds, camera)
    return Shot(
        place=place,
        seconds=seconds,
        camera=camera,
        walks=walks,
        transition=transition,
        transition_s=transition_s,
    )


def street_film(*, seconds: float = 40.0, seed: int = 0) -> Film:
    """Hard cuts between seven places; people who cross, walk together, leave and come back."""
    scenes = [
        _scene("street", 6, _crossing, seed),
        _scene("park", 5, _one, seed + 2, Camera(pan=(0.06, 0.0))),
        _scene("brick", 7, _leaving, seed + 3),
        _scene("beach", 5, _together, seed),
        _scene("night", 5, _one, seed + 1),
        _scene("desert", 6, _crossing, seed + 4, Camera(pan=(-0.05, 0.0))),
        _scene("snow", 6, _together, seed + 6),
    ]
    return Film(shots=_cut_together(scenes, seconds), seed=seed)


def _street(path: Path, seconds: float, seed: int) -> Truth:
    return shoot(street_film(seconds=seconds, seed=seed), path)


def _gallery(path: Path, seconds: float, seed: int) -> Truth:
    """Dissolves, fades, pans and zooms at a film's frame rate, with B-frames."""
    scenes = [
        _scene("gallery", 5, _one, seed + 5, Camera(pan=(0.10, 0.0)), "fade", 0.8),
        _scene("park", 5, _together, seed + 6, Camera(zoom=1.03), "dissolve", 1.0),
        _scene("night", 5, _one, seed + 4, STILL, "fade", 1.2),
        _scene("beach", 5, _one, seed + 2, Camera(pan=(-0.08, 0.0)), "dissolve", 0.6),
    ]
    shots = _cut_together(scenes, max(10.0, seconds / 2))
    film = Film(shots=shots, fps=Fraction(24000, 1001), seed=seed, fade_out_s=0.8)
    return shoot(film, path, coding=Coding(bframes=3, gop=48))


def _phone(path: Path, seconds: float, seed: int) -> Truth:
    """An upright picture stored lying on its side, as phones do, with sound."""
    camera, length = Camera(pan=(0.02, 0.0)), max(4.0, seconds / 5)
    walk = replace(_walk(seed, 0.35, 0.65, length, camera=camera, aspect=9 / 16), height=0.40, ground=0.84)
    shot = Shot(place="street", seconds=length, camera=camera, walks=(walk,))
    film = Film(shots=(shot,), size_hw=(640, 360), fps=Fraction(30000, 1001), seed=seed + 1)
    return shoot(film, path, coding=Coding(rotation=270, audio=True))


def _uneven(path: Path, seconds: float, seed: int) -> Truth:
    """A variable frame rate, and a first frame half a second after zero."""
    scenes = [
        _scene("snow", 4, _one, seed + 3),
        _scene("brick", 4, _together, seed + 4),
        _scene("park", 4, _crossing, seed),
    ]
    film = Film(shots=_cut_together(scenes, max(5.0, 0.3 * seconds)), seed=seed + 2)
    pts = uneven_pts(num_frames=timeline(film).num_frames, seed=seed, first=45_000)
    return shoot(film, path, pts=pts, time_base=Fraction(1, 90_000), coding=Coding(bframes=2))


def _harbour(path: Path, seconds: float, seed: int) -> Truth:
    """VP9 with sound in WebM."""
    scenes = [_scene("beach", 4, _together, seed + 1), _scene("night", 4, _one, seed + 6)]
    film = Film(shots=_cut_together(scenes, max(5.0, seconds / 5)), fps=Fraction(30), seed=seed + 3)
    return shoot(film, path, coding=Coding(codec="libvpx-vp9", audio=True))


def _tape(path: Path, seconds: float, seed: int) -> Truth:
    """MPEG-4 part 2 in AVI, small, a key frame in twelve, as compressed-domain networks were trained on."""
    scenes = [_scene("desert", 4, _one, seed + 2), _scene("park", 4, _together, seed + 3)]
    film = Film(
        shots=_cut_together(scenes, max(5.0, seconds / 5)),
        size_hw=(240, 320),
        fps=Fraction(30),
        seed=seed + 4,
    )
    return shoot(film, path, coding=Coding(codec="mpeg4", gop=12))
