"""`longform plan`: estimates from real excerpts, beside what the run then really makes."""

import json
from pathlib import Path

import pytest

from pipeline.bank.inspect import inspect
from pipeline.cli import main
from pipeline.errors import ConfigError, PipelineError
from pipeline.extract import extract
from pipeline.plan import plan
from pipeline.presets import build_config
from pipeline.sample.samples import make_clip
from pipeline.video.excerpt import copy_excerpt
from pipeline.video.probe import probe

SECONDS = (4, 6, 8, 10)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    for seconds in SECONDS:
        make_clip(folder / f"{seconds}.mp4", seconds=seconds, shots=2, figures=1, size_hw=(90, 160))
    return folder


def test_bytes_come_near_the_real_bank_and_the_basis_is_shown(corpus: Path, tmp_path: Path) -> None:
    config = build_config("builtin", only=["clips"])
    found = plan([str(corpus)], config, workers=2, on_gpu=False, samples=3, sample_s=4)
    extract([str(corpus)], str(tmp_path / "bank"), config, quiet=True)
    assert found.bytes.value == pytest.approx(inspect(tmp_path / "bank")["bytes"], rel=0.25)
    assert found.video_hours == pytest.approx(sum(SECONDS) / 3600, rel=0.01)
    assert len(found.sample) == 3
    assert all(excerpt.seconds >= 4 for excerpt in found.sample)
    assert found.hours.low <= found.hours.value <= found.hours.high
    assert found.hours.value * 3600 >= found.start_up_s
    assert found.gpu_hours is None


def test_what_does_not_open_is_named_and_in_no_figure(corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:
    broken = corpus.parent / "broken"
    broken.mkdir()
    (broken / "not-a-video.mp4").write_bytes(b"nothing")
    words = ["plan", str(corpus / "4.mp4"), str(broken), "--only", "clips", "--samples", "2", "--sample-s", "2"]
    assert main([*words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert list(found["unreadable"]) == ["not-a-video.mp4"]
    assert found["video_hours"] == pytest.approx(4 / 3600, rel=0.01)
    assert main(words) == 0
    assert "cannot be opened: not-a-video.mp4" in capsys.readouterr().out


def test_one_excerpt_would_say_nothing_of_the_spread(corpus: Path) -> None:
    with pytest.raises(ConfigError, match="at least 2"):
        plan([str(corpus)], build_config("builtin"), workers=1, on_gpu=False, samples=1)


@pytest.mark.parametrize("sample_s", [0.0, -1.0, float("nan"), float("inf")])
def test_excerpts_have_a_length(corpus: Path, sample_s: float) -> None:
    with pytest.raises(ConfigError, match=f"--sample-s must be a number of seconds above 0: got {sample_s:g}"):
        plan([str(corpus)], build_config("builtin"), workers=1, on_gpu=False, sample_s=sample_s)


def test_a_corpus_without_a_video_that_opens_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"nothing")
    with pytest.raises(PipelineError, match="None of 1 videos"):
        plan([str(tmp_path)], build_config("builtin"), workers=1, on_gpu=False)


def test_an_excerpt_holds_the_frames_from_a_key_frame_on(corpus: Path, tmp_path: Path) -> None:
    written = copy_excerpt(str(corpus / "10.mp4"), tmp_path / "part.mkv", start_s=5.0, seconds=2.0)
    facts = probe(str(tmp_path / "part.mkv"))[0].measured
    assert facts.duration_s == pytest.approx(written, abs=0.2)
    assert 2.0 <= written <= 5.5
