"""Segments and classes of both editions of EPIC-KITCHENS, and priors of pairs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from extractors.errors import ConfigError
from longform.datasets.epic import (
    EPIC_55,
    EPIC_100,
    EpicSegment,
    action_prior,
    lfb_split,
    read_classes,
    read_segments,
)
from longform.metrics import AnnotationError, epic_prior

HEADER_55 = (
    "uid,participant_id,video_id,narration,start_timestamp,stop_timestamp,start_frame,stop_frame,verb,verb_class,"
    "noun,noun_class,all_nouns,all_noun_classes"
)
ROW_55 = "0,P01,P01_01,open door,00:00:00.14,00:00:03.37,8,202,open,2,door,8,['door'],[8]"
HEADER_100 = (
    "narration_id,participant_id,video_id,narration_timestamp,start_timestamp,stop_timestamp,start_frame,stop_frame,"
    "narration,verb,verb_class,noun,noun_class,all_nouns,all_noun_classes"
)
ROW_100 = (
    'P01_101_12,P01,P01_101,00:00:52.620,01:00:51.98,01:00:53.03,3118,3181,"throw, then take",throw-into,13,paper,49,'
    "\"['paper', 'bin']\",\"[49, 36]\""
)


def written(folder: Path, *lines: str) -> Path:
    path = folder / "segments.csv"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


@pytest.fixture
def epic55(shared: Path) -> Path:
    return shared / "annotations" / "epic55"


def test_real_segments_of_epic_55(epic55: Path) -> None:
    read = read_segments(epic55 / "EPIC_train_action_labels_sample.csv")
    assert read.edition is EPIC_55
    assert len(read.segments) == 342
    first = read.segments[0]
    assert first == EpicSegment(
        segment_id="0", participant=1, video="P01_01", start_s=0.14, stop_s=3.37, verb=2, noun=8
    )
    assert first.frames == (4, 101)
    training, validation = lfb_split(read.segments)
    assert {s.video for s in training} == {"P01_01", "P22_16"}
    assert {s.video for s in validation} == {"P27_01"}
    assert len(training) + len(validation) == 342


def test_real_classes_of_epic_55(epic55: Path) -> None:
    verbs = read_classes(epic55 / "EPIC_verb_classes.csv", what="verb")
    nouns = read_classes(epic55 / "EPIC_noun_classes.csv", what="noun")
    assert (len(verbs), len(nouns)) == (EPIC_55.num_verbs, EPIC_55.num_nouns)
    assert (verbs[2], nouns[8], nouns[2]) == ("open", "cupboard", "pan:dust")


def test_segments_and_classes_of_epic_100(tmp_path: Path) -> None:
    read = read_segments(written(tmp_path, HEADER_100, ROW_100))
    assert read.edition is EPIC_100
    (segment,) = read.segments
    assert (segment.segment_id, segment.video, segment.verb, segment.noun) == ("P01_101_12", "P01_101", 13, 49)
    assert (segment.start_s, segment.stop_s) == pytest.approx((3651.98, 3653.03))
    classes = tmp_path / "EPIC_100_verb_classes.csv"
    classes.write_text("id,key,instances,category\n0,take,\"['take', 'get']\",retrieve\n1,put,\"['put']\",leave\n")
    assert read_classes(classes, what="verb") == ("take", "put")


def test_segments_of_a_test_set_have_no_classes(tmp_path: Path) -> None:
    header = "uid,participant_id,video_id,start_timestamp,stop_timestamp,start_frame,stop_frame"
    (segment,) = read_segments(written(tmp_path, header, "1924,P01,P01_11,00:00:00.00,00:00:01.89,1,113")).segments
    assert (segment.segment_id, segment.verb, segment.noun) == ("1924", None, None)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (("00:00:03.37", "00:03.37"), r"time '00:03\.37'; expected hours:minutes:seconds"),
        (("00:00:03.37", "00:00:00.13"), r"a segment from 00:00:00\.14 to 00:00:00\.13"),
        ((",open,2,", ",open,125,"), "verb class 125; expected 0 to 124"),
        ((",door,8,", ",door,352,"), "noun class 352; expected 0 to 351"),
        ((",door,8,", ",door,,"), "could not convert"),
        ((",P01,", ",1,"), "participant '1' with video 'P01_01'"),
        ((",P01_01,", ",P02_01,"), "participant 'P01' with video 'P02_01'"),
        ((",['door'],[8]", ",['door']"), "13 fields; the header has 14"),
    ],
)
def test_a_bad_segment_is_named(tmp_path: Path, change: tuple[str, str], reason: str) -> None:
    good = ROW_55.replace("0,P01", "7,P01", 1)
    with pytest.raises(AnnotationError, match=r"segments\.csv, line 3: .*" + reason):
        read_segments(written(tmp_path, HEADER_55, good, ROW_55.replace(*change)))


def test_a_bad_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(AnnotationError, match=r"line 3: segment '0' is there a second time"):
        read_segments(written(tmp_path, HEADER_55, ROW_55, ROW_55))
    with pytest.raises(AnnotationError, match="expected a header with uid or narration_id"):
        read_segments(written(tmp_path, "a,b", "1,2"))
    with pytest.raises(AnnotationError, match="has no segment"):
        read_segments(written(tmp_path, HEADER_55))
    with pytest.raises(AnnotationError, match="line 3: class '2'; expected 1: numbers rise"):
        read_classes(written(tmp_path, "verb_id,class_key", "0,take", "2,open"), what="verb")
    with pytest.raises(AnnotationError, match="expected a header with noun_id, class_key or id, key"):
        read_classes(written(tmp_path, "verb_id,class_key", "0,take"), what="noun")
    with pytest.raises(AnnotationError, match="cannot be read"):
        read_segments(tmp_path / "absent.csv")


def test_the_prior_of_the_code_and_of_the_thesis(shared: Path) -> None:
    annotations = shared / "golden/epic_topk/annotations/EPIC_train_action_labels.csv"
    given = action_prior(annotations)
    assert (given == epic_prior(annotations)).all()
    assert given.sum(1).max() == pytest.approx(1, abs=1e-2)
    frequencies = action_prior(annotations, "class_frequencies")
    assert frequencies.shape == (125, 352)
    assert frequencies.sum() == pytest.approx(1)
    assert np.linalg.matrix_rank(frequencies) == 1
    labels = [(s.verb, s.noun) for s in lfb_split(read_segments(annotations).segments)[0]]
    assert len(labels) == 400
    verb, noun = labels[0]
    shares = [sum(label[i] == labels[0][i] for label in labels) / 400 for i in (0, 1)]
    assert frequencies[verb, noun] == pytest.approx(shares[0] * shares[1])


def test_a_prior_of_epic_100_has_its_classes(tmp_path: Path) -> None:
    path = written(tmp_path, HEADER_100, ROW_100.replace("P01", "P37"))
    for form in ("noun_given_verb", "class_frequencies"):
        prior = action_prior(path, form, last_participant=99)
        assert prior.shape == (97, 300)
        assert np.argwhere(prior).tolist() == [[13, 49]]
        with pytest.raises(AnnotationError, match=r"no .*segment of participants up to P25"):
            action_prior(path, form)
    with pytest.raises(ConfigError, match="expected one of: noun_given_verb, class_frequencies"):
        action_prior(path, "verb_given_noun")
