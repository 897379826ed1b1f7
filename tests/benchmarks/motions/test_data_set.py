"""The files of a generated data set."""

import csv
from collections import Counter
from pathlib import Path

import av
import numpy as np

from benchmarks.motions.classes import MotionClass, class_names
from benchmarks.motions.dataset import DataSet, write_data_set
from benchmarks.motions.render import render

DATA = DataSet(videos=8, motions=("walk", "pan_left"), seed=4, size=64, frames=10)


def lists_of(folder: Path) -> dict[str, list[str]]:
    return {split: (folder / f"{split}.csv").read_text().splitlines() for split in ("train", "val", "test")}


def test_videos_and_lists_say_the_same(tmp_path: Path) -> None:
    write_data_set(DATA, tmp_path)
    names = (tmp_path / "classes.txt").read_text().splitlines()
    assert names == list(class_names("motion"))
    lines = [line for lines in lists_of(tmp_path).values() for line in lines]
    assert len(lines) == len(set(lines)) == 8
    for line in lines:
        path, label = line.split(" ")
        assert names[int(label)] in path
        with av.open(str(tmp_path / path)) as container:
            stream = container.streams.video[0]
            assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
            assert (stream.width, stream.height, stream.average_rate) == (64, 64, 30)
            assert sum(1 for _ in container.decode(stream)) == 10


def test_the_seed_of_a_file_gives_its_pictures(tmp_path: Path) -> None:
    write_data_set(DATA, tmp_path)
    with (tmp_path / "seeds.csv").open(newline="") as file:
        row = next(csv.DictReader(file))
    video = render(MotionClass(row["motion"], row["appearance"]), int(row["seed"]), frames=10, size=64)
    with av.open(str(tmp_path / row["path"])) as container:
        decoded = np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])
    assert np.abs(decoded.astype(int) - video).mean() < 12


def test_writing_again_makes_only_what_is_missing(tmp_path: Path) -> None:
    write_data_set(DATA, tmp_path)
    first, second, *_ = sorted((tmp_path / "videos").iterdir())
    made, kept = first.read_bytes(), second.stat().st_mtime_ns
    first.unlink()
    write_data_set(DATA, tmp_path, labels="both")
    assert first.read_bytes() == made
    assert second.stat().st_mtime_ns == kept
    assert len((tmp_path / "classes.txt").read_text().splitlines()) > 500


def test_every_motion_is_in_every_split_of_ten_rounds() -> None:
    motions = ("walk", "pan_left", "melt")
    entries = list(DataSet(videos=30, motions=motions).entries())
    shares = Counter((entry.shown.motion, entry.split) for entry in entries)
    assert all(shares[motion, split] == n for motion in motions for split, n in (("train", 7), ("val", 1), ("test", 2)))
    assert len({entry.seed for entry in entries}) == 30
