"""`longform report`: what it writes, what it says, and what it refuses."""

import argparse
import json
import re
from pathlib import Path
from typing import Any

import pytest

from longform.report.command import report, write_report
from longform.report.errors import ReportError
from longform.report.limits import Limits
from pipeline.bank.errors import NotABankError, UnknownNameError


def run(bank: Path, output: Path, **more: Any) -> int:
    options = {"bank": str(bank), "output": str(output), "video": None, "space": None, "max_videos": 100,
               "pictures": 1200, "json": False, "explain": [], "masked": [], **more}  # fmt: skip
    return report(argparse.Namespace(**options))


def blocks(page: Path) -> dict[str, Any]:
    found = re.findall(r'<script type="application/json" id="([\w-]+)">(.*?)</script>', page.read_text())
    return {name: json.loads(text) for name, text in found}


def test_json_says_what_was_written(bank: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "page.html"
    assert run(bank, page, json=True) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["bytes"] == page.stat().st_size
    assert (said["videos"], said["listed"]) == (100, 123)
    assert said["spaces"] == ["clip.test", "person.test"]
    found = blocks(page)
    assert sum(len(block.get("pictures", {}).get("data", [])) for name, block in found.items() if name != "bank") == 8
    assert said["pictures"] == found["bank"]["pictures"] == 8
    assert len(said["without_pictures"]) == 99
    assert all("No file at" in line for line in said["without_pictures"])


def test_the_summary_names_the_page_and_what_is_missing(
    bank: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(bank, tmp_path / "page.html", max_videos=2) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith(f"{tmp_path / 'page.html'}: 2 of 123 videos, 8 pictures, ")
    assert second.startswith("No pictures: No file at")
    assert run(bank, tmp_path / "page.html") == 0
    lines = capsys.readouterr().out.splitlines()
    assert (len(lines), lines[-1]) == (7, "... and 94 more; --json names them all")
    assert run(bank, tmp_path / "page.html", pictures=0) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1


def test_pictures_are_shared_and_can_be_none(bank: Path, tmp_path: Path) -> None:
    pictures = [
        write_report(str(bank), str(tmp_path / "page.html"), video="film.mov", limits=Limits(pictures=most)).pictures
        for most in (0, 3, 100)
    ]
    assert pictures == [0, 3, 8]


def test_videos_that_are_gone_take_no_pictures_from_the_others(bank: Path, tmp_path: Path) -> None:
    limits = Limits(videos=100, pictures=10)
    assert write_report(str(bank), str(tmp_path / "page.html"), limits=limits).pictures == 8


def test_one_video_and_one_space(bank: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    written = write_report(str(bank), str(page), video="film.mov", space="person.test")
    found = blocks(page)
    assert [entry["video_id"] for entry in found["bank"]["list"]] == ["film.mov"]
    assert written.spaces == [one["name"] for one in found["bank"]["maps"]] == ["person.test"]
    assert set(found) == {"bank", "video-0"}


def test_a_failed_video_has_a_page_too(bank: Path, tmp_path: Path) -> None:
    written = write_report(str(bank), str(tmp_path / "page.html"), video="broken.mp4")
    assert (written.videos, written.listed, written.spaces) == (0, 1, [])


def test_the_same_bank_gives_the_same_page(bank: Path, tmp_path: Path) -> None:
    for name in ("a.html", "b.html"):
        write_report(str(bank), str(tmp_path / name))
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()


def test_unknown_names_are_refused_and_nothing_is_written(bank: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    with pytest.raises(UnknownNameError, match=r"film\.mov"):
        write_report(str(bank), str(page), video="film.mp4")
    with pytest.raises(UnknownNameError, match=r"clip\.test"):
        write_report(str(bank), str(page), space="clip.other")
    with pytest.raises(NotABankError):
        write_report(str(tmp_path), str(page))
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_refused(bank: Path, tmp_path: Path) -> None:
    (tmp_path / "folder.html").mkdir()
    for place in (tmp_path / "missing" / "page.html", tmp_path / "folder.html"):
        with pytest.raises(ReportError, match="Give another place with -o"):
            write_report(str(bank), str(place), video="broken.mp4")
    assert [path.name for path in tmp_path.iterdir()] == ["folder.html"]
