"""The demo: `longform extract` on sample videos made on the spot, and what it found beside what is known.

    python -m pipeline.sample.demo --out demo-output [--videos FOLDER]

With `--videos` the job runs on the user's own files, about which nothing is known, and the bank is shown.
"""

import argparse
import os
import shlex
import sys
import time
from collections import Counter
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from extractors.ops.boxes import iou_matrix
from pipeline.bank.naming import video_id_for
from pipeline.bank.reader import FeatureBank
from pipeline.cli import main as longform
from pipeline.sample.samples import make_sample
from pipeline.sample.truth import BoxTruth, Truth
from pipeline.video.timebase import Clock

CUT_TOLERANCE = 2
"""Frames by which a found cut may be off."""
MATCH_IOU = 0.4
MOST_VIDEOS = 100
CLEARLY_VISIBLE = 0.6
"""Share of a figure that must be in sight for it to count as one that has to be found."""


@dataclass(frozen=True, kw_only=True)
class Score:
    """Found against known in one video."""

    cuts_known: int
    cuts_found: int
    cuts_false: int
    gradual_known: int
    gradual_found: int
    people_known: int
    people_found: int
    people_false: int
    walks_known: int
    tracks: int
    pure: int
    """Found people whose track follows one and the same person."""


def score_video(bank: FeatureBank, truth: Truth) -> Score:
    """Compare the bank with the truth of one sample video."""
    video_id = video_id_for(truth.video)
    starts = bank.table("shots", video_id)["start_frame"].to_pylist()[1:]
    hard = [cut for cut in truth.cuts if any(abs(cut - start) <= CUT_TOLERANCE for start in starts)]
    gradual = [
        change
        for change in truth.transitions
        if any(change.first_frame - CUT_TOLERANCE <= start <= change.last_frame + CUT_TOLERANCE for start in starts)
    ]
    known, found, false, owners = _match_people(bank, truth, video_id)
    majority = {track: Counter(people).most_common(1)[0][1] for track, people in owners.items()}
    return Score(
        cuts_known=len(truth.cuts),
        cuts_found=len(hard),
        cuts_false=len(starts) - len(hard) - len(gradual),
        gradual_known=sum(change.kind in ("dissolve", "fade") for change in truth.transitions),
        gradual_found=sum(change.kind in ("dissolve", "fade") for change in gradual),
        people_known=known,
        people_found=found,
        people_false=false,
        walks_known=len({(box.identity, box.shot_index) for box in truth.boxes if box.visible >= CLEARLY_VISIBLE}),
        tracks=len(bank.table("tracks", video_id)),
        pure=sum(majority.values()),
    )


def _match_people(bank: FeatureBank, truth: Truth, video_id: str) -> tuple[int, int, int, dict[int, list[int]]]:
    """`(known, found, false, identities by track)` over the frames the detector looked at."""
    rows: dict[int, list[dict]] = {}
    for row in bank.table("detections", video_id).to_pylist():
        rows.setdefault(row["frame"], []).append(row)
    clock = Clock(start_pts=truth.pts[0], time_base=truth.time_base)
    known = found = false = 0
    owners: dict[int, list[int]] = {}
    for frame, pts in enumerate(truth.pts):
        previous = truth.pts[frame - 1] if frame else None
        if not clock.starts_grid_step(pts, previous, Fraction(1)):
            continue
        people, detected = truth.boxes_at(frame), rows.get(frame, [])
        pairs = _pairs(people, detected)
        visible = {i for i, person in enumerate(people) if person.visible >= CLEARLY_VISIBLE}
        known += len(visible)
        found += sum(i in visible for i, _ in pairs)
        false += len(detected) - len(pairs)
        for i, j in pairs:
            if i in visible:
                owners.setdefault(detected[j]["track_id"], []).append(people[i].identity)
    return known, found, false, owners


def _pairs(people: tuple[BoxTruth, ...], detected: list[dict]) -> list[tuple[int, int]]:
    """Best matches first, each person and each detection once."""
    if not people or not detected:
        return []
    overlap = iou_matrix(
        np.array([person.box for person in people], np.float32), np.array([row["box"] for row in detected], np.float32)
    )
    pairs = []
    while overlap.max() >= MATCH_IOU:
        i, j = np.unravel_index(overlap.argmax(), overlap.shape)
        pairs.append((int(i), int(j)))
        overlap[i], overlap[:, j] = 0, 0
    return pairs


