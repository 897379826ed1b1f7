"""`longform weights` as a user runs it: what it prints, its JSON, and its exit status."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest

from extractors.weights.cards import CARDS
from pipeline.cli import main

NAME = "slowfast_8x8_r50_k400"


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LONGFORM_WEIGHTS", str(tmp_path / "store"))


@pytest.fixture
def downloaded(tmp_path: Path) -> Path:
    path = tmp_path / "SLOWFAST_8x8_R50 (1).pkl"
    path.write_bytes(pickle.dumps({"blobs": {"conv1_w": np.zeros(3, np.float32)}}, 2))
    return path


def listed(capsys: pytest.CaptureFixture[str], *words: str) -> list[dict]:
    assert main(["weights", *words, "--json"]) in (0, 1)
    return json.loads(capsys.readouterr().out)


def test_the_list_has_every_card_and_what_is_here(downloaded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = listed(capsys, "list")
    assert [entry["name"] for entry in before] == list(CARDS)
    public = [entry for entry in before if not CARDS[entry["name"]].packaged]
    assert all(entry["path"] is None and entry["sha256"] is None for entry in public)
    assert all(entry["url"].startswith("https://") and entry["licence"] for entry in public)
    (added,) = listed(capsys, "add", NAME, str(downloaded))
    (here,) = [entry for entry in listed(capsys, "list") if entry["path"] and not CARDS[entry["name"]].packaged]
    assert here == added
    assert (here["name"], here["model"], here["options"]) == (NAME, "slowfast_8x8_r50", {"lateral_kernel": 7})
    assert Path(here["path"]).read_bytes() == downloaded.read_bytes()
    assert len(here["sha256"]) == 64


def test_the_table_is_narrow_and_marks_what_is_here(downloaded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["weights", "add", NAME, str(downloaded)]) == 0
    assert "sha256" in capsys.readouterr().out
    assert main(["weights", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines[:-2])) <= 100
    assert all(any(f" {name} " in line for line in lines) for name in CARDS)
    packaged = [name for name in CARDS if CARDS[name].packaged]
    assert [line.split()[1] for line in lines if line.startswith("* ")] == [*packaged, NAME]
    assert any(line.startswith(f"{1 + len(packaged)} of {len(CARDS)} are here") for line in lines)


def test_verify_finds_a_changed_file(downloaded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (packaged,) = listed(capsys, "verify")
    assert (packaged["name"], packaged["status"]) == ("slowfast_compact_motions", "ok")
    (entry,) = listed(capsys, "add", NAME, str(downloaded))
    assert main(["weights", "verify"]) == 0
    assert capsys.readouterr().out.startswith("ok ")
    Path(entry["path"]).write_bytes(b"\x80\x02]}.")
    assert main(["weights", "verify", NAME]) == 1
    assert entry["sha256"] in capsys.readouterr().out
    (check,) = listed(capsys, "verify", NAME)
    assert (check["status"], check["expected"]) == ("changed", entry["sha256"])


def test_fetch_says_what_to_download_by_hand(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["weights", "fetch", "s3d_k400_kylemin"]) == 1
    error = capsys.readouterr().err
    assert CARDS["s3d_k400_kylemin"].url in error
    assert "longform weights add s3d_k400_kylemin FILE" in error
    assert main(["weights", "fetch", "slowfast_8x8_r50_k40"]) == 1
    assert f"Did you mean: {NAME}" in capsys.readouterr().err


def test_another_folder_can_be_named(downloaded: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (added,) = listed(capsys, "add", NAME, str(downloaded), "--store", str(tmp_path / "other"))
    assert added["path"] == str(tmp_path / "other" / NAME / "SLOWFAST_8x8_R50.pkl")
