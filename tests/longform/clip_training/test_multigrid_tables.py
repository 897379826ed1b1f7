"""What multigrid schedules save, against the figures of the thesis's Tables 6.1 to 6.10."""

import json

import pytest

from benchmarks.multigrid import tables
from longform.published_multigrid import ROWS, SETTINGS, multigrid_of


@pytest.fixture(scope="module")
def lines() -> list[tables.Line]:
    return tables.lines()


def test_every_table_is_there(lines: list[tables.Line]) -> None:
    assert {line.row.table.split()[0].rstrip("abc") for line in lines} == {
        "6.1", "6.2", "6.4", "6.5", "6.6", "6.7", "6.8", "6.9", "6.10"
    }  # fmt: skip
    assert len(lines) == len(ROWS) == 46


def test_steps_are_those_of_the_thesis(lines: list[tables.Line]) -> None:
    printed = [line for line in lines if line.row.steps_ratio]
    assert len(printed) == 23
    for line in printed:
        assert line.row.steps_ratio == pytest.approx(line.fewer_steps, abs=0.051), line.row


def test_epochs_of_the_baselines_are_those_of_the_thesis() -> None:
    """Sections 6.2, 6.2.4 and 6.3."""
    epochs = {
        name: setting.steps * setting.clips.batch / setting.videos
        for name, setting in SETTINGS.items()
        if name in ("SlowFast", "I3D", "I3D 1 GPU")
    }
    assert epochs == {"SlowFast": pytest.approx(239, abs=0.5), "I3D": pytest.approx(106, abs=1), "I3D 1 GPU": 40}


def test_multigrid_sees_the_clips_asked_for(lines: list[tables.Line]) -> None:
    for line in lines:
        if line.row.multigrid is not None and line.row.steps_of is None:
            setting, factor = SETTINGS[line.row.setting], line.row.multigrid.get("epoch_factor", 1.5)
            assert line.work.clips == pytest.approx(factor * setting.steps * setting.clips.batch, rel=5e-3)


def test_a_step_costs_about_the_same_whatever_its_shape(lines: list[tables.Line]) -> None:
    """Equation 6.1; sizes that 32 does not divide are padded, so small pictures cost up to 6 % more."""
    for line in lines:
        assert 0.94 < line.less_macs / line.fewer_steps < 1.001, line.row


def test_multiply_adds_are_summed_over_the_steps() -> None:
    setting = SETTINGS["Charades"]
    schedule = multigrid_of(setting, {})
    macs = sum(
        shape.batch * tables._macs(setting, shape.frames, shape.size)
        for shape in map(schedule.shape, range(schedule.steps))
    )
    work = tables.multigrid_work(setting, schedule)
    assert (work.macs, work.clips) == (macs, schedule.first_example(schedule.steps))


def test_prints_lines_of_120_columns(capsys: pytest.CaptureFixture[str]) -> None:
    tables.show(as_json=False)
    printed = capsys.readouterr().out.splitlines()
    assert max(map(len, printed)) <= 120
    row = next(line.split() for line in printed if line.startswith("6.1a") and "default" in line)
    assert row[-9:] == ["358", "32.7", "86.0", "0.863", "3.43", "3.4", "3.34", "4.5", "76.4"]
    tables.show(as_json=True)
    assert json.loads(capsys.readouterr().out)[4]["less_macs"] == pytest.approx(3.34, abs=0.005)
