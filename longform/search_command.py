"""`longform index` and `longform search`: parsed options to one library call, and its result as text or JSON."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict

from longform.query import search as searching
from longform.query.filters import Filters
from longform.query.index import RECALL_AT, build
from pipeline import printing
from pipeline.bank.errors import BankError
from pipeline.bank.reader import FeatureBank

GOOD_RECALL = 0.99


def index(arguments: argparse.Namespace) -> int:
    """Make an index, or bring it up to date, and say what it covers and how well it finds."""
    progress = _no_progress if arguments.json else _progress
    report = build(
        FeatureBank.open(arguments.bank),
        arguments.space,
        arguments.type,
        arguments.metric,
        rebuild=arguments.rebuild,
        device=arguments.device,
        progress=progress,
    )
    facts = report.facts
    if arguments.json:
        named = asdict(facts) | {"videos": len(facts.videos)}
        print(json.dumps({"action": report.action, "reason": report.reason, "added_rows": report.added_rows} | named))
        return 0
    print(f"{report.action}: {report.reason}")
    print(
        f"{facts.rows} rows of {len(facts.videos)} videos, {facts.dim} values, {facts.metric}, {facts.factory}; "
        f"recall@{RECALL_AT} {facts.recall_at_10:.3f} against comparing every row"
    )
    if report.action == "extended" and facts.recall_at_10 < GOOD_RECALL:
        print("an index made anew may find more: --rebuild")
    return 0


def search(arguments: argparse.Namespace) -> int:
    """Print the rows most like the query; how they were found goes to standard error."""
    bank = FeatureBank.open(arguments.bank)
    answer = searching.search(
        bank,
        arguments.space,
        _query(bank, arguments),
        arguments.k,
        Filters(
            video_ids=tuple(arguments.within),
            start_s=arguments.start,
            end_s=arguments.end,
            labels=tuple(arguments.label),
            min_score=arguments.min_score,
        ),
        exclude_near_s=arguments.exclude_near,
        exact=arguments.exact,
        stale_ok=arguments.stale == "ok",
    )
    for note in answer.notes:
        print(printing.harmless(note), file=sys.stderr)
    if arguments.json:
        printing.print_json([hit.to_json() for hit in answer.hits])
    else:
        _print_hits(answer.hits)
    return 0


def _query(bank: FeatureBank, arguments: argparse.Namespace) -> searching.Query:
    """The one query that the options name: a text, a vector file, a moment of a video, or a track of it."""
    given = [name for name in ("video", "vector", "text") if getattr(arguments, name) is not None]
    if len(given) != 1:
        raise BankError("Cannot search: expected one of --video with --at or --track, --vector, and --text.")
    if arguments.video is None and (arguments.at is not None or arguments.track is not None):
        raise BankError(f"Cannot search: got --at or --track with --{given[0]}, expected them with --video.")
    if arguments.weights is not None and arguments.text is None:
        raise BankError(f"Cannot search: got --weights with --{given[0]}, expected it with --text.")
    if arguments.vector is not None:
        return searching.vector_file(arguments.vector)
    if arguments.text is not None:
        from longform.query.text import text

        return text(bank, arguments.space, arguments.text, arguments.weights)
    if arguments.at is not None:
        return searching.moment(bank, arguments.space, arguments.video, arguments.at, arguments.track)
    if arguments.track is not None:
        return searching.track(bank, arguments.space, arguments.video, arguments.track)
    raise BankError(f"Cannot search: got --video {arguments.video!r} alone, expected --at or --track with it.")


def _print_hits(hits: tuple[searching.Hit, ...]) -> None:
    table = printing.table(">score", ">time s", ">track", "video")
    for hit in hits:
        track = "" if hit.track_id is None else hit.track_id
        printing.add_row(table, f"{hit.score:.4f}", f"{hit.at_s:.3f}", track, hit.video_id)
    printing.console().print(table)


def _progress(text: str) -> None:
    print(text, file=sys.stderr)


def _no_progress(text: str) -> None:
    """Says nothing."""
