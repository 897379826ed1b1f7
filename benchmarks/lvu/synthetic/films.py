"""The synthetic world as rendered films, for the whole way from pixels: `longform extract` makes the bank.

    python -m benchmarks.lvu.synthetic --videos 40 --out films
    longform extract films/videos.csv --bank bank

People are drawn as in the demo's sample videos, and stand still while a shot lasts. Drawn people have no gestures: what
a lead does is shown by six coloured bands of the body, one on the shoulders, three on the torso, two on the legs, and
what somebody handles by the colour of a hat. The preset `builtin` finds people with HOG and describes each by the
colours of head, torso and legs (`person.hsv_stripes`), from which `film_teacher` reads all of it.
"""

from __future__ import annotations

import colorsys
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from fractions import Fraction
from itertools import repeat
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.lvu.synthetic.design import OBJECT_ACTIONS
from benchmarks.lvu.synthetic.screenplay import ASPECT, EXTRA, NUM_EXTRAS, Presence, Screenplay, write_screenplay
from benchmarks.lvu.synthetic.split_files import video_ids, write_split_files
from pipeline.errors import ConfigError
from pipeline.sample.encode import encode
from pipeline.sample.figures import WARDROBE, Patch, draw_figure
from pipeline.sample.film import STANDING_PHASE, render
from pipeline.sample.places import PLACES
from pipeline.sample.plan import Film, Shot, Walk

HAT_MIDDLE, HAT_RADII = 0.0, (0.15, 0.09)
"""As parts of the person's height, from the top; across and up."""

BANDS = ((0.27, 0.375), (0.13, 0.24), (0.385, 0.49), (0.50, 0.62), (0.66, 0.78), (0.82, 0.94))
"""The band of each channel, as parts of the person's height from the top. A box of HOG begins above the head; its
thirds end at about 0.25 and 0.64 of the person."""

COLOURS = (
    ((0.45, 2.5), (0.45, 6.5)),
    ((1.0, 3.5), (1.0, 7.5)),
    ((1.0, 1.5), (1.0, 5.5)),
    ((1.0, 3.5), (1.0, 7.5)),
    ((1.0, 3.5), (1.0, 7.5)),
    ((0.45, 2.5), (0.45, 6.5)),
)
"""Brightness, and eighth of the circle of hues, of the values +1 and -1 of each channel; in no third of the body are
two alike."""

OBJECTS_PER_SCENE = 2
OBJECT_BRIGHTNESS, OBJECT_HUES = 0.45, (0.5, 1.8, 3.1, 4.4, 5.7, 7.0)
"""Of the hats of those who handle the first or second object of each scene."""


@dataclass(frozen=True, kw_only=True)
class FilmConfig:
    """Films; the same configuration gives the same pixels."""

    videos: int = 40
    seed: int = 0
    seconds: tuple[float, float] = (60.0, 90.0)
    height_px: int = 180
    fps: int = 4
    shares: tuple[float, float, float] = (0.6, 0.2, 0.2)
    """Of training, validation and test."""

    def __post_init__(self) -> None:
        if self.videos < 1 or self.height_px < 120 or self.height_px % 2 or self.fps < 2:
            raise ConfigError(
                f"{self.videos} films of {self.height_px} px height and {self.fps} frames/s: expected one or more, of "
                "an even height of 120 px or more, where people can be found, and 2 frames/s or more."
            )
        shortest, longest = self.seconds
        if not 20 <= shortest <= longest:
            raise ConfigError(f"Films of {shortest:g} to {longest:g} s: expected at least 20 s.")


def write_films(folder: Path | str, config: FilmConfig | None = None, **options: Any) -> dict[str, Screenplay]:
    """Write `videos/<id>.mp4`, `videos.csv` (ids and files), `lvu_1.0/<task>/{train,val,test}.csv` and `films.json`.

    Args:
        config: None stands for `FilmConfig(**options)`.
    Returns:
        what is shown, by video id.
    Raises:
        ConfigError: films that cannot be.
    """
    config, folder = config or FilmConfig(**options), Path(folder)
    (folder / "videos").mkdir(parents=True, exist_ok=True)
    plays: dict[str, Screenplay] = {}
    lines = ["video_id,uri"]
    for video_id, play, rng in screenplays(config):
        file = f"videos/{video_id}.mp4"
        encode(frames(play, config, rng), folder / file, fps=Fraction(config.fps))
        plays[video_id] = play
        lines.append(f"{video_id},{file}")
    (folder / "videos.csv").write_text("\n".join([*lines, ""]), encoding="utf-8")
    write_split_files(folder / "lvu_1.0", {video_id: play.labels for video_id, play in plays.items()}, config.shares)
    (folder / "films.json").write_text(json.dumps(asdict(config), indent=2) + "\n", encoding="utf-8")
    return plays


