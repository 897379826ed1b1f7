"""What a run says of itself: counters equal to the bank, a log line and a span for every step, a record; retries."""

import json
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest

from pipeline.bank.reader import FeatureBank
from pipeline.cli import main
from pipeline.config import ExtractConfig
from pipeline.errors import ConfigError, InputError
from pipeline.extract import ExtractReport, extract
from pipeline.presets import build_config
from pipeline.run_record import BROKE_OFF, DONE, RunRecord, read_run
from pipeline.sample.encode import Coding
from pipeline.sample.samples import make_clip
from tests.integration.test_extract import longform
from tests.integration.test_runners import ENVIRONMENT, cluster
from tests.integration.troublesome import TroubleConfig, TroubleStage

__all__ = ["cluster"]  # a fixture

STEPS = {"probe", "extract", "finish shots", "finish people", "finish clips", "finish tracks", "publish"}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two good videos, one of them of several segments, and one bad."""
    folder = tmp_path_factory.mktemp("corpus")
    make_clip(folder / "long.mp4", seconds=5, shots=3, figures=1, size_hw=(180, 320), coding=Coding(gop=12, bframes=2))
    make_clip(folder / "short.mkv", seconds=2, size_hw=(90, 160), seed=3)
    (folder / "bad.mp4").write_bytes(b"no video")
    return folder


@pytest.fixture(scope="module")
def done(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ExtractReport]:
    """The folder of a bank, a log and a trace of two workers; and the report."""
    folder = tmp_path_factory.mktemp("done")
    report = extract(
        [str(corpus)],
        str(folder / "bank"),
        build_config(segment_s=1.0),
        workers=2,
        quiet=True,
        log=str(folder / "run.log"),
        trace=str(folder / "trace.json"),
    )
    return folder, report


def assert_equal_to_bank(counters: dict[str, int], bank: Path) -> None:
    opened = FeatureBank.open(bank)
    videos = [row for row in opened.videos().to_pylist() if row["status"] == "ok"]
    assert counters["videos_ok"] == len(videos)
    assert counters["milliseconds_of_video"] == sum(round(1000 * row["duration_s"]) for row in videos)
    assert counters["frames_in_video"] == sum(row["num_frames"] for row in videos)
    assert counters["frames_decoded"] >= counters["frames_in_video"]
    rows = {name: len(opened.table(name)) for name in ("shots", "detections", "tracks")}
    rows |= {f"features/{space}": info.rows for space, info in opened.spaces.items()}
    assert min(rows.values()) > 0
    assert {name.removeprefix("rows."): n for name, n in counters.items() if name.startswith("rows.")} == rows


def test_counters_equal_the_bank(done: tuple[Path, ExtractReport]) -> None:
    folder, report = done
    assert_equal_to_bank(report.counters, folder / "bank")
    assert report.counters["failed_steps.ProbeError"] == 1


def steps_in(log: Path) -> list[dict]:
    return [line for line in map(json.loads, log.read_text().splitlines()) if line["event"].startswith("step")]


def test_times_are_of_every_step_and_their_stages_make_them_up(done: tuple[Path, ExtractReport]) -> None:
    folder, report = done
    metrics = report.metrics
    assert set(metrics.steps) == STEPS
    assert metrics.steps["extract"].calls == report.counters["segments"] > 5
    assert {"decode", "shots", "people", "clips", "write"} < set(metrics.stages["extract"])
    for step, timing in metrics.steps.items():
        assert 0 < timing.min_s <= timing.mean_s <= timing.max_s <= timing.sum_s
        parts = metrics.stages[step].values()
        assert sum(part.sum_s for part in parts) == pytest.approx(timing.sum_s, rel=0.01, abs=1e-3)
    lines = steps_in(folder / "run.log")
    assert Counter(line["step"] for line in lines) == {step: timing.calls for step, timing in metrics.steps.items()}
    logged_s = sum(line["seconds"] for line in lines if line["step"] == "extract")
    assert logged_s == pytest.approx(metrics.steps["extract"].sum_s, abs=1e-3)


def test_every_line_of_the_log_names_its_video(done: tuple[Path, ExtractReport]) -> None:
    folder, report = done
    lines = list(map(json.loads, (folder / "run.log").read_text().splitlines()))
    assert {line["run"] for line in lines} == {report.run}
    assert [line["event"] for line in (lines[0], lines[-1])] == ["run started", "run done"]
    assert (lines[-1]["ok"], lines[-1]["failed"]) == (2, 1)
    published = {line["video_id"] for line in lines if line.get("step") == "publish"}
    assert published == {"long.mp4", "short.mkv"}
    (failed,) = (line for line in lines if line["event"] == "step failed")
    assert (failed["video_id"], failed["step"], failed["error"]["stage"]) == ("bad.mp4", "probe", "probe")
    assert failed["error"]["class"] == "ProbeError"
    assert "Traceback" in failed["error"]["traceback"]


def test_the_trace_has_a_thread_for_each_process_and_spans_that_nest(done: tuple[Path, ExtractReport]) -> None:
    folder, _ = done
    entries = json.loads((folder / "trace.json").read_text())
    spans = [entry for entry in entries if entry["ph"] == "X"]
    threads = {span["tid"] for span in spans}
    assert len(threads) == 2
    assert {entry["tid"] for entry in entries if entry["name"] == "thread_name"} == threads
    for thread in threads:
        ours = [(span["ts"], span["ts"] + span["dur"], "args" in span) for span in spans if span["tid"] == thread]
        steps = sorted((start, end) for start, end, is_step in ours if is_step)
        assert all(one[1] <= other[0] for one, other in pairwise(steps)), "one step at a time"
        for start, end, is_step in ours:
            assert is_step or any(step[0] - 2 <= start and end <= step[1] + 2 for step in steps)
    assert {span["name"] for span in spans if "args" in span} == STEPS
    assert {span["name"] for span in spans} >= {"decode", "shots", "people", "clips", "tracks", "write", "split"}


def test_inspect_run(done: tuple[Path, ExtractReport], capsys: pytest.CaptureFixture[str]) -> None:
    folder, report = done
    bank = str(folder / "bank")
    record = read_run(bank, "last")
    assert isinstance(record, RunRecord)
    assert (record.run, record.state, record.metrics) == (report.run, DONE, report.metrics)
    assert record.videos == {"to_do": 3, "ok": 2, "failed": 1}
    assert record.failures == ({"stage": "probe", "class": "ProbeError", "videos": 1},)
    assert record.video_s == pytest.approx(7, abs=0.01)
    assert main(["inspect", bank, "--run", report.run, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["metrics"]["counters"] == report.counters
    assert main(["inspect", bank, "--run", "last"]) == 0
    shown = capsys.readouterr().out
    assert "ProbeError" in shown
    assert "finish tracks" in shown
    assert main(["inspect", bank, "--run", "first"]) == 2
    assert report.run in capsys.readouterr().err


def test_a_call_that_finds_nothing_to_do_is_no_run(done: tuple[Path, ExtractReport], corpus: Path) -> None:
    folder, report = done
    again = extract([str(corpus / "short.mkv")], str(folder / "bank"), build_config(segment_s=1.0), quiet=True)
    assert (again.run, again.counters) == (None, {})
    assert read_run(folder / "bank", "last").run == report.run


def test_a_run_that_breaks_off_is_recorded(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="DaskRunner"):
        extract([str(corpus)], str(tmp_path), build_config(only=["shots"]), beam_args=["--runner=DaskRunner"])
    record = read_run(tmp_path, "last")
    assert (record.state, record.runner) == (BROKE_OFF, "DaskRunner")
    assert "DaskRunner" in (record.error or "")


@pytest.fixture
def troubled(tmp_path: Path) -> tuple[Path, Path, ExtractConfig]:
    """A bank with a crash, an exception and a bad file; the videos; a config under which all good files work."""
    videos, bank = tmp_path / "videos", tmp_path / "bank"
    videos.mkdir()
    for frames in (10, 11, 12):
        make_clip(videos / f"{frames}.mp4", seconds=frames / 25, size_hw=(64, 64), shots=1, seed=frames)
    (videos / "bad.mp4").write_bytes(b"no video")
    shots = build_config(only=["shots"]).stages
    trouble = TroubleStage(TroubleConfig(by_num_frames=((11, "crash"), (12, "raise"))))
    report = extract([str(videos)], str(bank), ExtractConfig(preset="test", stages=(*shots, trouble)), quiet=True)
    assert (report.ok, report.failed) == (1, 3)
    assert Counter({entry["class"]: entry["videos"] for entry in read_run(bank, "last").failures}) == {
        "Crashed": 1, "ValueError": 1, "ProbeError": 1,
    }  # fmt: skip
    return videos, bank, ExtractConfig(preset="test", stages=(*shots, TroubleStage()))


def failed_ids(bank: Path) -> list[str]:
    return [row["video_id"] for row in FeatureBank.open(bank).videos().to_pylist() if row["status"] == "failed"]


def test_a_retry_takes_the_failures_of_a_kind_and_any_run_takes_all(troubled: tuple) -> None:
    videos, bank, cured = troubled
    make_clip(videos / "new.mp4", seconds=0.4, size_hw=(64, 64), shots=1)
    report = extract([], str(bank), cured, retry=["class=Crashed"], quiet=True)
    assert (report.videos, report.ok, report.failed) == (1, 1, 0)
    assert failed_ids(bank) == ["12.mp4", "bad.mp4"]
    (videos / "bad.mp4").unlink()
    report = extract([], str(bank), cured, retry=["all"], quiet=True)
    assert (report.videos, report.ok, report.failed, report.counters["videos_probed"]) == (2, 1, 1, 1)
    assert failed_ids(bank) == ["bad.mp4"], "it is gone, and keeps its row"
    with pytest.raises(InputError, match=r"Cannot retry bad\.mp4"):
        extract([], str(bank), cured, retry=["stage=probe"], quiet=True)
    (videos / "bad.mp4").write_bytes((videos / "10.mp4").read_bytes())
    report = extract([str(videos)], str(bank), cured, quiet=True)
    assert (report.ok, report.up_to_date) == (5, 2), "the first video was made by another stage"
    assert extract([], str(bank), cured, retry=["all"], quiet=True).videos == 0
    with pytest.raises(ConfigError, match="two runs"):
        extract([], str(bank), cured, retry=["all"], repair=True, quiet=True)


def test_counters_logs_and_traces_come_back_from_the_portable_runner(
    cluster: list[str], corpus: Path, tmp_path: Path, done: tuple[Path, ExtractReport]
) -> None:
    bank, log, trace = tmp_path / "bank", tmp_path / "run.log", tmp_path / "trace.json"
    words = ["--bank", str(bank), "--segment-s", "1", "--workers", "2", "--log", str(log), "--trace", str(trace)]
    run = longform("extract", str(corpus), *words, "--quiet", "--json", *cluster, env=ENVIRONMENT)
    assert run.returncode == 1, run.stderr
    record, report = read_run(bank, "last"), done[1]
    assert record.runner == "PortableRunner"
    assert_equal_to_bank(record.metrics.counters, bank)
    assert json.loads(run.stdout)["counters"] == record.metrics.counters
    assert {step: timing.calls for step, timing in record.metrics.steps.items()} == {
        step: timing.calls for step, timing in report.metrics.steps.items()
    }
    assert Counter(line["step"] for line in steps_in(log)) == {
        step: timing.calls for step, timing in record.metrics.steps.items()
    }
    spans = [entry for entry in json.loads(trace.read_text()) if entry["ph"] == "X"]
    assert {span["name"] for span in spans} >= STEPS | {"decode", "write"}
    assert not list((bank / "_runs").glob("*.events"))
