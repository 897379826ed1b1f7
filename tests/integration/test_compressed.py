"""The whole job on compressed video: equal banks however it is run, and a failure row where there is no motion."""

from __future__ import annotations

from pathlib import Path

import pytest

from extractors.coviar_source import stream_source
from extractors.runtime import Runtime
from pipeline.bank.reader import FeatureBank
from pipeline.config import ExtractConfig
from pipeline.extract import extract
from pipeline.features.compressed import SPACE, CompressedStage
from tests.integration.banks import contents
from tests.longform.coviar.films import moving_square, write_film

GROUPS = 5


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    write_film(folder / "mpeg4.mp4", moving_square((3, 1), frames=12 * GROUPS))
    write_film(folder / "h264.mkv", moving_square((-2, 2), frames=12 * GROUPS, seed=1), codec="libx264")
    write_film(folder / "still.avi", moving_square((1, 0), frames=6), codec="mjpeg")
    return folder


def config_of(segment_s: float) -> ExtractConfig:
    sources = {
        stream: stream_source(stream, "untrained", depth=18, width=4) for stream in ("iframe", "motion", "residual")
    }
    return ExtractConfig(preset="compressed", stages=(CompressedStage(sources, Runtime()),), segment_s=segment_s)


def test_banks_are_equal_and_only_the_video_without_motion_fails(corpus: Path, tmp_path: Path) -> None:
    banks = {}
    for name, workers, segment_s in (("whole", 1, 1e9), ("split", 2, 0.9)):
        report = extract([str(corpus)], str(tmp_path / name), config_of(segment_s), workers=workers, quiet=True)
        assert (report.ok, report.failed) == (2, 1)
        (failure,) = report.failures
        assert (failure["video_id"], failure["stage"]) == ("still.avi", "compressed")
        assert "mjpeg" in failure["error"]
        banks[name] = contents(tmp_path / name)
    assert banks["whole"][SPACE] == banks["split"][SPACE]
    assert len(banks["whole"][SPACE]) == 2 * GROUPS
    assert 0 < report.counters["frames_decoded"] < 12 * GROUPS * 2


def test_a_second_run_has_nothing_to_do_and_windows_find_the_groups(corpus: Path, tmp_path: Path) -> None:
    for expected in (0, 1):
        report = extract([str(corpus / "mpeg4.mp4")], str(tmp_path / "bank"), config_of(1e9), quiet=True)
        assert report.up_to_date == expected
    bank = FeatureBank.open(tmp_path / "bank")
    assert (bank.spaces[SPACE].dim, bank.spaces[SPACE].rows) == (3 * 32, GROUPS)
    window = bank.window(SPACE, "mpeg4.mp4", 1.0, before_s=0.4, after_s=0.4)
    assert list(window.times_s) == pytest.approx([0.72, 1.2])