def screenplays(config: FilmConfig) -> Iterator[tuple[str, Screenplay, np.random.Generator]]:
    """Id and contents of each film, and the generator that goes on to draw it."""
    for place, video_id in enumerate(video_ids(config.videos, config.seed)):
        rng = np.random.default_rng([config.seed, place])
        yield video_id, write_screenplay(rng, float(rng.uniform(*config.seconds))), rng


def frames(play: Screenplay, config: FilmConfig, rng: np.random.Generator) -> Iterator[NDArray[np.uint8]]:
    """The pictures (H, W, 3) of a film: one of each shot, for as long as it lasts."""
    identities = rng.permutation(len(WARDROBE))[: EXTRA + NUM_EXTRAS]
    starts = np.round(play.cuts_s * config.fps).astype(int)
    for shot, picture in enumerate(render(_stills(play, config, identities, rng))):
        rgb = picture.rgb.copy()
        for one in sorted(_cast(play, shot), key=lambda one: one.ground):
            _colour(rgb, one)
        yield from repeat(rgb, starts[shot + 1] - starts[shot])


def _cast(play: Screenplay, shot: int) -> list[Presence]:
    return [one for one in play.cast if one.shot == shot]


def _stills(play: Screenplay, config: FilmConfig, identities: NDArray[np.int64], rng: np.random.Generator) -> Film:
    """A film of one picture for each shot."""
    shots = tuple(
        Shot(
            place=place, seconds=1.0, walks=tuple(_stand(one, int(identities[one.person])) for one in _cast(play, shot))
        )
        for shot, place in enumerate(_places(len(play.cuts_s) - 1, rng))
    )
    size_hw = (config.height_px, 2 * round(config.height_px * ASPECT / 2))
    return Film(shots=shots, size_hw=size_hw, fps=Fraction(1), seed=int(rng.integers(1 << 31)))


def _places(shots: int, rng: np.random.Generator) -> list[str]:
    """Where each shot is; never two in a row at the same place."""
    names = list(PLACES)
    steps = rng.integers(1, len(names), shots)
    return [names[place % len(names)] for place in np.cumsum(steps)]


def _stand(one: Presence, identity: int) -> Walk:
    x = one.x * ASPECT
    return Walk(identity=identity, start_x=x, end_x=x, height=one.height, ground=one.ground)


def _colour(rgb: NDArray[np.uint8], one: Presence) -> None:
    """Give a person a hat for what is handled and colour, of a lead, the body by what the lead does."""
    rows, columns = rgb.shape[:2]
    patch = draw_figure(
        WARDROBE[0],
        x_px=one.x * columns,
        ground_px=one.ground * rows,
        height_px=one.height * rows,
        phase=STANDING_PHASE,
        facing=1,
    )
    inside = _placed(patch, (rows, columns))
    colours = [BAND_COLOURS[number].get(state) for number, state in enumerate(one.states)]
    for bounds, colour in zip(BANDS, colours, strict=True):
        if colour is not None:
            start, end = (max(0, round(_row(one, part) * rows)) for part in bounds)
            rgb[start:end][inside[start:end]] = colour
    middle = (round(one.x * columns), round(_row(one, HAT_MIDDLE) * rows))
    radii = [round(part * one.height * rows) for part in HAT_RADII]
    cv2.ellipse(rgb, middle, radii, 0, 0, 360, HAT_COLOURS[one.handled].tolist(), thickness=cv2.FILLED)


def _row(one: Presence, part: float) -> float:
    """Where a part of a person's height, from the top, is in the frame."""
    return one.ground - (1 - part) * one.height


def _placed(patch: Patch, size_hw: tuple[int, int]) -> NDArray[np.bool_]:
    """(H, W) where the frame shows the person of a patch."""
    inside = np.zeros(size_hw, bool)
    ys, xs = np.nonzero(patch.alpha > 0.5)
    ys, xs = ys + patch.top_px, xs + patch.left_px
    within = (ys >= 0) & (ys < size_hw[0]) & (xs >= 0) & (xs < size_hw[1])
    inside[ys[within], xs[within]] = True
    return inside


def _rgb(brightness: float, eighth: float) -> NDArray[np.uint8]:
    return np.array([round(255 * value) for value in colorsys.hsv_to_rgb(eighth / 8, 0.9, brightness)], np.uint8)


BAND_COLOURS = tuple({1: _rgb(*up), -1: _rgb(*down)} for up, down in COLOURS)
"""RGB of the values of each channel."""
HAT_COLOURS = tuple(
    _rgb(OBJECT_BRIGHTNESS, OBJECT_HUES[number // OBJECTS_PER_SCENE]) for number in range(len(OBJECT_ACTIONS))
)
"""RGB of each object."""
