"""Probe: what was measured equals the hand-checked table of the real clips, and odd files say what they are."""

import re
from fractions import Fraction
from pathlib import Path

import pytest

from pipeline.errors import ProbeError
from pipeline.sample.encode import Coding, audio_only
from pipeline.sample.samples import make_clip
from pipeline.video.geometry import Geometry, PictureSpec
from pipeline.video.probe import probe

DISPLAYED = {
    "issue-134-rotate.mp4": (1280, 544),
    "issue-195-aspect-ratio.mp4": (576, 1024),
    "video_0.mov": (320, 568),
    "video_90.mov": (568, 320),
    "video_180.mov": (320, 568),
    "video_270.mov": (568, 320),
    "nasa_13013_rotated.mp4": (480, 270),
}
"""Height and width as displayed, of the clips that are stored otherwise."""


def table(clips: Path) -> dict[str, list[str]]:
    """Rows of the table of clips in the README beside them, by file name."""
    rows = {}
    for line in (clips / "README.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 12 and (clips / cells[0]).is_file():
            rows[cells[0]] = cells
    return rows


def test_measured_facts_equal_the_hand_checked_table(clips: Path) -> None:
    rows = table(clips)
    assert len(rows) == 54
    for name, cells in rows.items():
        facts, _ = probe(str(clips / name))
        measured = facts.measured
        codec, pixel_format = cells[3].split()[-2:]
        width, height = map(int, re.match(r"(\d+)x(\d+)", cells[4]).groups())
        frames = int(cells[6].split()[0])
        last_frame_s = float(cells[7])
        assert codec in (facts.header.codec, {"mpeg1video": "mpeg1"}.get(facts.header.codec)), name
        assert measured.pixel_format == pixel_format, name
        assert measured.geometry.stored_hw == (height, width), name
        assert measured.num_frames == (50 if name == "corrupted.mp4" else frames), name
        if name != "corrupted.mp4":  # the table stops at the packet that does not decode
            assert 0 < measured.duration_s - last_frame_s < 0.6, name
        assert measured.is_vfr == ("VFR" in cells[5]) or name.endswith(".gif"), name
        if name in DISPLAYED:
            assert measured.geometry.display_hw == DISPLAYED[name], name


def test_header_and_measured_values_stay_apart(clips: Path) -> None:
    facts, _ = probe(str(clips / "discard_first_keyframe.mp4"))
    assert (facts.header.num_frames, facts.measured.num_frames) == (30, 25)
    facts, _ = probe(str(clips / "no_duration.webm"))
    assert facts.header.num_frames is None
    assert facts.measured.num_frames == 74


def test_late_start_counts_from_the_first_displayed_frame(clips: Path) -> None:
    facts, index = probe(str(clips / "test_non_zero_start.mp4"))
    clock = facts.measured.clock
    assert clock.start_pts == 127995
    assert clock.seconds(int(index.pts[0])) == 0.0


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("empty.mp4", b"", "is empty (0 bytes)"),
        ("text.mp4", b"this is a text about a video", "cannot be opened as a video"),
        ("missing.mp4", None, "No file at"),
    ],
)
def test_what_is_no_video_says_so(tmp_path: Path, name: str, content: bytes | None, words: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ProbeError, match=re.escape(words)) as caught:
        probe(str(tmp_path / name))
    assert name in str(caught.value)


def test_sound_without_pictures_says_so(tmp_path: Path) -> None:
    audio_only(tmp_path / "song.mp4")
    with pytest.raises(ProbeError, match=r"no video stream \(it holds audio\)"):
        probe(str(tmp_path / "song.mp4"))


def test_a_picture_is_no_video(tmp_path: Path) -> None:
    import cv2
    import numpy as np

    cv2.imwrite(str(tmp_path / "picture.png"), np.zeros((32, 32, 3), np.uint8))
    (tmp_path / "picture.png").rename(tmp_path / "picture.mp4")
    with pytest.raises(ProbeError, match="is a picture"):
        probe(str(tmp_path / "picture.mp4"))


def test_names_that_libav_would_take_for_protocols(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_clip(tmp_path / "clip.mp4", seconds=0.4, size_hw=(64, 64), shots=1, coding=Coding())
    monkeypatch.chdir(tmp_path)
    for name in ("concat:a|b.mp4", "-x.mp4", "http:x.mp4", "a%03d.mp4"):
        Path("clip.mp4").rename(name)
        assert probe(name)[0].measured.num_frames == 10
        Path(name).rename("clip.mp4")


@pytest.mark.parametrize(
    ("rotation", "spec", "hw"),
    [
        (0, PictureSpec(), (480, 1280)),
        (90, PictureSpec(), (1280, 480)),
        (0, PictureSpec(short_side_px=240), (240, 640)),
        (270, PictureSpec(width_px=240), (640, 240)),
        (0, PictureSpec(short_side_px=1000), (480, 1280)),
        (0, PictureSpec(width_px=1), (1, 1)),
    ],
)
def test_picture_sizes(rotation: int, spec: PictureSpec, hw: tuple[int, int]) -> None:
    geometry = Geometry(stored_hw=(480, 640), pixel_aspect=Fraction(2), rotation_deg=rotation)
    assert geometry.picture_hw(spec) == hw
