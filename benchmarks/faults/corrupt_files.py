"""A thousand files in one run, nine tenths of them damaged in fourteen ways; the good ones must not notice."""

import os
import random
import shutil
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from benchmarks.faults.bank_check import check_present, failures, left_over, ok_videos
from benchmarks.faults.lab import HOGHOF, Lab
from benchmarks.faults.outcome import Outcome
from pipeline.bank.naming import video_id_for
from pipeline.bank.reader import FeatureBank
from pipeline.sample.damage import DAMAGES, damage
from pipeline.sample.encode import Coding, audio_only
from pipeline.sample.samples import make_clip

SOURCES = {
    ".mp4": Coding(gop=6, bframes=2),
    ".mkv": Coding(gop=6),
    ".avi": Coding(codec="mpeg4", gop=6),
    ".webm": Coding(codec="libvpx-vp9"),
}
ONLY_CLIPS = (*HOGHOF, "--only", "shots", "--only", "clips")


def _sound(source: Path, target: Path, seed: int) -> None:
    audio_only(target.with_suffix(".mp3"), seconds=0.5)
    target.with_suffix(".mp3").rename(target)


def _dangling_link(source: Path, target: Path, seed: int) -> None:
    target.symlink_to("nowhere")


def _named_pipe(source: Path, target: Path, seed: int) -> None:
    os.mkfifo(target)


def _playlist(source: Path, target: Path, seed: int) -> None:
    target.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfile://{source}\n#EXT-X-ENDLIST\n")


def _bytes_missing(source: Path, target: Path, seed: int) -> None:
    """Up to a tenth of the file is gone from its middle."""
    data, draws = source.read_bytes(), random.Random(seed)
    first = draws.randrange(len(data) // 4, len(data) // 2)
    target.write_bytes(data[:first] + data[first + draws.randrange(1, len(data) // 10) :])


Maker = Callable[[Path, Path, int], None]
OTHERS: dict[str, Maker] = {
    "sound": _sound,
    "dangling_link": _dangling_link,
    "named_pipe": _named_pipe,
    "playlist": _playlist,
    "bytes_missing": _bytes_missing,
}


def corrupt_files(lab: Lab) -> list[Outcome]:
    """One run over all files; each damaged one gets one row, each good one what it has in a bank without the others."""
    outcome = Outcome(fault="corrupt files of 14 kinds", timed="the whole run")
    sources = _sources(lab)
    good = _good(lab, sources)
    subject = lab.subject("tiny", ONLY_CLIPS, good)
    videos = lab.new_folder("corrupt") / "videos"
    shutil.copytree(good, videos)
    kinds = _add_corrupt(videos, sources, lab.times(900, 70))
    bank = videos.parent / "bank"
    run = lab.start(replace(subject, videos=videos), bank)
    files = subject.count + len(kinds)
    if not lab.ends(run, 20 * subject.deadline_s, outcome):
        return [outcome]
    for kind, count in Counter(kinds.values()).items():
        outcome.strike(kind, time.monotonic() - run.began, times=count)
    outcome.videos = files
    _check_rows(bank, {video_id_for(path.name) for path in videos.iterdir()}, kinds, outcome)
    ids = {video_id_for(path.name) for path in good.iterdir()}
    check_present(bank, subject, outcome, "among corrupt files", ids=ids)
    outcome.left_over += left_over(bank)
    outcome.user_sees = lab.quote(run.said, f"{files} videos: .*?;")
    return [outcome]


def _sources(lab: Lab) -> list[Path]:
    folder = lab.new_folder("sources")
    paths = [folder / f"source{suffix}" for suffix in SOURCES]
    for path, coding in zip(paths, SOURCES.values(), strict=True):
        make_clip(path, seconds=1.2, size_hw=(48, 64), coding=coding)
    return paths


def _good(lab: Lab, sources: list[Path]) -> Path:
    """Copies of the sources; results depend on the content, rows on the name too."""
    folder = lab.new_folder("good") / "videos"
    folder.mkdir()
    for i in range(lab.times(100, 10)):
        source = sources[i % len(sources)]
        shutil.copy(source, folder / f"good{i:03d}{source.suffix}")
    return folder


def _add_corrupt(folder: Path, sources: list[Path], count: int) -> dict[str, str]:
    """By id of each added file its kind."""
    kinds = [*DAMAGES, *OTHERS]
    made = {}
    for i in range(count):
        kind, source = kinds[i % len(kinds)], sources[i // len(kinds) % len(sources)]
        target = folder / f"{kind}{i:03d}{source.suffix}"
        if kind in DAMAGES:
            damage(source, target, kind, i)
        else:
            OTHERS[kind](source, target, i)
        made[video_id_for(target.name)] = kind
    return made


def _check_rows(bank: Path, expected: set[str], kinds: dict[str, str], outcome: Outcome) -> None:
    """One row for each file; a good one is ok, a damaged one ok or failed by an error of its own, not by a limit."""
    ids = FeatureBank.open(bank).videos()["video_id"].to_pylist()
    outcome.lost += [f"{video_id} has no row" for video_id in sorted(expected - set(ids))]
    outcome.duplicated += [f"{video_id} has {count} rows" for video_id, count in Counter(ids).items() if count > 1]
    for video_id, why in failures(bank).items():
        if video_id not in kinds or any(f" {name}: " in why for name in ("Crashed", "Stalled", "MemoryLimit")):
            outcome.lost.append(f"{video_id}: {why}")
    outcome.lost += [
        f"{video_id} is neither ok nor failed" for video_id in set(ids) - ok_videos(bank) - set(failures(bank))
    ]
