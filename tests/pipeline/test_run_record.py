"""Records of runs: what is written is read, the last one is found, what is wrong is named."""

from pathlib import Path

import pytest

from pipeline.bank.errors import BankError, NotABankError, UnknownNameError
from pipeline.bank.manifest import create_or_open
from pipeline.bank.verify import verify
from pipeline.run_record import DONE, RUNNING, RunMetrics, RunRecord, Timing, begun, new_run_id, read_run, utc
from pipeline.run_tables import print_run

METRICS = RunMetrics(
    counters={"frames_decoded": 50, "milliseconds_of_video": 2500},
    steps={"probe": Timing(2, 0.5, 0.2, 0.3)},
    stages={"probe": {"probe": Timing(2, 0.4, 0.15, 0.25)}},
)
OK = {"status": "ok", "error_stage": None, "error_class": None}
CRASHED = {"status": "failed", "error_stage": "clips", "error_class": "Crashed"}


def saved(bank: Path, run: str, to_do: int = 4) -> RunRecord:
    manifest = create_or_open(str(bank))
    record = begun(run, preset="builtin", runner="FnApiRunner", workers=2, to_do=to_do)
    record.save(manifest.fs, manifest.root)
    return record


def test_what_is_written_is_read(tmp_path: Path) -> None:
    record = saved(tmp_path, "a")
    assert read_run(tmp_path, "a") == record
    assert record.state == RUNNING
    manifest = create_or_open(str(tmp_path))
    record = record.at_end([OK, CRASHED, CRASHED, OK | {"status": "failed"}], METRICS, 12.5)
    record.save(manifest.fs, manifest.root)
    assert read_run(tmp_path, "a") == record
    assert (record.state, record.videos, record.video_s) == (DONE, {"to_do": 4, "ok": 1, "failed": 3}, 2.5)
    assert record.failures[0] == {"stage": "clips", "class": "Crashed", "videos": 2}
    assert verify(tmp_path).is_whole
    assert not verify(tmp_path).warnings


def test_the_last_run_and_unknown_ones(tmp_path: Path) -> None:
    with pytest.raises(NotABankError):
        read_run(tmp_path, "last")
    create_or_open(str(tmp_path))
    with pytest.raises(UnknownNameError, match="no run is recorded"):
        read_run(tmp_path, "last")
    for run in ("20260101T000000Z-b", "20260201T000000Z-a"):
        saved(tmp_path, run)
    assert read_run(tmp_path, "last").run == "20260201T000000Z-a"
    with pytest.raises(UnknownNameError, match="20260101T000000Z-b, 20260201T000000Z-a"):
        read_run(tmp_path, "../bank")
    (tmp_path / "_runs/20260301T000000Z-c.json").write_text("{}")
    with pytest.raises(BankError, match=r"20260301T000000Z-c\.json"):
        read_run(tmp_path, "last")


def test_a_run_that_did_not_end_and_one_that_broke_off_say_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = saved(tmp_path, "a")
    print_run(record)
    assert "it is at work, or was killed" in capsys.readouterr().out
    print_run(record.broken_off(OSError("no space left"), 3.0))
    assert "broke off: no space left" in capsys.readouterr().out


def test_timings_of_several_workers_are_one() -> None:
    together = Timing(2, 3.0, 1.0, 2.0) + Timing(1, 0.5, 0.5, 0.5)
    assert together == Timing(3, 3.5, 0.5, 2.0)
    assert together.mean_s == pytest.approx(3.5 / 3)


def test_names_and_times() -> None:
    assert new_run_id() != new_run_id()
    assert utc(0.0014) == "1970-01-01T00:00:00.001Z"
    assert utc(1.9996) == "1970-01-01T00:00:02.000Z"
