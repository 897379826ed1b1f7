"""From pixels to nine tasks: steps are done once, and every command is one that exists."""

import json
import shlex
import subprocess
from dataclasses import asdict
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from benchmarks.lvu import from_pixels
from benchmarks.lvu.from_pixels import COMMANDS, HALVES, NETWORK, Sizes, chance, run, show
from benchmarks.lvu.synthetic.films import FilmConfig, screenplays
from benchmarks.lvu.synthetic.split_files import write_split_files
from longform.datasets.lvu import TASKS
from pipeline.cli import parser


def test_commands_of_longform_are_understood() -> None:
    for template in chain.from_iterable(COMMANDS.values()):
        words = shlex.split(template.format(out="out", network=NETWORK, **asdict(Sizes())))
        if words[0] == "longform":
            assert parser().parse_args(words[1:]).command == words[1]


def test_steps_that_are_done_are_not_done_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A failed step is run again with those after it, and one with other sizes."""
    ran: list[str] = []
    fails = {"two"}

    def pretend(commands: list[str]) -> dict[str, float]:
        ran.append(" ".join(command.split()[-1] for command in commands))
        if ran[-1] in fails:
            raise subprocess.CalledProcessError(1, commands)
        return {"minutes": 1.0, "cpu_minutes": 0.5}

    monkeypatch.setattr(
        from_pixels, "COMMANDS", {"a": ("python one",), "b": ("python {films} two",), "c": ("python 3", "python 4")}
    )
    monkeypatch.setattr(from_pixels, "_timed", pretend)
    _results(tmp_path)
    with pytest.raises(subprocess.CalledProcessError):
        run(tmp_path, Sizes())
    fails.clear()
    report = run(tmp_path, Sizes())
    assert ran == ["one", "two", "two", "3 4"]
    assert report["steps"]["b"] == {"commands": [f"python {Sizes().films} two"], "minutes": 1.0, "cpu_minutes": 0.5}
    run(tmp_path, Sizes(films=5))
    assert ran[4:] == ["two", "3 4"]


def _results(folder: Path) -> None:
    labels = {name: play.labels for name, play, _ in screenplays(FilmConfig(videos=30))}
    write_split_files(folder / "films" / "lvu_1.0", labels, (0.6, 0.2, 0.2))
    lost = {"films": 6, "cuts": {}, "people": {}, "read": {}, "oracle": dict.fromkeys(TASKS, 1.0)}
    (folder / "ceilings.json").write_text(json.dumps(lost))
    row = {"task": "scene", "metric": "top1", "value": 77.5, "std_error": 0.5, "seeds": 2, "num_videos": 6,
           "num_missing": 0, "model": "average-pool", "masked_at_test": False}  # fmt: skip
    for name in HALVES:
        (folder / name).mkdir()
        (folder / name / "results.jsonl").write_text(json.dumps(row) + "\n")


def test_the_table_has_chance_and_the_oracle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(from_pixels, "COMMANDS", {})
    _results(tmp_path)
    console = Console(record=True, width=160, quiet=False)
    show(run(tmp_path, Sizes()), console)
    text = console.export_text()
    assert "77.5±0.5" in text
    assert "chance" in text
    assert "oracle on the bank" in text


def test_chance(tmp_path: Path) -> None:
    _results(tmp_path)
    annotations = tmp_path / "films" / "lvu_1.0"
    assert chance(annotations, TASKS["writer"]) == pytest.approx(100 / 7)
    labels = [play.labels for _, play, _ in screenplays(FilmConfig(videos=30))]
    logs = np.log([label.views for label in labels])
    expected = np.mean((logs[24:] - logs[:18].mean()) ** 2)
    assert chance(annotations, TASKS["view_count"]) == pytest.approx(expected)


def test_a_command_that_fails_stops_the_sequence() -> None:
    """Both of a step are waited for."""
    with pytest.raises(subprocess.CalledProcessError, match="exit status 3"):
        from_pixels._timed(["python -c 'raise SystemExit(3)'", "python -c 'pass'"])
