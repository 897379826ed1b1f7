"""Decoding by a card is asked for without a way back to the processor. No card decodes here."""

from pathlib import Path

import av
import pytest

from pipeline.errors import DecodeError
from pipeline.sample.samples import make_clip
from pipeline.video import source
from pipeline.video.decode import decode
from pipeline.video.frames import DecodeStats, Frame
from pipeline.video.probe import probe
from pipeline.video.segments import plan_segments


def first_frame(path: Path) -> Frame:
    facts, index = probe(str(path))
    (segment,), _ = plan_segments(str(path), facts.measured, index, 100.0)
    return next(decode(facts, segment, DecodeStats(), backend="nvdec"))


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    make_clip(tmp_path / "clip.mp4", seconds=0.2, size_hw=(48, 64), shots=1)
    return tmp_path / "clip.mp4"


def test_the_device_is_cuda_and_software_is_no_way_out(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    class Device:
        def __init__(self, **settings: object) -> None:
            asked.append(settings)
            raise av.error.PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(source, "HWAccel", Device)
    with pytest.raises(DecodeError, match=r"cannot be decoded by a device of kind cuda: .*Use --decoder pyav"):
        first_frame(clip)
    assert asked == [{"device_type": "cuda", "allow_software_fallback": False}]


@pytest.mark.skipif(Path("/dev/nvidiactl").exists(), reason="there is a card")
def test_without_a_card_it_is_an_error(clip: Path) -> None:
    with pytest.raises(DecodeError, match="Use --decoder pyav"):
        first_frame(clip)
