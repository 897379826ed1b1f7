"""Which failed videos a retry takes."""

from pathlib import Path

import pytest

from pipeline.bank.errors import NotABankError
from pipeline.bank.manifest import create_or_open
from pipeline.bank.writer import BankWriter
from pipeline.errors import ConfigError, InputError
from pipeline.inputs import find_videos
from pipeline.retry import parse_kind, plan_retry


@pytest.fixture
def bank(tmp_path: Path) -> str:
    """Four failed videos, one of them gone, and one good one."""
    create_or_open(str(tmp_path / "bank"))
    writer = BankWriter.open(str(tmp_path / "bank"))
    for name, stage, error in (
        ("a", "decode", "DecodeError"),
        ("b", "decode", "Crashed"),
        ("c", "clips", "Crashed"),
        ("gone", "clips", "Stalled"),
        ("good", None, None),
    ):
        path = tmp_path / f"{name}.mp4"
        if name != "gone":
            path.write_bytes(b"video")
        row = {"video_id": name, "uri": str(path), "stages": [], "status": "failed" if stage else "ok"}
        writer.commit(row | {"error_stage": stage, "error_class": error, "error_message": stage and "it failed"})
    return str(tmp_path / "bank")


@pytest.mark.parametrize(
    ("kinds", "expected"),
    [
        (["all"], ["a", "b", "c", "gone"]),
        (["stage=decode"], ["a", "b"]),
        (["class=Crashed"], ["b", "c"]),
        (["stage=decode", "class=Crashed"], ["a", "b", "c"]),
    ],
)
def test_the_failures_of_a_kind(bank: str, kinds: list[str], expected: list[str]) -> None:
    plan = plan_retry(bank, kinds, [])
    assert [video.video_id for video in plan.videos] == expected
    assert [video.video_id for video in plan.todo] == [name for name in expected if name != "gone"]
    assert plan.gone == [name for name in expected if name == "gone"]


def test_given_videos_limit_it_and_say_where_they_are_now(bank: str, tmp_path: Path) -> None:
    (tmp_path / "moved").mkdir()
    for name in ("gone", "good"):
        (tmp_path / f"moved/{name}.mp4").write_bytes(b"video")
    listing = tmp_path / "list.csv"
    listing.write_text("video_id,uri\n" + "".join(f"{name},moved/{name}.mp4\n" for name in ("gone", "good")))
    plan = plan_retry(bank, ["all"], find_videos([str(listing)]).videos)
    assert [(video.video_id, Path(video.uri).parent.name) for video in plan.todo] == [("gone", "moved")]


def test_what_cannot_be_retried_says_what_there_is(bank: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"No video failed with stage=clip. .*1 with stage=decode class=DecodeError"):
        plan_retry(bank, ["stage=clip"], [])
    with pytest.raises(InputError, match="Cannot retry gone"):
        plan_retry(bank, ["class=Stalled"], [])
    with pytest.raises(NotABankError):
        plan_retry(str(tmp_path / "none"), ["all"], [])
    create_or_open(str(tmp_path / "empty"))
    assert plan_retry(str(tmp_path / "empty"), ["all"], []).videos == ()


@pytest.mark.parametrize("text", ["decode", "stage=", "=decode", "reason=x", ""])
def test_a_kind_that_is_none(text: str) -> None:
    with pytest.raises(ConfigError, match="all, stage=NAME or class=NAME"):
        parse_kind(text)
