"""What models answered about the videos of a bank, read from files: predictions with the moments they attended to
(`--explain`), and what was expected of masked people (`--masked`)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

from longform.report.errors import ReportError
from longform.report.fields import Fields
from pipeline.bank.reader import FeatureBank

EXPLAINED_BY = "longform eval lfb-... --explain FILE"
MASKED_BY = "longform eval ot-pretrain --masked-view FILE"
EXPLANATION_FACTS = ("dataset", "space", "operator", "window_s", "causal")
MASKED_FACTS = ("space", "activation", "span_s")

PICTURED_MOMENTS = 12
"""Moments of a prediction with a picture of their own on the page; the others are on the time line."""
NAME_LETTERS = 80

ClassScore = tuple[str, float]


class Attended(NamedTuple):
    """A moment of the bank that an answer came from."""

    at_s: float
    weight: float
    track: int | None
    box: list[float] | None


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """One answer, and where it came from."""

    file: int
    """Place in the list of files."""
    at_s: float
    box: list[float] | None
    scores: list[ClassScore]
    empty_slots: int
    empty_weight: float
    moments: list[Attended]
    """The heaviest first."""
    moments_in_file: int

    @property
    def pictured_s(self) -> list[float]:
        """Times that need a picture."""
        return [self.at_s, *(moment.at_s for moment in self.moments[:PICTURED_MOMENTS])]


@dataclass(frozen=True, kw_only=True)
class MaskedTrack:
    """A track that a model did not see, and what it expected of it."""

    file: int
    track: int
    at_s: float
    box: list[float]
    start_s: float
    end_s: float
    boxes: int
    span_s: tuple[float, float]
    context: list[ClassScore]
    short_term: list[ClassScore]

    @property
    def pictured_s(self) -> list[float]:
        """Times that need a picture."""
        return [self.at_s]


Entry = TypeVar("Entry", Prediction, MaskedTrack)


@dataclass(frozen=True, kw_only=True)
class Answers(Generic[Entry]):
    """The entries of all files of one kind."""

    files: list[dict[str, Any]] = field(default_factory=list)
    """For each its name, and what it says of the model."""
    by_video: dict[str, list[Entry]] = field(default_factory=dict)
    """Sorted by time."""

    @property
    def total(self) -> int:
        """Entries of all videos."""
        return sum(map(len, self.by_video.values()))

    def of_video(self, video_id: str, option: str) -> Answers[Entry]:
        """Only one video's. Raises ReportError if there are files, but nothing in them about the video."""
        if self.files and video_id not in self.by_video:
            names = ", ".join(file["name"] for file in self.files)
            raise ReportError(
                f"{names}: nothing about video {video_id!r}. Leave out --video or {option}; the videos are: "
                f"{', '.join(sorted(self.by_video)[:5]) or 'none'}{', ...' if len(self.by_video) > 5 else ''}."
            )
        return replace(self, by_video={name: found for name, found in self.by_video.items() if name == video_id})


def read_explanations(files: Sequence[str]) -> Answers[Prediction]:
    """The predictions of files of `longform eval lfb-... --explain`. Raises ReportError."""
    return _read(files, EXPLAINED_BY, EXPLANATION_FACTS, _predictions)


def _predictions(content: Fields, file: int) -> Iterable[tuple[str, Prediction]]:
    for one in content.each("predictions"):
        moments = [
            Attended(
                at_s=round(moment.number("at_s"), 3),
                weight=round(moment.number("weight"), 6),
                track=moment.optional_count("track_id"),
                box=moment.optional_box("box"),
            )
            for moment in one.each("moments")
        ]
        yield (
            one.text("bank_video_id"),
            Prediction(
                file=file,
                at_s=round(one.number("at_s"), 3),
                box=one.optional_box("box"),
                scores=_scores(one, "scores"),
                empty_slots=one.count("empty_slots"),
                empty_weight=round(one.number("empty_weight"), 6),
                moments=sorted(moments, key=lambda moment: -moment.weight),
                moments_in_file=len(moments),
            ),
        )


def read_masked(files: Sequence[str]) -> Answers[MaskedTrack]:
    """The masked tracks of files of `longform.object_transformer.masked_view`. Raises ReportError."""
    return _read(files, MASKED_BY, MASKED_FACTS, _masked_tracks)


def _masked_tracks(content: Fields, file: int) -> Iterable[tuple[str, MaskedTrack]]:
    for video in content.each("videos"):
        video_id = video.text("bank_video_id")
        for one in video.each("tracks"):
            yield (
                video_id,
                MaskedTrack(
                    file=file,
                    track=one.count("track_id"),
                    at_s=round(one.number("at_s"), 3),
                    box=one.box("box"),
                    start_s=round(one.number("start_s"), 3),
                    end_s=round(one.number("end_s"), 3),
                    boxes=one.count("boxes"),
                    span_s=(one.number("span_start_s"), one.number("span_end_s")),
                    context=_scores(one, "context"),
                    short_term=_scores(one, "short_term"),
                ),
            )


def _scores(fields: Fields, name: str) -> list[ClassScore]:
    return [(one.text("name")[:NAME_LETTERS], round(one.number("score"), 4)) for one in fields.each(name)]


def _read(
    files: Sequence[str],
    made_by: str,
    facts: Sequence[str],
    entries: Callable[[Fields, int], Iterable[tuple[str, Entry]]],
) -> Answers[Entry]:
    answers = Answers[Entry]()
    for place, file in enumerate(files):
        content = Fields.read(file, made_by)
        answers.files.append({"name": Path(file).name, **{name: content.fact(name) for name in facts}})
        for video_id, entry in entries(content, place):
            answers.by_video.setdefault(video_id, []).append(entry)
    for found in answers.by_video.values():
        found.sort(key=lambda entry: (entry.at_s, entry.file))
    return answers


def require_videos(bank: FeatureBank, answers: Answers[Any]) -> None:
    """Raises ReportError for a video that the bank does not have, or that failed."""
    rows = bank.videos().select(["video_id", "status"]).to_pydict()
    states = dict(zip(rows["video_id"], rows["status"], strict=True))
    for video_id in answers.by_video:
        if states.get(video_id) != "ok":
            why = "failed in" if video_id in states else "is not in"
            names = ", ".join(file["name"] for file in answers.files)
            raise ReportError(
                f"{names}: video {video_id!r} {why} bank {bank.uri!r}. Give the bank that the answers were made with."
            )
