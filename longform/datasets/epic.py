"""Segments and classes of EPIC-KITCHENS-55 (Damen et al., ECCV 2018) and -100 (Damen et al., IJCV 2022).

Both editions publish csv files with a header. Columns are found by name; they differ in:

    EPIC-KITCHENS-55    uid           verb_id, noun_id, class_key      125 verbs, 352 nouns
    EPIC-KITCHENS-100   narration_id  id, key                           97 verbs, 300 nouns, other numbers for both

The frame numbers in the files are those of frames extracted at the videos' own rates. Long-Term Feature Banks uses the
times instead, and extracts 30 frames a second (`FPS`); so does everything here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from extractors.errors import ConfigError
from longform.metrics.epic_topk import LAST_TRAINING_PARTICIPANT, epic_prior
from longform.metrics.tables import AnnotationError, PathLike, csv_columns, csv_rows, malformed, whole

FPS = 30
TIME = re.compile(r"(\d{1,2}):(\d{2}):(\d{2}(?:\.\d+)?)", re.ASCII)
PARTICIPANT = re.compile(r"P(\d{2,})", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class EpicEdition:
    """What differs between the two editions."""

    name: str
    id_column: str
    verb_columns: tuple[str, str]
    """Number and name of a class in `…_verb_classes.csv`."""
    noun_columns: tuple[str, str]
    num_verbs: int
    num_nouns: int


EPIC_55 = EpicEdition(
    name="EPIC-KITCHENS-55",
    id_column="uid",
    verb_columns=("verb_id", "class_key"),
    noun_columns=("noun_id", "class_key"),
    num_verbs=125,
    num_nouns=352,
)
EPIC_100 = EpicEdition(
    name="EPIC-KITCHENS-100",
    id_column="narration_id",
    verb_columns=("id", "key"),
    noun_columns=("id", "key"),
    num_verbs=97,
    num_nouns=300,
)
EDITIONS = (EPIC_55, EPIC_100)
PRIORS = ("noun_given_verb", "class_frequencies")


@dataclass(frozen=True, slots=True, kw_only=True)
class EpicSegment:
    """One action in a video."""

    segment_id: str
    """`uid` of EPIC-KITCHENS-55, `narration_id` of EPIC-KITCHENS-100."""
    participant: int
    """1 for P01."""
    video: str
    start_s: float
    stop_s: float
    verb: int | None
    """None in the files of the test sets, as the noun."""
    noun: int | None

    @property
    def frames(self) -> tuple[int, int]:
        """First and last frame at `FPS`, both included, rounded to the nearest (Long-Term Feature Banks)."""
        return round(self.start_s * FPS), round(self.stop_s * FPS)


@dataclass(frozen=True, kw_only=True)
class EpicSegments:
    """A file of segments."""

    edition: EpicEdition
    segments: tuple[EpicSegment, ...]
    """In the order of the file."""


def read_segments(path: PathLike) -> EpicSegments:
    """The segments of a file of either edition, with labels or, as in the test sets, without.

    Such as `EPIC_train_action_labels.csv`, `EPIC_test_s1_timestamps.csv`, `EPIC_100_train.csv` and
    `EPIC_100_test_timestamps.csv`.

    Raises:
        AnnotationError: the file cannot be read or is another, a line is malformed, a segment is there twice, ends
            before it begins, or has a class that the edition lacks.
    """
    header = _header(path)
    edition = next((edition for edition in EDITIONS if edition.id_column in header), None)
    if edition is None:
        raise malformed(path, 1, f"{', '.join(header)!r}; expected a header with uid or narration_id")
    labelled = "verb_class" in header
    columns = [edition.id_column, "participant_id", "video_id", "start_timestamp", "stop_timestamp"]
    segments: dict[str, EpicSegment] = {}
    for line, fields in csv_columns(path, [*columns, "verb_class", "noun_class"] if labelled else columns):
        try:
            segment = _segment(fields, edition)
        except ValueError as error:
            raise malformed(path, line, error) from error
        if segment.segment_id in segments:
            raise malformed(path, line, f"segment {segment.segment_id!r} is there a second time")
        segments[segment.segment_id] = segment
    if not segments:
        raise AnnotationError(f"{str(path)!r} has no segment.")
    return EpicSegments(edition=edition, segments=tuple(segments.values()))


def lfb_split(segments: Iterable[EpicSegment]) -> tuple[list[EpicSegment], list[EpicSegment]]:
    """Training and validation segments of EPIC-KITCHENS-55 in Long-Term Feature Banks: P01 to P25, and P26 to P31.

    The split is that of Baradel et al., "Object Level Visual Reasoning in Videos", ECCV 2018.
    """
    training, validation = list[EpicSegment](), list[EpicSegment]()
    for segment in segments:
        (training if segment.participant <= LAST_TRAINING_PARTICIPANT else validation).append(segment)
    return training, validation


def action_prior(
    path: PathLike, form: str = "noun_given_verb", *, last_participant: int = LAST_TRAINING_PARTICIPANT
) -> NDArray[np.float64]:
    """(V, M) weight of every pair of verb and noun, counted on training segments.

    Args:
        path: `EPIC_train_action_labels.csv` or `EPIC_100_train.csv`.
        form: `noun_given_verb`, what the code of Long-Term Feature Banks computes (`longform.metrics.epic_prior`), or
            `class_frequencies`, what the thesis says: the frequency of the verb times that of the noun.
        last_participant: segments of participants after this one are left out: 25 in the split of the paper; with
            EPIC-KITCHENS-100, whose training file is training data only, a number above all.
    Raises:
        ConfigError: another form.
        AnnotationError: as `read_segments`, or no segment is left.
    """
    if form not in PRIORS:
        raise ConfigError(f"No prior is called {form!r}; expected one of: {', '.join(PRIORS)}.")
    read = read_segments(path)
    num_verbs, num_nouns = read.edition.num_verbs, read.edition.num_nouns
    if form == "noun_given_verb":
        return epic_prior(path, last_participant=last_participant, num_verbs=num_verbs, num_nouns=num_nouns)
    labelled = [(s.verb, s.noun) for s in read.segments if s.participant <= last_participant and s.verb is not None]
    if not labelled:
        raise AnnotationError(f"{str(path)!r} has no labelled segment of participants up to P{last_participant:02d}.")
    verbs, nouns = np.array(labelled, np.int64).T
    counts = np.outer(np.bincount(verbs, minlength=num_verbs), np.bincount(nouns, minlength=num_nouns))
    return counts / len(labelled) ** 2


def read_classes(path: PathLike, *, what: str) -> tuple[str, ...]:
    """Names of the classes in order of their numbers, from the file of verbs or nouns of either edition.

    Args:
        what: `verb` or `noun`.
    Raises:
        AnnotationError: the file cannot be read or is another, a line is malformed, or numbers are missing or double.
    """
    header = _header(path)
    forms = [edition.verb_columns if what == "verb" else edition.noun_columns for edition in EDITIONS]
    columns = next((form for form in forms if set(form) <= set(header)), None)
    if columns is None:
        expected = " or ".join(", ".join(form) for form in forms)
        raise malformed(path, 1, f"{', '.join(header)!r}; expected a header with {expected}")
    names: list[str] = []
    for line, (number, name) in csv_columns(path, columns):
        if number != str(len(names)):
            raise malformed(path, line, f"class {number!r}; expected {len(names)}: numbers rise from 0 without a gap")
        names.append(name)
    if not names:
        raise AnnotationError(f"{str(path)!r} names no class.")
    return tuple(names)


def _header(path: PathLike) -> Sequence[str]:
    return next((row for _, row in csv_rows(path, range(1, 1000), "a table")), [])


def _segment(fields: Sequence[str], edition: EpicEdition) -> EpicSegment:
    segment_id, participant, video, start, stop, *classes = fields
    who = PARTICIPANT.fullmatch(participant)
    if not who or not video.startswith(f"{participant}_"):
        raise ValueError(f"participant {participant!r} with video {video!r}; expected such as P01 with P01_01")
    start_s, stop_s = _seconds(start), _seconds(stop)
    if stop_s < start_s:
        raise ValueError(f"a segment from {start} to {stop}; expected one that ends after it begins")
    verb = _class(classes[0], "verb", edition.num_verbs) if classes else None
    noun = _class(classes[1], "noun", edition.num_nouns) if classes else None
    return EpicSegment(
        segment_id=segment_id,
        participant=int(who[1]),
        video=video,
        start_s=start_s,
        stop_s=stop_s,
        verb=verb,
        noun=noun,
    )


def _seconds(text: str) -> float:
    time = TIME.fullmatch(text)
    if not time:
        raise ValueError(f"time {text!r}; expected hours:minutes:seconds, as 00:01:23.45")
    return 3600.0 * int(time[1]) + 60.0 * int(time[2]) + float(time[3])


def _class(text: str, what: str, count: int) -> int:
    number = whole(text)
    if not 0 <= number < count:
        raise ValueError(f"{what} class {text}; expected 0 to {count - 1}")
    return number
