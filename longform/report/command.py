"""`longform report`: write the page."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from longform.report.answers import (
    PICTURED_MOMENTS,
    Answers,
    MaskedTrack,
    Prediction,
    read_explanations,
    read_masked,
    require_videos,
)
from longform.report.answers_shown import VideoAnswers, answers_shown
from longform.report.collect import VideoDetail, listed_ids, summary, video_detail, video_facts
from longform.report.errors import ReportError
from longform.report.frames import Pictures, Source, choose_frames, find_source, take_pictures, thinned
from longform.report.limits import Limits, fair_shares
from longform.report.maps import space_map
from longform.report.page import render
from pipeline.bank.errors import UnknownNameError
from pipeline.bank.reader import FeatureBank
from pipeline.new_file import new_file

_MOST_SAID = 5


@dataclass(frozen=True, kw_only=True)
class Written:
    """What `longform report` says it has done."""

    page: str
    bytes: int
    videos: int
    """Videos with a time line."""
    listed: int
    pictures: int
    without_pictures: list[str]
    spaces: list[str]
    answers: int
    """Predictions and masked tracks on the page."""
    answers_in_files: int


def report(options: argparse.Namespace) -> int:
    """The command."""
    limits = Limits(videos=options.max_videos, pictures=options.pictures)
    written = write_report(
        options.bank,
        options.output,
        video=options.video,
        space=options.space,
        explained=options.explain,
        masked=options.masked,
        limits=limits,
    )
    if options.json:
        print(json.dumps(asdict(written), indent=2))
        return 0
    size = f"{written.bytes / 1e6:.1f} MB"
    print(f"{written.page}: {written.videos} of {written.listed} videos, {written.pictures} pictures, {size}")
    if written.answers < written.answers_in_files:
        print(f"The page has room for {written.answers:,} of {written.answers_in_files:,} answers of the files; "
              "--max-videos or --video chooses others")  # fmt: skip
    for line in written.without_pictures[:_MOST_SAID]:
        print(line)
    if (more := len(written.without_pictures) - _MOST_SAID) > 0:
        print(f"... and {more} more; --json names them all")
    return 0


def write_report(
    bank_path: str,
    output: str,
    *,
    video: str | None = None,
    space: str | None = None,
    explained: Sequence[str] = (),
    masked: Sequence[str] = (),
    limits: Limits | None = None,
) -> Written:
    """Write one page of a bank.

    Args:
        video: show only this one.
        space: map only this feature space (default: all).
        explained: files of `longform eval lfb-... --explain`.
        masked: files of `longform eval ot-pretrain --masked-view`.
    Raises:
        UnknownNameError: no such video or space.
        ReportError: the page cannot be written there, or a file is not as it should be, or about other videos.
    """
    limits = limits or Limits()
    bank = FeatureBank.open(bank_path)
    if space is not None and space not in bank.spaces:
        raise UnknownNameError(f"No space {space!r} in this bank: expected one of {sorted(bank.spaces)}.")
    if video is not None:
        bank.stage_fingerprints(video)  # raises for an unknown one
    predictions, tracks = _read_answers(bank, explained, masked, video)
    asked = {*predictions.by_video, *tracks.by_video}
    ids = listed_ids(bank, limits.listed, asked) if video is None else [video]
    videos = video_facts(bank, ids, limits.message_letters)
    shown = _shown(videos, asked, limits.videos)
    found = answers_shown(predictions, tracks, [facts["video_id"] for facts in shown], limits)
    for place, facts in enumerate(shown):
        facts |= {"shown": place, "predictions": len(found[place].predictions), "masked": len(found[place].masked)}
    details = _details(bank, shown, limits)
    pictures = _pictures(bank, shown, details, found, limits)
    maps = _maps(bank, [space] if space else sorted(bank.spaces), shown, details, limits)
    title = video or Path(os.path.abspath(bank_path)).name
    head = summary(bank, bank_path) | {
        "title": title,
        "path": bank_path,
        "one": video is not None,
        "videos_in_bank": bank.videos().num_rows,
        "list": videos,
        "explained": predictions.files,
        "masked": tracks.files,
        "pictured_moments": PICTURED_MOMENTS,
        "maps": maps,
        "pictures": sum(len(taken.data) for taken in pictures),
    }
    blocks = [
        {**asdict(detail), **asdict(answers), "notes": detail.notes + answers.notes, "pictures": asdict(taken)}
        for detail, answers, taken in zip(details, found, pictures, strict=True)
    ]
    size = _write(Path(output), render(f"{title} · longform", head, blocks))
    return Written(
        page=output,
        bytes=size,
        videos=len(shown),
        listed=len(videos),
        pictures=head["pictures"],
        without_pictures=[taken.note for taken in pictures if taken.note and not taken.data and limits.pictures],
        spaces=[one["name"] for one in maps],
        answers=sum(len(one.predictions) + len(one.masked) for one in found),
        answers_in_files=predictions.total + tracks.total,
    )


def _read_answers(
    bank: FeatureBank, explained: Sequence[str], masked: Sequence[str], video: str | None
) -> tuple[Answers[Prediction], Answers[MaskedTrack]]:
    """What the files say of the videos of the page."""
    predictions, tracks = read_explanations(explained), read_masked(masked)
    for answers in (predictions, tracks):
        require_videos(bank, answers)
    if video is not None:
        return predictions.of_video(video, "--explain"), tracks.of_video(video, "--masked")
    return predictions, tracks


def _shown(videos: Sequence[dict[str, Any]], asked: Collection[str], most: int) -> list[dict[str, Any]]:
    """The videos with a time line, in the order of the list: first of all those with answers."""
    there = [facts for facts in videos if facts["status"] == "ok"]
    chosen = sorted(range(len(there)), key=lambda place: there[place]["video_id"] not in asked)[:most]
    return [there[place] for place in sorted(chosen)]


def _details(bank: FeatureBank, shown: Sequence[dict[str, Any]], limits: Limits) -> list[VideoDetail]:
    totals = {"shots": limits.shots, "tracks": limits.tracks, "detections": limits.boxes}
    shares = {name: fair_shares([facts["rows"][name] for facts in shown], total) for name, total in totals.items()}
    return [
        video_detail(bank, facts, {name: share[place] for name, share in shares.items()})
        for place, facts in enumerate(shown)
    ]


def _pictures(
    bank: FeatureBank,
    shown: Sequence[dict[str, Any]],
    details: Sequence[VideoDetail],
    answers: Sequence[VideoAnswers],
    limits: Limits,
) -> list[Pictures]:
    """Pictures of every shown video that is still there. Reading runs outside Python's lock, so threads help."""
    if not limits.pictures:
        return [Pictures(note="No pictures were asked for.")] * len(shown)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        rows = [bank.snapshot.row(facts["video_id"]) for facts in shown]
        sources = list(pool.map(lambda row: find_source(row["uri"], row["source_sha256"]), rows))
        wanted = _frames(shown, details, answers, sources, limits.pictures)
        total = sum(map(len, wanted))

        def taken(source: Source | str, frames: Sequence[int]) -> Pictures:
            if isinstance(source, str):
                return Pictures(note=source)
            return take_pictures(source, frames, page_pictures=total)

        pictures = list(pool.map(taken, sources, wanted))
    used = len(json.dumps([asdict(one) for one in answers], separators=(",", ":")))
    room = fair_shares([sum(map(len, one.data)) for one in pictures], max(0, limits.picture_bytes - used))
    return [thinned(one, max_bytes) for one, max_bytes in zip(pictures, room, strict=True)]


