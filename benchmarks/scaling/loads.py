"""Shapes of load: how many videos of what length, and where they are cut. Those that are measured, and those simulated.

Each measured video is one generated clip of `CLIP_S` seconds again and again, so that a second of video costs the same
in all of them, and lists of videos name the same file many times. Key frames are a second apart.
"""

import csv
from dataclasses import dataclass
from pathlib import Path

from pipeline.sample.encode import Coding
from pipeline.sample.film import shoot
from pipeline.sample.remux import loop_video
from pipeline.sample.samples import street_film

CLIP_S = 2
FRAMES_PER_S = 25


@dataclass(frozen=True, kw_only=True)
class Load:
    """Videos for one run."""

    name: str
    videos: tuple[tuple[int, int], ...]
    """How many, and the seconds of each."""
    segment_s: int

    @property
    def lengths_s(self) -> list[int]:
        """Seconds of each video."""
        return [seconds for count, seconds in self.videos for _ in range(count)]

    @property
    def video_s(self) -> int:
        """Seconds of all videos."""
        return sum(self.lengths_s)

    def segments_of(self, seconds: int) -> list[int]:
        """Lengths of the segments of a video, by the rule of `pipeline.video.segments`."""
        count = max(1, (2 * seconds + self.segment_s) // (2 * self.segment_s))
        return [self.segment_s] * (count - 1) + [seconds - self.segment_s * (count - 1)]


def measured_loads(unit_s: int) -> dict[str, Load]:
    """Loads of 26 units each (`driver` apart), by name: `mixed` is for fitting, the others to be predicted."""
    return {
        load.name: load
        for load in (
            Load(name="mixed", videos=((6, unit_s), (3, 2 * unit_s), (2, 4 * unit_s), (1, 6 * unit_s)),
                 segment_s=2 * unit_s),
            Load(name="long", videos=((1, 26 * unit_s),), segment_s=unit_s),
            Load(name="short", videos=((26, unit_s),), segment_s=120),
            Load(name="tiny", videos=((13 * unit_s, CLIP_S),), segment_s=120),
            Load(name="driver", videos=((300, CLIP_S),), segment_s=120),
            Load(name="half hour", videos=((1, 1800),), segment_s=120),
        )
    }  # fmt: skip


SIMULATED = (
    Load(name="one of 3 hours, segments of 120 s", videos=((1, 10_800),), segment_s=120),
    Load(name="one of 3 hours, segments of 30 s", videos=((1, 10_800),), segment_s=30),
    Load(name="one of 3 hours, not split", videos=((1, 10_800),), segment_s=10_800),
    Load(name="1,000 of 3 minutes", videos=((1000, 180),), segment_s=120),
    Load(name="10,000 of 10 seconds", videos=((10_000, 10),), segment_s=120),
)


def write_list(load: Load, folder: Path) -> Path:
    """Write the videos of a load that are not in `folder` yet, and a list of them for `longform extract`."""
    folder.mkdir(parents=True, exist_ok=True)
    clip = folder / "clip.mp4"
    if not clip.exists():
        shoot(street_film(seconds=float(CLIP_S)), clip, coding=Coding(gop=FRAMES_PER_S))
    for seconds in set(load.lengths_s):
        if not (path := folder / f"{seconds}s.mp4").exists():
            loop_video(clip, path, times=seconds // CLIP_S)
    listed = folder / f"{load.name.replace(' ', '-')}-{load.video_s}s.csv"
    with listed.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(("video_id", "uri"))
        rows.writerows((f"{number}", str(folder / f"{seconds}s.mp4")) for number, seconds in enumerate(load.lengths_s))
    return listed
