"""LVU's AVA files: boxes of a csv and vectors of a pickle, joined by three decimals."""

import pickle
from pathlib import Path

import numpy as np
import pytest

from longform.interchange.errors import InterchangeError
from longform.interchange.lvu import SPACE
from longform.interchange.lvu_ava import import_lvu_ava
from longform.metrics.tables import AnnotationError
from pipeline.bank.reader import FeatureBank
from pipeline.bank.verify import verify

ROWS = """\
-5KQ,902,0.100,0.200,0.300,0.900,12,0.97,3,0,x
-5KQ,902,0.100,0.200,0.300,0.900,80,0.97,3,0,x
-5KQ,902,0.500,0.200,0.700,0.900,,0.81,4,0,x
-5KQ,905,0.100,0.200,0.300,0.900,12,0.97,3,1,x
lost,902,0.100,0.200,0.300,0.900,12,0.97,3,0,x
"""


def vectors(count: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((count, 6)).astype(np.float16).astype(np.float32)


def write_features(path: Path, boxes: list[list[float]], moments: list[tuple[str, int]]) -> Path:
    path.write_bytes(pickle.dumps((vectors(len(boxes)), np.array(boxes), moments)))
    return path


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    (tmp_path / "val.csv").write_text(ROWS)
    boxes = [[0, 0.5, 0.2, 0.7, 0.9], [0, 0.10004, 0.2, 0.3, 0.9], [1, 0.1, 0.2, 0.3, 0.9]]
    moments = [("-5KQ", 902), ("-5KQ", 902), ("-5KQ", 905)]
    return [tmp_path / "val.csv", write_features(tmp_path / "val_features.pkl", boxes, moments)]


def test_boxes_and_vectors_are_joined(files: list[Path], tmp_path: Path) -> None:
    report = import_lvu_ava(files, str(tmp_path / "bank"))
    assert report.videos == 1
    assert report.missing == {"features of videos in csv rows": ["lost"], "csv rows of videos with features": []}
    assert not report.notes
    assert verify(tmp_path / "bank").is_whole
    bank = FeatureBank.open(tmp_path / "bank")
    rows = bank.table("detections", "-5KQ").to_pylist()
    assert [(row["at_s"], row["track_id"], row["shot_index"], round(row["score"], 2)) for row in rows] == [
        (902.0, 3, 0, 0.97), (902.0, 4, 0, 0.81), (905.0, 3, 1, 0.97)
    ]  # fmt: skip
    np.testing.assert_array_equal(bank.window(SPACE, "-5KQ", 902, after_s=4).features, vectors(3)[[1, 0, 2]])
    assert import_lvu_ava(files, str(tmp_path / "bank")).up_to_date == 1


def test_ground_truth_has_videos_of_its_own(files: list[Path], tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text(ROWS.replace("0.97", ""))
    moments = [("-5KQ", 902), ("-5KQ", 905)]
    truth = write_features(tmp_path / "train_features.pkl", [[0, 0.1, 0.2, 0.3, 0.9]] * 2, moments)
    report = import_lvu_ava([*files, tmp_path / "train.csv", truth], str(tmp_path / "bank"))
    assert report.notes == ["GT_-5KQ: 1 boxes without feature; left out, since they have no shot and track: 0"]
    bank = FeatureBank.open(tmp_path / "bank")
    assert bank.videos()["video_id"].to_pylist() == ["-5KQ", "GT_-5KQ"]
    assert bank.table("detections", "GT_-5KQ")["score"].to_pylist() == [1.0] * 3


def test_what_does_not_fit_is_named(files: list[Path], tmp_path: Path) -> None:
    files[0].write_text(ROWS + "-5KQ,902,0.100,0.200,0.300,0.900,5,0.97,9,0,x\n")
    with pytest.raises(AnnotationError, match=r"val\.csv, line 6: box .* \(0, 9\), and above in \(0, 3\)"):
        import_lvu_ava(files, str(tmp_path / "bank"))
    files[1].write_bytes(pickle.dumps((vectors(2), [[0] * 5], [("a", 1)])))
    with pytest.raises(InterchangeError, match="2 vectors, 1 boxes and 1 moments"):
        import_lvu_ava(files[1:], str(tmp_path / "bank"))
    files[1].write_bytes(pickle.dumps({}))
    with pytest.raises(InterchangeError, match="no tuple"):
        import_lvu_ava(files[1:], str(tmp_path / "bank"))
