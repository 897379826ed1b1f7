"""The synthetic world as rendered films, for the whole way from pixels: `longform extract` makes the bank.

    python -m benchmarks.lvu.synthetic --videos 40 --out films
    longform extract films/videos.csv --bank bank

People are drawn and walk as in the demo's sample videos. What a lead does is shown by six coloured bands of the body,
one on the shoulders, three on the torso, two on the legs, since drawn people have no gestures; the rest is the person's
own clothes. The preset `builtin` finds people with HOG and describes each by the colours of head, torso and legs
(`person.hsv_stripes`), from which `film_teacher` reads the bands. The scene is seen in the places where shots are, as
there are no objects.
"""

from __future__ import annotations

import colorsys
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.lvu.synthetic.screenplay import ASPECT, EXTRA, NUM_EXTRAS, Presence, Screenplay, write_screenplay
from benchmarks.lvu.synthetic.split_files import video_ids, write_split_files
from pipeline.errors import ConfigError
from pipeline.sample.encode import encode
from pipeline.sample.figures import WARDROBE, Patch, draw_figure
from pipeline.sample.film import CYCLE_HEIGHTS, STANDING_PHASE, render
from pipeline.sample.places import PLACES
from pipeline.sample.plan import Film, Shot, Walk

PLACE_STEPS, PLACE_SHARES = (0, 1, 3), (0.5, 0.25, 0.25)
"""A scene has the place of its own number, and the ones so many further on; two shots in a row differ."""

BANDS = ((0.27, 0.375), (0.13, 0.24), (0.385, 0.49), (0.50, 0.62), (0.66, 0.78), (0.82, 0.94))
"""The band of each channel, as parts of the person's height from the top. A box of HOG begins above the head; its
thirds end at about 0.25 and 0.64 of the person."""

COLOURS = (
    ((0.45, 0.5), (0.45, 4.5)),
    ((1.0, 2.5), (1.0, 6.5)),
    ((1.0, 1.5), (1.0, 5.5)),
    ((1.0, 3.5), (1.0, 7.5)),
    ((0.45, 0.5), (0.45, 4.5)),
    ((0.45, 2.5), (0.45, 6.5)),
)
"""Brightness, and eighth of the circle of hues, of the values +1 and -1 of each channel; in no third of the body are
two alike."""


@dataclass(frozen=True, kw_only=True)
class FilmConfig:
    """Films; the same configuration gives the same pixels."""

    videos: int = 40
    seed: int = 0
    seconds: tuple[float, float] = (70.0, 90.0)
    height_px: int = 180
    fps: int = 8
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
    """The pictures (H, W, 3) of a film."""
    identities = rng.permutation(len(WARDROBE))[: EXTRA + NUM_EXTRAS]
    film = _film(play, config, identities, rng)
    shown = {(one.shot, int(identities[one.person])): one for one in play.cast}
    for frame, picture in enumerate(render(film)):
        rgb = picture.rgb.copy()
        seen = [shown[box.shot_index, box.identity] for box in picture.boxes]
        for one in sorted(seen, key=lambda one: one.ground):
            _colour_bands(rgb, one, frame / config.fps)
        yield rgb


def _film(play: Screenplay, config: FilmConfig, identities: NDArray[np.int64], rng: np.random.Generator) -> Film:
    walks: dict[int, list[Walk]] = {}
    for one in play.cast:
        walks.setdefault(one.shot, []).append(_walk(one, int(identities[one.person])))
    lengths = np.diff(play.cuts_s)
    shots = tuple(
        Shot(place=place, seconds=float(length), walks=tuple(walks[number]))
        for number, (place, length) in enumerate(zip(_places(play, rng), lengths, strict=True))
    )
    size_hw = (config.height_px, 2 * round(config.height_px * ASPECT / 2))
    return Film(shots=shots, size_hw=size_hw, fps=Fraction(config.fps), seed=int(rng.integers(1 << 31)))


def _places(play: Screenplay, rng: np.random.Generator) -> list[str]:
    """The place of each shot."""
    names, places = list(PLACES), [-1]
    for _ in range(len(play.cuts_s) - 1):
        choices = (play.labels.scene + np.array(PLACE_STEPS)) % len(names)
        shares = np.where(choices == places[-1], 0.0, PLACE_SHARES)
        places.append(int(rng.choice(choices, p=shares / shares.sum())))
    return [names[place] for place in places[1:]]


def _walk(one: Presence, identity: int) -> Walk:
    end = one.x + one.drift_per_s * (one.end_s - one.start_s)
    return Walk(
        identity=identity, start_x=one.x * ASPECT, end_x=end * ASPECT, height=one.height, ground=one.ground
    )  # fmt: skip


def _colour_bands(rgb: NDArray[np.uint8], one: Presence, at_s: float) -> None:
    """Colour a lead's body, within its outline, by what the lead does."""
    rows, columns = rgb.shape[:2]
    x = one.x + one.drift_per_s * (at_s - one.start_s)
    way = ASPECT * abs(x - one.x)
    patch = draw_figure(
        WARDROBE[0],
        x_px=x * columns,
        ground_px=one.ground * rows,
        height_px=one.height * rows,
        phase=(way / (CYCLE_HEIGHTS * one.height)) % 1 if one.drift_per_s else STANDING_PHASE,
        facing=1 if one.drift_per_s >= 0 else -1,
    )
    top_px = (one.ground - one.height) * rows
    for number, bounds in enumerate(BANDS):
        if one.states[number]:
            start, end = (max(0, round(top_px + part * one.height * rows)) for part in bounds)
            inside = _placed(patch, (rows, columns))
            inside[:start], inside[end:] = False, False
            rgb[inside] = BAND_COLOURS[number][one.states[number]]


def _placed(patch: Patch, size_hw: tuple[int, int]) -> NDArray[np.bool_]:
    """(H, W) where the frame shows the person of a patch."""
    inside = np.zeros(size_hw, bool)
    ys, xs = np.nonzero(patch.alpha > 0.5)
    ys, xs = ys + patch.top_px, xs + patch.left_px
    within = (ys >= 0) & (ys < size_hw[0]) & (xs >= 0) & (xs < size_hw[1])
    inside[ys[within], xs[within]] = True
    return inside


def _colour(brightness: float, eighth: float) -> NDArray[np.uint8]:
    return np.array([round(255 * value) for value in colorsys.hsv_to_rgb(eighth / 8, 0.9, brightness)], np.uint8)


BAND_COLOURS = tuple({1: _colour(*up), -1: _colour(*down)} for up, down in COLOURS)
"""RGB of the values of each channel."""
