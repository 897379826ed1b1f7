"""Frame lists: the frames and labels of each video, in little memory, and bad lines named."""

from __future__ import annotations

from pathlib import Path

import pytest

from longform.datasets.frame_lists import HEADER, NumberedPaths, read_frame_lists, write_frame_list
from longform.metrics import AnnotationError


def written(folder: Path, *lines: str, header: str = HEADER, name: str = "train.csv") -> Path:
    path = folder / name
    path.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    return path


def test_frames_and_labels_of_each_video(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        'b 0 0 b/b-000001.jpg ""',
        'b 0 1 b/b-000002.jpg "3,7"',
        'a 1 0 a/a-000001.jpg "7"',
        'b 0 2 b/b-000003.jpg "7"',
    )
    frames = read_frame_lists(path, num_classes=8)
    assert list(frames) == ["b", "a"]
    assert list(frames["b"].paths) == ["b/b-000001.jpg", "b/b-000002.jpg", "b/b-000003.jpg"]
    assert isinstance(frames["b"].paths, NumberedPaths)
    assert [frames["b"].classes(first, last).tolist() for first, last in ((0, 0), (0, 1), (1, 2), (2, 2))] == [
        [],
        [3, 7],
        [3, 7],
        [7],
    ]
    assert (len(frames["b"]), len(frames["a"])) == (3, 1)


@pytest.mark.parametrize(
    "names",
    [
        ["v/000001.jpg", "v/000003.jpg", "v/123456.jpg"],
        ["v/9.jpg", "v/10.jpg"],
        ["v/009.jpg", "v/1000.jpg"],
        ["v1/9.jpg", "v2/9.jpg"],
        ["cover.jpg", "v/1.jpg"],
        ["1.jpg", "1.png"],
        ["v/1.jpg", "v/\u0663.jpg"],
        ["v/01.jpg", "v/1.jpg"],
    ],
)
def test_paths_are_kept_as_they_are(tmp_path: Path, names: list[str]) -> None:
    path = written(tmp_path, *(f'v 0 {number} {name} ""' for number, name in enumerate(names)))
    assert list(read_frame_lists(path)["v"].paths) == names


def test_several_lists_and_quotes_of_spreadsheets(tmp_path: Path) -> None:
    train = written(tmp_path, 'a 0 1 a/1.jpg """"', 'a 0 2 a/2.jpg "1,2"')
    val = written(tmp_path, "b 0 0 b/1.jpg 4", name="val.csv", header="original_video_id video_id frame_id path labels")
    frames = read_frame_lists(train, val)
    assert list(frames) == ["a", "b"]
    assert frames["a"].classes(0, 1).tolist() == [1, 2]
    assert frames["b"].classes(0, 0).tolist() == [4]


def test_a_written_list_reads_the_same(tmp_path: Path) -> None:
    read = read_frame_lists(written(tmp_path, 'a 0 0 a/1.jpg "2,1"', 'a 0 1 a/2.jpg ""', 'b 1 0 b/1.jpg "0"'))
    write_frame_list(tmp_path / "again.csv", read)
    again = read_frame_lists(tmp_path / "again.csv")
    assert list(again) == list(read)
    for video, frames in read.items():
        assert list(again[video].paths) == list(frames.paths)
        assert [again[video].classes(i, i).tolist() for i in range(len(frames))] == [
            frames.classes(i, i).tolist() for i in range(len(frames))
        ]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("a 0 1 a/2.jpg", "4 columns; expected five between blanks"),
        ('a 0 x a/2.jpg ""', "frame_id .*'x'"),
        ('a 0 0 a/2.jpg ""', "frame 0 of video 'a' after frame 0; sort the list"),
        ('a 0 1 a/2.jpg "1;2"', "labels '1;2'; expected class numbers"),
        ('a 0 1 a/2.jpg "157"', "label 157; expected 0 to 156"),
        ('a 0 1 a/2.jpg "-1"', "label -1; expected 0 to 156"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: str, reason: str) -> None:
    with pytest.raises(AnnotationError, match=r"train\.csv, line 3: " + reason):
        read_frame_lists(written(tmp_path, 'a 0 0 a/1.jpg ""', line), num_classes=157)


def test_another_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AnnotationError, match=r"line 1: 'id,actions'; expected the header 'original_vido_id"):
        read_frame_lists(written(tmp_path, header="id,actions"))
    with pytest.raises(AnnotationError, match=r"No frame in '.*train\.csv'"):
        read_frame_lists(written(tmp_path))
    with pytest.raises(AnnotationError, match="cannot be read"):
        read_frame_lists(tmp_path / "absent.csv")