def _show(scores: dict[str, Score], console: Console) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("video")
    for title in ("cuts", "false cuts", "gradual", "people", "false people", "walks", "tracks", "on one person"):
        table.add_column(title, justify="right")
    for name, score in scores.items():
        table.add_row(
            name,
            f"{score.cuts_found} of {score.cuts_known}",
            str(score.cuts_false),
            f"{score.gradual_found} of {score.gradual_known}",
            f"{score.people_found} of {score.people_known}",
            str(score.people_false),
            str(score.walks_known),
            str(score.tracks),
            f"{score.pure} of {score.people_found}",
        )
    console.print(table)


def _show_videos(bank: FeatureBank, console: Console) -> None:
    """Rows of each table by video, of the first `MOST_VIDEOS`."""
    tables = ("shots", "detections", "tracks", "features/clip.slowfast_compact")
    listing = Table(box=None, pad_edge=False, header_style="bold")
    listing.add_column("video")
    for title in ("seconds", "frames", *(name.removeprefix("features/") for name in tables)):
        listing.add_column(title, justify="right")
    videos = bank.videos().to_pylist()
    for row in videos[:MOST_VIDEOS]:
        counts = {file["table"]: file["rows"] for file in row["files"]}
        facts = (f"{row['duration_s']:.2f}", str(row["num_frames"])) if row["num_frames"] else ("", "")
        listing.add_row(escape(row["video_id"]), *facts, *(str(counts.get(name, 0)) for name in tables))
    console.print(listing)
    if len(videos) > MOST_VIDEOS:
        console.print(f"... and {len(videos) - MOST_VIDEOS} more")
    console.print()


def main(argv: list[str] | None = None) -> int:
    """Run the demo; 1 where it found less than it must."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("demo-output"), help="folder for videos and bank")
    parser.add_argument("--videos", type=Path, help="run on this folder instead of on sample videos")
    options = parser.parse_args(argv)
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
    truths: dict[str, Truth] = {}
    videos, bank = options.videos, options.out / ("bank" if options.videos is None else "your-bank")
    if videos is None:
        videos = options.out / "videos"
        began = time.monotonic()
        truths = make_sample(videos)
        console.print(f"made {len(truths)} sample videos in {videos}, {time.monotonic() - began:.0f} s\n")
    status = _command("extract", str(videos), "--bank", str(bank), console=console)
    _command("inspect", str(bank), console=console)
    _command("verify", str(bank), console=console)
    if truths:
        scores = {name: score_video(FeatureBank.open(bank), truth) for name, truth in truths.items()}
        console.print("[bold]what was found of what is known[/bold]")
        _show(scores, console)
        console.print()
        status = status or int(not _good_enough(scores))
    else:
        console.print("[bold]rows by video[/bold]")
        _show_videos(FeatureBank.open(bank), console)
    _say_what_next(bank, console)
    return status


def _command(*words: str, console: Console) -> int:
    console.print(f"[bold]$ longform {shlex.join(words)}[/bold]")
    status = longform(words)
    console.print()
    return status


def _good_enough(scores: dict[str, Score]) -> bool:
    """Every hard cut and no false one; nine of ten people, on tracks that stay with them."""
    hard = all(score.cuts_found == score.cuts_known and score.cuts_false == 0 for score in scores.values())
    known, found, pure = (
        sum(getattr(score, name) for score in scores.values()) for name in ("people_known", "people_found", "pure")
    )
    return hard and found >= 0.9 * known and pure >= 0.95 * found


def _say_what_next(bank: Path, console: Console) -> None:
    video_id = FeatureBank.open(bank).videos()["video_id"][0].as_py()
    console.print("look further:")
    console.print(f"  {os.path.relpath(sys.prefix)}/bin/longform window {bank} --space clip.slowfast_compact "
                  f"--video {shlex.quote(video_id)} --at 2 --before 2 --after 2")  # fmt: skip
    console.print("on your own videos:")
    console.print("  VIDEOS=folder make demo")


if __name__ == "__main__":
    sys.exit(main())
