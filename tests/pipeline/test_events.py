"""Events reach the log and the trace, from this process and from others through the bank."""

import json
from pathlib import Path

import pytest

from pipeline import events
from pipeline.bank.manifest import create_or_open
from pipeline.config import ExtractConfig
from pipeline.errors import InputError
from pipeline.events import EventFiles, step_event
from pipeline.isolation import Answer, CallError
from pipeline.settings import RunSettings
from pipeline.timing import Span, Times

TIMES = Times(stage_s={"decode": 0.5, "shots": 0.25}, spans=(Span("decode", 1000.0, 0.5), Span("shots", 1000.5, 0.25)))
GOOD = Answer(result=1, began_s=1000.0, wall_s=0.75, times=TIMES, pid=77, peak_rss_bytes=100 << 20)
ERROR = CallError(error_class="Crashed", message="died of SIGSEGV", stage="clips", at_s=12.5)
BAD = Answer(error=ERROR, began_s=1001.0, wall_s=0.5, pid=78)


@pytest.fixture
def settings(tmp_path: Path) -> RunSettings:
    create_or_open(str(tmp_path / "bank"))
    return RunSettings(
        run_id="run-1",
        bank=str(tmp_path / "bank"),
        config=ExtractConfig(preset="test", stages=()),
        has_log=True,
        has_trace=True,
    )


def send(settings: RunSettings) -> None:
    events.send(settings, step_event(settings, "extract", "a.mp4", 3, GOOD))
    events.send(settings, step_event(settings, "publish", 'b"\n.mp4', None, BAD))
    events.flush(settings)


def check(log: Path, trace: Path) -> None:
    good, bad = (line for line in map(json.loads, log.read_text().splitlines()) if "step" in line)
    assert (good["event"], good["step"], good["video_id"], good["segment"]) == ("step done", "extract", "a.mp4", 3)
    assert good["time"] == "1970-01-01T00:16:40.750Z"
    assert good["stage_s"] == {"decode": 0.5, "shots": 0.25}
    assert (good["run"], good["process"], good["peak_mb"], good["seconds"]) == ("run-1", 77, 100, 0.75)
    assert "spans" not in good
    assert (bad["event"], bad["video_id"]) == ("step failed", 'b"\n.mp4')
    assert (bad["error"]["class"], bad["error"]["stage"], bad["error"]["at_s"]) == ("Crashed", "clips", 12.5)
    spans = [entry for entry in json.loads(trace.read_text()) if entry["ph"] == "X"]
    assert [(span["name"], span["tid"], span["ts"], span["dur"]) for span in spans] == [
        ("extract", 77, 1_000_000_000, 750_000),
        ("decode", 77, 1_000_000_000, 500_000),
        ("shots", 77, 1_000_500_000, 250_000),
        ("publish", 78, 1_001_000_000, 500_000),
    ]
    assert spans[-1]["args"]["error"] == "Crashed: died of SIGSEGV"
    assert len({span["pid"] for span in spans}) == 1


def test_events_of_this_process_are_written_at_once(settings: RunSettings, tmp_path: Path) -> None:
    log, trace = tmp_path / "run.log", tmp_path / "trace.json"
    log.write_text('{"event": "of an earlier run"}\n')
    with EventFiles(settings, str(log), str(trace)) as files:
        files.say("run started", videos=2)
        send(settings)
        assert len(log.read_text().splitlines()) == 4, "before the run ends"
        assert json.loads(trace.read_text() + "]"), "a trace that breaks off here opens too"
    check(log, trace)
    assert not (tmp_path / "bank/_runs").exists()


def test_events_of_other_processes_come_through_the_bank(settings: RunSettings, tmp_path: Path) -> None:
    send(settings)  # no EventFiles here: as in a worker elsewhere
    (left,) = (tmp_path / "bank/_runs/run-1.events").iterdir()
    assert len(json.loads(left.read_text())) == 2
    log, trace = tmp_path / "run.log", tmp_path / "trace.json"
    with EventFiles(settings, str(log), str(trace)):
        pass
    check(log, trace)
    assert not left.parent.exists()


def test_a_file_that_cannot_be_written_is_named_before_anything_starts(settings: RunSettings, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"--trace.*nowhere"):
        EventFiles(settings, None, str(tmp_path / "nowhere/trace.json"))
