"""200 and more damaged files among good ones: the job ends, every file has a row, every good one its features."""

import os
import shutil
from pathlib import Path

import pytest

from pipeline.bank.naming import video_id_for
from pipeline.bank.reader import FeatureBank
from pipeline.bank.verify import verify
from pipeline.sample.damage import DAMAGES, damage
from pipeline.sample.encode import Coding, audio_only
from pipeline.sample.samples import make_clip
from tests.integration.test_extract import longform

GOOD_NAMES = (
    "plain.mp4", "with space.mp4", "quote's.mp4", 'double"quote.mp4', "Ünïcödé 東京.mp4", "-leading dash.mp4",
    "a/same.mp4", "b/same.mp4", "percent%20.mp4", "_underscore.mp4", "new\nline.mp4", "semi;colon & more.mp4",
    "video under another ending.dat", "x" * 200 + ".mp4", os.fsdecode(b"not utf-8 \xff\xfe.mp4"),
)  # fmt: skip
SUFFIXES = {
    ".mp4": Coding(gop=12),
    ".mkv": Coding(),
    ".avi": Coding(codec="mpeg4"),
    ".webm": Coding(codec="libvpx-vp9"),
}
SEEDS = 6


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str], list[str]]:
    """The folder, the good files and the bad ones, relative to it."""
    folder = tmp_path_factory.mktemp("damaged")
    sources = {}
    for suffix, coding in SUFFIXES.items():
        sources[suffix] = folder.parent / f"source{suffix}"
        make_clip(sources[suffix], seconds=1.2, size_hw=(96, 128), coding=coding)
    for name in GOOD_NAMES:
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copy(sources[".mp4"], folder / name)
    bad = []
    for kind in DAMAGES:
        for suffix, source in sources.items():
            for seed in range(SEEDS):
                bad.append(f"bad/{kind}.{seed}{suffix}")
                (folder / "bad").mkdir(exist_ok=True)
                damage(source, folder / bad[-1], kind, seed)
    audio_only(folder / "bad/sound.mp4")
    (folder / "bad/gone.mp4").symlink_to(folder / "nowhere.mp4")
    bad += ["bad/sound.mp4", "bad/gone.mp4"]
    (folder / "bad/circle").symlink_to(folder)
    os.mkfifo(folder / "bad/pipe")
    os.mkfifo(folder / "bad/pipe.mp4")
    bad.append("bad/pipe.mp4")
    return folder, list(GOOD_NAMES), bad


def test_every_file_has_a_row_and_every_good_file_its_features(corpus: tuple, tmp_path: Path) -> None:
    folder, good, bad = corpus
    assert len(bad) > 200
    done = longform("extract", str(folder), "--bank", str(tmp_path / "bank"), "--workers", "2", "--quiet")
    assert done.returncode == 1
    assert "Traceback" not in done.stdout + done.stderr
    assert done.stderr == ""
    assert verify(tmp_path / "bank").is_whole
    bank = FeatureBank.open(tmp_path / "bank")
    rows = {row["video_id"]: row for row in bank.videos().to_pylist()}
    assert rows.keys() == {video_id_for(name) for name in (*good, *bad)}
    for name in good:
        row = rows[video_id_for(name)]
        assert (row["status"], row["damage"], row["num_frames"]) == ("ok", None, 30), name
        assert len(bank.table("shots", row["video_id"])) == 2, name
        assert len(bank.features("clip.slowfast_compact", row["video_id"])) == 2, name
    for name in bad:
        row = rows[video_id_for(name)]
        assert row["status"] == "ok" or (row["error_stage"] and row["error_class"] and row["error_message"]), name
    for name in ("bad/sound.mp4", "bad/gone.mp4", "bad/pipe.mp4", "bad/empty.0.mp4", "bad/header_destroyed.0.mp4"):
        assert rows[video_id_for(name)]["status"] == "failed", name
    assert "has no video stream (it holds audio)" in rows[video_id_for("bad/sound.mp4")]["error_message"]
