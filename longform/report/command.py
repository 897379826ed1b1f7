"""`longform report`: write the page."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from longform.report.collect import VideoDetail, listed_ids, summary, video_detail, video_facts
from longform.report.frames import Pictures, Source, choose_frames, find_source, take_pictures, thinned
from longform.report.limits import Limits, fair_shares
from longform.report.maps import space_map
from longform.report.page import render
from pipeline.bank.errors import UnknownNameError
from pipeline.bank.reader import FeatureBank
from pipeline.errors import PipelineError

_MOST_SAID = 5


class ReportError(PipelineError):
    """The page cannot be written: the message says why."""


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


def report(options: argparse.Namespace) -> int:
    """The command."""
    limits = Limits(videos=options.max_videos, pictures=options.pictures)
    written = write_report(options.bank, options.output, video=options.video, space=options.space, limits=limits)
    if options.json:
        print(json.dumps(asdict(written), indent=2))
        return 0
    size = f"{written.bytes / 1e6:.1f} MB"
    print(f"{written.page}: {written.videos} of {written.listed} videos, {written.pictures} pictures, {size}")
    for line in written.without_pictures[:_MOST_SAID]:
        print(line)
    if (more := len(written.without_pictures) - _MOST_SAID) > 0:
        print(f"... and {more} more; --json names them all")
    return 0


def write_report(
    bank_path: str, output: str, *, video: str | None = None, space: str | None = None, limits: Limits | None = None
) -> Written:
    """Write one page of a bank.

    Args:
        video: show only this one.
        space: map only this feature space (default: all).
    Raises:
        UnknownNameError: no such video or space.
        ReportError: the page cannot be written there.
    """
    limits = limits or Limits()
    bank = FeatureBank.open(bank_path)
    if space is not None and space not in bank.spaces:
        raise UnknownNameError(f"No space {space!r} in this bank: expected one of {sorted(bank.spaces)}.")
    videos = _listed(bank, video, limits)
    shown = [facts for facts in videos if facts["status"] == "ok"][: limits.videos]
    for place, facts in enumerate(shown):
        facts["shown"] = place
    details = _details(bank, shown, limits)
    pictures = _pictures(bank, shown, details, limits)
    maps = _maps(bank, [space] if space else sorted(bank.spaces), shown, details, limits)
    title = video or Path(os.path.abspath(bank_path)).name
    head = summary(bank, bank_path) | {
        "title": title,
        "path": bank_path,
        "one": video is not None,
        "videos_in_bank": bank.videos().num_rows,
        "list": videos,
        "maps": maps,
        "pictures": sum(len(taken.data) for taken in pictures),
    }
    blocks = [asdict(detail) | {"pictures": asdict(taken)} for detail, taken in zip(details, pictures, strict=True)]
    size = _write(Path(output), render(f"{title} · longform", head, blocks))
    return Written(
        page=output,
        bytes=size,
        videos=len(shown),
        listed=len(videos),
        pictures=head["pictures"],
        without_pictures=[taken.note for taken in pictures if taken.note and not taken.data and limits.pictures],
        spaces=[one["name"] for one in maps],
    )


def _listed(bank: FeatureBank, video: str | None, limits: Limits) -> list[dict[str, Any]]:
    if video is not None:
        bank.stage_fingerprints(video)  # raises for an unknown one
    ids = listed_ids(bank, limits.listed) if video is None else [video]
    return video_facts(bank, ids, limits.message_letters)


def _details(bank: FeatureBank, shown: Sequence[dict[str, Any]], limits: Limits) -> list[VideoDetail]:
    totals = {"shots": limits.shots, "tracks": limits.tracks, "detections": limits.boxes}
    shares = {name: fair_shares([facts["rows"][name] for facts in shown], total) for name, total in totals.items()}
    return [
        video_detail(bank, facts, {name: share[place] for name, share in shares.items()})
        for place, facts in enumerate(shown)
    ]


def _pictures(
    bank: FeatureBank, shown: Sequence[dict[str, Any]], details: Sequence[VideoDetail], limits: Limits
) -> list[Pictures]:
    """Pictures of every shown video that is still there. Reading runs outside Python's lock, so threads help."""
    if not limits.pictures:
        return [Pictures(note="No pictures were asked for.")] * len(shown)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        rows = [bank.snapshot.row(facts["video_id"]) for facts in shown]
        sources = list(pool.map(lambda row: find_source(row["uri"], row["source_sha256"]), rows))
        wanted = _frames(shown, details, sources, limits.pictures)
        total = sum(map(len, wanted))

        def taken(source: Source | str, frames: Sequence[int]) -> Pictures:
            if isinstance(source, str):
                return Pictures(note=source)
            return take_pictures(source, frames, page_pictures=total)

        pictures = list(pool.map(taken, sources, wanted))
    room = fair_shares([sum(map(len, one.data)) for one in pictures], limits.picture_bytes)
    return [thinned(one, max_bytes) for one, max_bytes in zip(pictures, room, strict=True)]


def _frames(
    shown: Sequence[dict[str, Any]], details: Sequence[VideoDetail], sources: Sequence[Source | str], total: int
) -> list[list[int]]:
    """The frames to show of every video: none of one that is not there, a fair share of `total` of the others."""

    def chosen(place: int, most: int) -> list[int]:
        detail = details[place]
        return choose_frames(detail.shots, detail.boxes.frame, shown[place]["fps"] or 1.0, most)

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
    temporary = None
    try:
        with tempfile.NamedTemporaryFile(dir=output.parent, prefix=f".{output.name}.", delete=False) as file:
            temporary = file.name
            file.write(data)
        os.chmod(temporary, 0o644)
        os.replace(temporary, output)
    except OSError as error:
        if temporary is not None:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)
        raise ReportError(f"Cannot write {str(output)!r}: {error.strerror}. Give another place with -o.") from error
    return len(data)
