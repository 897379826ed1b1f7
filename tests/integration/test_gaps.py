"""A video of which a part cannot be read: the rest is kept, and the bank says from when to when nothing was seen."""

from collections.abc import Collection
from pathlib import Path

import av
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.bank.inspect import inspect
from pipeline.bank.manifest import create_or_open
from pipeline.bank.reader import FeatureBank
from pipeline.bank.schema import ADDED_COLUMNS, VIDEOS
from pipeline.bank.verify import verify
from pipeline.bank.writer import BankWriter
from pipeline.cli import main
from pipeline.extract import extract
from pipeline.presets import build_config
from pipeline.sample.encode import Coding
from pipeline.sample.samples import make_clip
from tests.integration.banks import contents

FPS = 25
LOST = (30, 31, 32, 60, 73, 74)
GAPS = [
    {"start_s": 30 / FPS, "end_s": 33 / FPS, "frames": 3},
    {"start_s": 60 / FPS, "end_s": 61 / FPS, "frames": 1},
    {"start_s": 73 / FPS, "end_s": 75 / FPS, "frames": 2},
]


def wipe(path: Path, frames: Collection[int]) -> None:
    """Fill the packets of these frames with zeros."""
    with av.open(str(path)) as container:
        places = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    data = bytearray(path.read_bytes())
    for frame in frames:
        start, size = places[frame]
        data[start : start + size] = bytes(size)
    path.write_bytes(data)


@pytest.fixture(scope="module")
def damaged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three seconds of which six frames in three places are gone; each frame is coded by itself."""
    path = tmp_path_factory.mktemp("gaps") / "damaged.mov"
    make_clip(path, seconds=3, shots=2, size_hw=(90, 160), coding=Coding(codec="mjpeg"))
    wipe(path, LOST)
    return path


def run(path: Path, bank: Path, segment_s: float = 1e9) -> dict:
    """The row of the only video."""
    config = build_config(only=["shots"], segment_s=segment_s)
    report = extract([str(path)], str(bank), config, workers=2, quiet=True)
    assert (report.ok, report.failed) == (1, 0)
    assert report.counters.get("frames_lost", 0) == sum(gap["frames"] or 0 for gap in report.damaged[0]["gaps"])
    (row,) = FeatureBank.open(bank).videos().to_pylist()
    assert row["gaps"] == report.damaged[0]["gaps"]
    return row


def test_gaps_are_the_frames_that_were_lost_also_in_a_split_run(damaged: Path, tmp_path: Path) -> None:
    row = run(damaged, tmp_path / "whole")
    assert row["gaps"] == [{**gap, **{end: pytest.approx(gap[end]) for end in ("start_s", "end_s")}} for gap in GAPS]
    assert row["damage"].startswith("6 of 75 frames could not be decoded")
    run(damaged, tmp_path / "split", segment_s=1.0)
    assert contents(tmp_path / "split") == contents(tmp_path / "whole")
    (found,) = inspect(tmp_path / "whole")["damaged"]
    assert found["gaps"] == row["gaps"]


def test_inspect_shows_them(damaged: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(damaged, tmp_path / "bank")
    assert main(["inspect", str(tmp_path / "bank")]) == 0
    assert "1.20 - 1.32 s, 2.40 - 2.44 s, 2.92 - 3.00 s" in " ".join(capsys.readouterr().out.split())


def test_a_file_that_was_cut_off_has_a_gap_up_to_the_end_its_header_gives(tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole.mkv", tmp_path / "cut.mkv"
    make_clip(whole, seconds=8, shots=2, size_hw=(90, 160), coding=Coding(gop=12))
    data = whole.read_bytes()
    cut.write_bytes(data[: len(data) // 2])
    row = run(cut, tmp_path / "bank")
    last = row["gaps"][-1]
    assert (last["start_s"], last["end_s"], last["frames"]) == (row["duration_s"], pytest.approx(8, abs=0.1), None)
    assert row["duration_s"] < 7


def test_a_whole_video_has_none_and_one_that_gets_other_stages_keeps_its_own(damaged: Path, tmp_path: Path) -> None:
    make_clip(tmp_path / "whole.mp4", seconds=1, size_hw=(90, 160))
    bank = tmp_path / "bank"
    config = build_config(only=["shots"])
    extract([str(tmp_path / "whole.mp4")], str(bank), config, quiet=True)
    assert FeatureBank.open(bank).videos()["gaps"].to_pylist() == [None]
    before = run(damaged, tmp_path / "other")
    damaged.touch()  # its row is written again, and no frame is read
    extract([str(damaged)], str(tmp_path / "other"), config, quiet=True)
    (after,) = FeatureBank.open(tmp_path / "other").videos().to_pylist()
    assert after["revision"] == before["revision"] + 1
    assert after["gaps"] == before["gaps"]


def test_rows_of_versions_without_gaps_are_read(tmp_path: Path) -> None:
    create_or_open(str(tmp_path))
    BankWriter.open(str(tmp_path)).commit({"video_id": "old", "uri": "old.mp4", "status": "ok", "stages": []})
    old = pa.schema([column for column in VIDEOS if column.name not in ADDED_COLUMNS])
    rows = FeatureBank.open(tmp_path).videos().select(old.names).cast(old)
    pq.write_table(rows, tmp_path / "videos/old.parquet")
    (row,) = FeatureBank.open(tmp_path).videos().to_pylist()
    assert (row["video_id"], row["gaps"]) == ("old", None)
    assert BankWriter.open(str(tmp_path)).current_row("old") == row
    assert verify(tmp_path).is_whole
