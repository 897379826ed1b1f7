"""bank.json: created once, versioned, and clear about what is wrong."""

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.bank import FeatureBank
from pipeline.bank.errors import BankError, BankVersionError, NotABankError, UnknownNameError
from pipeline.bank.manifest import create_or_open, open_manifest
from pipeline.bank.writer import BankWriter


def test_a_new_folder_becomes_a_bank_and_is_opened_again(tmp_path: Path) -> None:
    manifest = create_or_open(tmp_path / "new" / "bank")
    manifest.register_space("clip.x", 8, {"weights": "none"})
    manifest.record_run({"preset": "builtin"}, {"w": "00ff"}, {"numpy": "2"})
    again = create_or_open(tmp_path / "new" / "bank")
    assert again.spaces == {"clip.x": {"dim": 8, "provenance": {"weights": "none"}}}
    assert again.runs == [{"config": {"preset": "builtin"}, "weights": {"w": "00ff"}, "versions": {"numpy": "2"}}]
    assert not list((tmp_path / "new" / "bank").glob("*.tmp"))


def test_an_equal_run_is_recorded_once(tmp_path: Path) -> None:
    manifest = create_or_open(tmp_path)
    for preset in ("a", "a", "b"):
        manifest.record_run({"preset": preset, "sizes": (1, 2)})
    assert [run["config"]["preset"] for run in open_manifest(tmp_path).runs] == ["a", "b"]


def test_two_manifests_of_a_bank_do_not_undo_each_other(tmp_path: Path) -> None:
    one, two = create_or_open(tmp_path), create_or_open(tmp_path)
    one.register_space("a", 1)
    two.register_space("b", 2)
    assert set(open_manifest(tmp_path).spaces) == {"a", "b"}
    assert one.dim_of("b") == 2


def test_another_dim_is_refused_with_both_named(tmp_path: Path) -> None:
    manifest = create_or_open(tmp_path)
    manifest.register_space("clip.x", 8)
    with pytest.raises(BankError, match=r"got dim 9, expected 8.*another space name"):
        manifest.register_space("clip.x", 9)
    with pytest.raises(BankError, match="feature space"):
        manifest.register_space("../x", 8)
    with pytest.raises(UnknownNameError, match=r"No space 'clip.y'.*clip.x"):
        manifest.dim_of("clip.y")


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    create_or_open(tmp_path)
    content = json.loads((tmp_path / "bank.json").read_text())
    (tmp_path / "bank.json").write_text(json.dumps({**content, "format_version": 2}))
    for opened in (FeatureBank.open, BankWriter.open, create_or_open):
        with pytest.raises(BankVersionError, match=r"version 2, expected at most 1.*Upgrade"):
            opened(tmp_path)


@pytest.mark.parametrize(
    "text",
    ["", "{", '{"format": "longform-bank", "for', "[]", '{"a": 1}', '{"format": "longform-bank"}',
     '{"format": "longform-bank", "format_version": 1}', "\ufeff\x00",
     '{"format": "longform-bank", "format_version": 1, "runs": [], "spaces": {"a": {}}}'],
)  # fmt: skip
def test_a_damaged_manifest_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "bank.json").write_text(text)
    with pytest.raises(NotABankError, match=r"bank\.json"):
        FeatureBank.open(tmp_path)


@pytest.mark.parametrize("place", ["missing", "empty", "file"])
def test_what_is_no_bank_is_not_opened(tmp_path: Path, place: str) -> None:
    path: Any = tmp_path / place
    if place == "empty":
        path.mkdir()
    if place == "file":
        path.write_text("x")
    with pytest.raises(NotABankError, match="expected the folder"):
        FeatureBank.open(path)


def test_a_folder_with_other_things_does_not_become_a_bank(tmp_path: Path) -> None:
    (tmp_path / "holiday.mp4").write_text("x")
    with pytest.raises(NotABankError, match=r"holiday\.mp4"):
        create_or_open(tmp_path)
    assert not (tmp_path / "bank.json").exists()


def test_a_kill_while_the_bank_was_made_does_not_spoil_the_folder(tmp_path: Path) -> None:
    (tmp_path / "_bank.json.0123.tmp").write_text("{")
    (tmp_path / "_locks").mkdir()
    assert create_or_open(tmp_path).spaces == {}
