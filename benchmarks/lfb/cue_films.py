"""Small videos in which what is done can be named only by what was seen seconds before or after, with annotations.

Each film of about 13 seconds shows, among other places, a cue (a beach, or a night) and a scene (a park, or a desert),
with two seconds of something else between them. The four classes of the scene are its pairs with the cue: a
clip of the scene does not tell which of two it is, and no clip is long enough to hold both. Six more
classes are the cues and the other places themselves. Cue and scene come in either order.

Videos are H.264, annotations have the form of `Charades_v1_train.csv` and `Charades_v1_test.csv`.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from pipeline.sample.encode import Coding
from pipeline.sample.film import shoot
from pipeline.sample.plan import Film, Shot, Walk

CUES = ("beach", "night")
SCENES = ("park", "desert")
OTHERS = ("street", "brick", "gallery", "snow")
DEPENDENT = range(2, 6)
"""Classes of scenes: 2 + 2 x scene + cue."""
FPS = 24
COLUMNS = "id subject scene quality relevance verified script objects descriptions actions length".split()


@dataclass(frozen=True, kw_only=True)
class CueFilm:
    """What happens in one film."""

    video: str
    cue: int
    scene: int
    cue_first: bool
    seed: int

    @property
    def spans(self) -> list[tuple[str, float]]:
        """Places and seconds, in order."""
        rng = np.random.default_rng(self.seed)
        before, between, after = (OTHERS[i] for i in rng.permutation(len(OTHERS))[:3])
        ends = rng.uniform(1.5, 3.5, 2)
        pair = [(CUES[self.cue], 3.0), (between, 2.0), (SCENES[self.scene], 2.5)]
        middle = pair if self.cue_first else pair[::-1]
        return [(before, float(ends[0])), *middle, (after, float(ends[1]))]

    def actions(self) -> list[tuple[int, float, float]]:
        """Class, start and end in seconds."""
        found, at_s = [], 0.0
        for place, seconds in self.spans:
            if place in CUES:
                found.append((CUES.index(place), at_s, at_s + seconds))
            elif place in OTHERS:
                found.append((6 + OTHERS.index(place), at_s, at_s + seconds))
            else:
                found.append((2 + 2 * SCENES.index(place) + self.cue, at_s, at_s + seconds))
            at_s += seconds
        return found

    @property
    def seconds(self) -> float:
        """Length."""
        return sum(seconds for _, seconds in self.spans)

    def shoot(self, path: Path, *, size_px: int) -> None:
        """Write the video."""
        shots = tuple(
            Shot(place=place, seconds=seconds, walks=(_walk(self.seed + number, seconds),))
            for number, (place, seconds) in enumerate(self.spans)
        )
        film = Film(shots=shots, size_hw=(size_px, size_px), fps=Fraction(FPS), seed=self.seed)
        shoot(film, path, coding=Coding(gop=FPS))


def write_films(folder: Path, *, train: int, test: int, size_px: int = 64, seed: int = 0) -> None:
    """Write `videos/` and `annotations/`.

    Args:
        train, test: numbers of films, in which all pairs of cue, scene and order are equally frequent.
    """
    videos, annotations = folder / "videos", folder / "annotations"
    videos.mkdir(parents=True)
    annotations.mkdir()
    for split, count, first in (("train", train, 0), ("test", test, train)):
        films = [_film(number, seed) for number in range(first, first + count)]
        for film in films:
            film.shoot(videos / f"{film.video}.mp4", size_px=size_px)
        _annotate(annotations / f"Charades_v1_{split}.csv", films)


def _film(number: int, seed: int) -> CueFilm:
    return CueFilm(
        video=f"F{number:04d}",
        cue=number % 2,
        scene=number // 2 % 2,
        cue_first=bool(number // 4 % 2),
        seed=1000 * seed + number,
    )


def _walk(identity: int, seconds: float) -> Walk:
    start, end = (0.2, 0.8) if identity % 2 else (0.8, 0.2)
    return Walk(identity=identity % 6, start_x=start, end_x=end, start_s=0.0, end_s=None, height=0.55, ground=0.88,
                phase=0.1 * (identity % 10))  # fmt: skip


def _annotate(path: Path, films: list[CueFilm]) -> None:
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, restval="", lineterminator="\n")
        writer.writeheader()
        for film in films:
            actions = ";".join(f"c{number:03d} {start:.2f} {end:.2f}" for number, start, end in film.actions())
            writer.writerow({"id": film.video, "actions": actions, "length": f"{film.seconds:.2f}"})
