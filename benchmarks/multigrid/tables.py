"""Steps, clips and multiply-adds of every training in Tables 6.1 to 6.10 of the thesis, beside its figures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

import torch

from extractors.backbones.catalog import build_backbone
from extractors.complexity import count
from longform.clip_training.multigrid import Multigrid
from longform.published_multigrid import ROWS, SETTINGS, Setting, TrainingRow, multigrid_of
from pipeline import printing

COLUMNS = 120
HEADINGS = (
    ("table", 16), ("network, data", 15), ("training", 26), (">epochs", 6), (">steps", 6), (">clips", 6), (">EMac", 7),
    (">fewer", 5), (">publ", 4), (">less", 5), (">faster", 6), (">acc", 4),
)  # fmt: skip
"""Columns and their widths."""

LEGEND = """
epochs: clips of the training set seen, over its size. steps: thousands. clips: millions. EMac: forward multiply-adds of
the whole training, in 1e18. fewer: steps of the full baseline over steps here; publ: the same where printed.
less: multiply-adds of the full baseline over those here. faster: published wall-clock time of the full baseline over
that of this training, on P100 GPUs. acc: published top-1, Charades mAP. Table 6.3 is a network and has no figures.
Table 6.10 does not say how many long cycles a cosine has; counted: 3 and the fine-tuning, all of the same length."""


@dataclass(frozen=True, kw_only=True)
class Work:
    """What a training does."""

    steps: int
    clips: int
    macs: int
    """Multiply-adds of all forward passes; backward passes take twice as many in every training."""


@dataclass(frozen=True, kw_only=True)
class Line:
    """A row of the thesis with what its schedule comes to."""

    row: TrainingRow
    work: Work
    epochs: float
    fewer_steps: float
    """Over the full baseline, as the two below."""
    less_macs: float

    def to_json(self) -> dict[str, Any]:
        """All fields, flat."""
        fields = {name: value for name, value in asdict(self.row).items() if value is not None}
        ours = {"epochs": self.epochs, "fewer_steps": self.fewer_steps, "less_macs": self.less_macs}
        return fields | asdict(self.work) | ours


def lines() -> list[Line]:
    """Every row of the tables."""
    return [_line(row) for row in ROWS]


def _line(row: TrainingRow) -> Line:
    setting = SETTINGS[row.setting]
    full = baseline_work(setting, setting.steps)
    work = _work(setting, row)
    return Line(
        row=row,
        work=work,
        epochs=work.clips / setting.videos,
        fewer_steps=full.steps / work.steps,
        less_macs=full.macs / work.macs,
    )


def _work(setting: Setting, row: TrainingRow) -> Work:
    same = None if row.steps_of is None else multigrid_of(setting, row.steps_of).steps
    if row.multigrid is None:
        return baseline_work(setting, same or setting.steps)
    schedule = multigrid_of(setting, row.multigrid)
    if same is not None:
        factor = schedule.epoch_factor * same / schedule.steps
        schedule = multigrid_of(setting, {**row.multigrid, "epoch_factor": factor})
    return multigrid_work(setting, schedule)


def baseline_work(setting: Setting, steps: int) -> Work:
    """The baseline for so many steps."""
    clips = steps * setting.clips.batch
    return Work(steps=steps, clips=clips, macs=clips * _macs(setting, setting.clips.frames, setting.clips.size))


def multigrid_work(setting: Setting, schedule: Multigrid) -> Work:
    """A whole multigrid training."""
    clips = clips_by_shape(schedule)
    return Work(
        steps=schedule.steps,
        clips=sum(clips.values()),
        macs=sum(number * _macs(setting, frames, size) for (frames, size), number in clips.items()),
    )


def clips_by_shape(schedule: Multigrid) -> Mapping[tuple[int, int], int]:
    """Clips of a training by (frames, size)."""
    clips: Counter[tuple[int, int]] = Counter()
    for phase in schedule.phases:
        for shape in phase.shapes:
            clips[shape.frames, shape.size] += phase.steps // len(phase.shapes) * shape.batch
    return clips


def _macs(setting: Setting, frames: int, size: int) -> int:
    return _counted(setting.model, tuple(setting.options.items()), frames, size)


@cache
def _counted(model: str, options: tuple[tuple[str, Any], ...], frames: int, size: int) -> int:
    """Multiply-adds of one clip; the head pools over all there is, since clips change their size."""
    with torch.device("meta"):
        network = build_backbone(model, **{**dict(options), "head": "global"}).eval()
    return count(network, (1, 3, frames, size, size)).macs


def show(*, as_json: bool) -> None:
    """Print all rows."""
    found = lines()
    if as_json:
        printing.print_json([line.to_json() for line in found])
        return
    console = printing.console()
    console.width = COLUMNS
    table = printing.table(*(name for name, _ in HEADINGS), widths=[width for _, width in HEADINGS])
    table.collapse_padding = True
    for line in found:
        printing.add_row(table, *_cells(line), style="" if line.row.multigrid is None else "bold")
    console.print(table)
    console.print(LEGEND, style="dim")


def _cells(line: Line) -> list[str]:
    row, work = line.row, line.work
    return [
        row.table,
        row.setting,
        row.name,
        f"{line.epochs:.0f}",
        f"{work.steps / 1e3:.1f}",
        f"{work.clips / 1e6:.1f}",
        f"{work.macs / 1e18:.3g}",
        f"{line.fewer_steps:.2f}",
        f"{row.steps_ratio:.1f}" if row.steps_ratio else "",
        f"{line.less_macs:.2f}",
        f"{row.speedup:.1f}" if row.speedup else "",
        f"{row.accuracy:.1f}",
    ]
