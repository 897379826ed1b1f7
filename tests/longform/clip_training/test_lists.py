"""Lists of labelled videos, as their data sets publish them, and the files they name."""

import json
from pathlib import Path

import numpy as np
import pytest

from extractors.errors import ConfigError
from longform.clip_training.lists import read_classes, read_list
from longform.clip_training.opening import numbered_classes, open_list
from longform.datasets.charades import FPS, read_videos
from longform.metrics.tables import AnnotationError
from pipeline.errors import InputError
from tests.longform.clip_training.films import numbered_film, write_film


def written(path: Path, *lines: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def test_paths_and_numbers_or_names(tmp_path: Path) -> None:
    numbered = read_list(written(tmp_path / "a.csv", "some folder/a.mp4 3", "b.mp4,0", "c.mp4, 1"))
    assert numbered.names == ("some folder/a.mp4", "b.mp4", "c.mp4")
    assert numbered.answers == (3, 0, 1)
    assert numbered_classes(numbered, None) == ("0", "1", "2", "3")
    named = read_list(written(tmp_path / "b.csv", "a.mp4 run", "b.mp4 jump", "c.mp4 run"))
    assert numbered_classes(named, None) == ("jump", "run")
    with pytest.raises(AnnotationError, match=r"line 2: 'alone.mp4'; expected a path and a label"):
        read_list(written(tmp_path / "c.csv", "a.mp4 0", "alone.mp4"))
    with pytest.raises(AnnotationError, match=r"e\.csv, line 2: class -1; expected a number from 0 on"):
        read_list(written(tmp_path / "e.csv", "a.mp4 0", "b.mp4 -1"))
    with pytest.raises(AnnotationError, match=r"f\.csv': video 'b.mp4' has class 99999999999; .* 0 to 99999"):
        numbered_classes(read_list(written(tmp_path / "f.csv", "a.mp4 0", "b.mp4 99999999999")), None)
    with pytest.raises(AnnotationError, match="has no video"):
        read_list(written(tmp_path / "d.csv"))
    with pytest.raises(AnnotationError, match="cannot be read"):
        read_list(tmp_path / "absent.csv")
    with pytest.raises(AnnotationError, match="No layout of lists is called 'x'"):
        read_list(tmp_path / "a.csv", layout="x")


def test_kinetics(tmp_path: Path) -> None:
    path = written(
        tmp_path / "train.csv",
        "label,youtube_id,time_start,time_end,split",
        "testifying,---QUuC4vJs,84,94,train",
        '"eating, quickly",--3ouPhoy2A,20,30,train',
    )
    found = read_list(path)
    assert found.names == ("---QUuC4vJs_000084_000094", "--3ouPhoy2A_000020_000030")
    assert found.answers == ("testifying", "eating, quickly")
    assert numbered_classes(found, None) == ("eating, quickly", "testifying")
    assert len(read_classes("kinetics-400")) == 400
    bad = written(tmp_path / "bad.csv", "label,youtube_id,time_start,time_end,split", "a,b,c,d,train")
    with pytest.raises(AnnotationError, match=r"bad.csv, line 2"):
        read_list(bad)


def test_something_something(tmp_path: Path) -> None:
    rows = [
        {"id": "78687", "label": "holding potato next to vicks vaporub bottle", "placeholders": ["a", "b"],
         "template": "Holding [something] next to [something]"},
        {"id": "42326", "template": "Moving [part] of [something]"},
    ]  # fmt: skip
    path = written(tmp_path / "train.json", json.dumps(rows))
    labels = {"Moving part of something": "0", "Holding something next to something": "1", "Opening something": "2"}
    classes = read_classes(str(written(tmp_path / "labels.json", json.dumps(labels))))
    assert classes == ("Moving part of something", "Holding something next to something", "Opening something")
    write_film(tmp_path / "videos" / "deep" / "78687.mp4", numbered_film(4))
    write_film(tmp_path / "videos" / "42326.mkv", numbered_film(4))
    source = open_list(read_list(path), classes, folder=str(tmp_path / "videos")).source
    assert (len(source), source.num_classes, source.is_multiple) == (2, 3, False)
    assert [source.labels(index, 0, 3) for index in range(2)] == [1, 0]
    assert source.name(0).endswith("deep/78687.mp4")
    with pytest.raises(AnnotationError, match="numbers from 0 to 1"):
        read_classes(str(written(tmp_path / "gap.json", json.dumps({"a": "0", "b": "2"}))))
    with pytest.raises(AnnotationError, match="id and template"):
        read_list(written(tmp_path / "other.json", json.dumps([{"id": 3}])))


def test_ucf101(tmp_path: Path) -> None:
    train = written(tmp_path / "trainlist01.txt", "Archery/v_Archery_g08_c01.avi 3", "Biking/v_Biking_g08_c01.avi 11")
    test = written(tmp_path / "testlist01.txt", "Biking/v_Biking_g01_c01.avi")
    assert read_list(train, layout="ucf101").answers == ("Archery", "Biking")
    assert read_list(test, layout="ucf101").names == ("Biking/v_Biking_g01_c01.avi",)
    classes = read_classes(str(written(tmp_path / "classInd.txt", "1 ApplyEyeMakeup", "2 Archery", "3 Biking")))
    assert classes == ("ApplyEyeMakeup", "Archery", "Biking")
    with pytest.raises(AnnotationError, match=r"expected <class>/<video>.avi"):
        read_list(written(tmp_path / "bad.txt", "a.avi 1"), layout="ucf101")


def test_hmdb51(tmp_path: Path) -> None:
    written(tmp_path / "cart_wheel_test_split2.txt", "a.avi 1 ", "b.avi 2 ", "c.avi 0 ")
    written(tmp_path / "brush_hair_test_split2.txt", "d.avi 1 ")
    written(tmp_path / "brush_hair_test_split1.txt", "d.avi 2 ")
    train = read_list(tmp_path, layout="hmdb51", split=2)
    assert (train.names, train.answers) == (("d.avi", "a.avi"), ("brush_hair", "cart_wheel"))
    assert read_list(tmp_path, layout="hmdb51", part="val", split=2).names == ("b.avi",)
    with pytest.raises(AnnotationError, match=r"no list '<class>_test_split3.txt'"):
        read_list(tmp_path, layout="hmdb51", split=3)
    with pytest.raises(AnnotationError, match="name the layout, hmdb51"):
        read_list(tmp_path)


def test_charades_from_the_official_file(shared: Path, tmp_path: Path) -> None:
    """Real rows; labels of a clip against a loop over its frames."""
    path = shared / "annotations" / "charades" / "Charades_v1_train_sample.csv"
    found = read_list(path)
    stated = {video.video: video for video in read_videos(path)}
    assert set(found.names) == {name for name, video in stated.items() if video.actions}
    assert 0 < len(found.names) < len(stated)
    names = found.names[:3]
    for name in names:
        write_film(tmp_path / f"{name}.mp4", numbered_film(3))
    classes = numbered_classes(found, None)
    assert len(classes) == 157
    opened = open_list(found, classes, folder=str(tmp_path), allow_missing=True)
    assert len(opened.source) == 3
    assert set(opened.missing) == set(found.names) - set(names)
    labels = opened.source._labels
    for index, name in enumerate(names):
        for first, last, fps in ((0, 40, 24.0), (100, 163, 29.97), (200, 200, 24.0), (0, 10_000, 30.0)):
            expected = np.zeros(157)
            for frame in range(first, last + 1):
                for action in stated[name].actions:
                    if action.start_s <= frame / fps < action.end_s:
                        expected[action.class_id] = 1
            assert np.array_equal(labels.of(index, first, last, fps), expected)


def test_charades_pictures(shared: Path, tmp_path: Path) -> None:
    """The same labels from a folder of pictures, whose rate is that of the official frames."""
    import cv2

    path = shared / "annotations" / "charades" / "Charades_v1_train_sample.csv"
    found = read_list(path)
    name = found.names[0]
    folder = tmp_path / name
    folder.mkdir()
    for number in range(1, 31):
        cv2.imwrite(str(folder / f"{name}-{number:06d}.jpg"), np.full((36, 48, 3), 8 * number, np.uint8))
    opened = open_list(found, numbered_classes(found, None), frames=str(tmp_path), allow_missing=True)
    source = opened.source
    assert (len(source), source.clip(0).num_frames, source.clip(0).fps) == (1, 30, FPS)
    video = next(video for video in read_videos(path) if video.video == name)
    shown = {action.class_id for action in video.actions for frame in range(5, 21) if frame in action.frames(30)}
    assert set(np.nonzero(source.labels(0, 5, 20))[0].tolist()) == shown
    clip = source.read(0, np.array([0, 29, 29]), window)
    assert [round(value / 8) for value in clip.mean((1, 2, 3))] == [1, 30, 30]


def window(height: int, width: int):
    from longform.clip_training.augmentation import CropRule

    return CropRule().centre(24, 32)(height, width)


def test_missing_videos_are_named_or_allowed(tmp_path: Path) -> None:
    path = written(tmp_path / "list.csv", "a.mp4 0", "b.mp4 1", "c.mp4 1")
    write_film(tmp_path / "b.mp4", numbered_film(3))
    videos, classes = read_list(path), ("x", "y")
    with pytest.raises(InputError, match=r"2 of 3 videos of .*list.csv are not there: a.mp4, c.mp4. .*--allow-missing"):
        open_list(videos, classes)
    opened = open_list(videos, classes, allow_missing=True)
    assert opened.missing == ("a.mp4", "c.mp4")
    assert opened.source.labels(0, 0, 2) == 1
    with pytest.raises(InputError, match="3 of 3"):
        open_list(videos, classes, folder=str(tmp_path / "elsewhere"), allow_missing=True)


def test_a_class_that_training_does_not_have(tmp_path: Path) -> None:
    path = written(tmp_path / "list.csv", "a.mp4 run")
    write_film(tmp_path / "a.mp4", numbered_film(3))
    with pytest.raises(AnnotationError, match=r"'a.mp4' has class 'run', which is none of the 1 classes"):
        open_list(read_list(path), ("jump",))


def test_classes_of_a_file_that_is_not_there() -> None:
    with pytest.raises(ConfigError, match="No class list"):
        read_classes("absent.txt")
