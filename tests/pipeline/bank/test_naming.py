"""Video ids: injective, safe as file names, readable."""

import os
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.bank.errors import BankError
from pipeline.bank.naming import COMPACTED, file_stem, is_compacted, video_id_for
from pipeline.bank.schema import check_space_name, check_video_id

TRICKY = st.text(alphabet="aé/._-~%@ '\"\\\n2F7Ex", min_size=1, max_size=12)
PATHS = TRICKY | st.text(min_size=1, max_size=90).filter(lambda s: s.isprintable()) | (
    st.binary(min_size=1, max_size=300).map(os.fsdecode)
)  # fmt: skip


@pytest.mark.parametrize(
    ("path", "video_id"),
    [
        ("clip.mp4", "clip.mp4"),
        ("a/clip.mp4", "a~clip.mp4"),
        ("Zoë's day/1 2.mp4", "Zoë%27s%20day~1%202.mp4"),
        ("-rf.mp4", "-rf.mp4"),
        ("_x.mp4", "%5Fx.mp4"),
        ("../x.mp4", "%2E.~x.mp4"),
        ("a~b%20", "a%7Eb%2520"),
        ("a//b", "a~%2Fb"),
        (os.fsdecode(b"\xff.mp4"), "%FF.mp4"),
    ],
)
def test_examples(path: str, video_id: str) -> None:
    assert video_id_for(path) == video_id


def test_long_path_keeps_its_beginning_and_stays_distinct() -> None:
    long = "ü" * 200
    video_id = video_id_for(long)
    assert video_id.startswith("ü" * 60 + "~~")
    assert len(video_id.encode()) == 120 + 2 + 16
    assert video_id != video_id_for(long + "b")
    assert video_id_for("a" * 180) == "a" * 180


@pytest.mark.parametrize("path", ["", "a\ud800b"])
def test_no_id_without_a_byte_form(path: str) -> None:
    with pytest.raises(BankError, match="expected"):
        video_id_for(path)


@given(st.lists(PATHS, min_size=2, max_size=8, unique=True))
def test_ids_are_injective_and_safe(paths: list[str]) -> None:
    paths = [path for path in paths if not any("\ud800" <= char < "\udc80" for char in path)]
    ids = [video_id_for(path) for path in paths]
    assert len(set(ids)) == len(paths)
    for video_id in ids:
        assert check_video_id(video_id) == video_id
        assert len(video_id.encode()) <= 180
        assert not set(video_id) & set("/\\\0 '\"@\n")
        assert not video_id.startswith((".", "_"))
        assert file_stem(video_id) == video_id


@given(st.lists(st.text(alphabet=string.ascii_letters + "._-~%", min_size=1), min_size=2, unique=True))
def test_file_stems_of_given_ids_are_injective_and_seen_by_dataset_readers(ids: list[str]) -> None:
    stems = [file_stem(check_video_id(video_id)) for video_id in ids]
    assert len(set(stems)) == len(ids)
    assert not any(stem.startswith((".", "_")) or is_compacted(stem + ".parquet") for stem in stems)


def test_compacted_files_are_told_from_any_video() -> None:
    assert is_compacted(f"features/clip.x/{COMPACTED}.0123456789ab.parquet")
    assert not is_compacted("shots/@_compacted.0123456789ab.parquet")


@pytest.mark.parametrize("video_id", ["", "a/b", "a b", "a'b", "..\\x", "@a", "a" * 181, "a\0"])
def test_bad_given_ids_are_refused(video_id: str) -> None:
    with pytest.raises(BankError, match="Bad video_id"):
        check_video_id(video_id)


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".a", "_a", "a b", "a'; DROP", "a" * 101, "é"])
def test_bad_space_names_are_refused(name: str) -> None:
    with pytest.raises(BankError, match="feature space"):
        check_space_name(name)