def _frames(
    shown: Sequence[dict[str, Any]],
    details: Sequence[VideoDetail],
    answers: Sequence[VideoAnswers],
    sources: Sequence[Source | str],
    total: int,
) -> list[list[int]]:
    """The frames to show of every video: none of one that is not there, a fair share of `total` of the others."""

    def chosen(place: int, most: int) -> list[int]:
        detail, fps = details[place], shown[place]["fps"] or 1.0
        asked = answers[place].frames(detail.boxes, fps, shown[place]["num_frames"] or 0)
        return choose_frames(detail.shots, detail.boxes.frame, fps, most, asked)

    needs = [0 if isinstance(source, str) else len(chosen(place, total)) for place, source in enumerate(sources)]
    return [chosen(place, share) for place, share in enumerate(fair_shares(needs, total))]


def _maps(
    bank: FeatureBank,
    spaces: Sequence[str],
    shown: Sequence[dict[str, Any]],
    details: Sequence[VideoDetail],
    limits: Limits,
) -> list[dict[str, Any]]:
    ids = [facts["video_id"] for facts in shown]
    shots = [detail.shots for detail in details]
    most = limits.points // max(1, len(spaces))
    found = (space_map(bank, space, ids, shots, most) for space in spaces)
    return [asdict(one) for one in found if one is not None]


def _write(output: Path, text: str) -> int:
    """Replace `output` in one step; its size in bytes."""
    data = text.encode("utf-8")
    try:
        with new_file(output) as partial:
            partial.write_bytes(data)
    except OSError as error:
        raise ReportError(f"Cannot write {str(output)!r}: {error.strerror}. Give another place with -o.") from error
    return len(data)
