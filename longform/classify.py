"""`longform classify`: the top classes of videos, and when they are seen."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.text import Text

from extractors.backbones.base import Backbone
from extractors.backbones.heads import RoiHead
from extractors.classes import CLASS_LISTS, class_names
from extractors.errors import ConfigError
from extractors.networks import UNTRAINED, NetworkSource, network_source
from extractors.runtime import Runtime
from longform.recognition import ClipScores, VideoScores, Views, recognise_video
from pipeline import printing
from pipeline.errors import PipelineError
from pipeline.rows import printable

BAR_WIDTH = 20


@dataclass(frozen=True, kw_only=True)
class _Classifier:
    """A network that is ready, and how it is used."""

    source: NetworkSource
    labels: tuple[str, ...]
    labels_known: bool
    network: Backbone
    runtime: Runtime
    views: Views

    def judge(self, uri: str) -> VideoScores:
        return recognise_video(uri, self.network, self.source.input, self.runtime, self.views)


def classify(arguments: argparse.Namespace) -> int:
    """Run the command: 0, or 1 where a video could not be read (the others are classified)."""
    classifier = _prepared(arguments)
    console = printing.console()
    if not arguments.json:
        _print_head(console, classifier)
    results, failed = [], False
    for uri in arguments.videos:
        try:
            judged = classifier.judge(uri)
        except PipelineError as error:
            failed = True
            results.append({"video": printable(uri), "error": str(error)})
            if not arguments.json:
                console.print(printing.lines(f"\n{error}", style="red"))
            continue
        results.append(_as_json(uri, judged, classifier, arguments.top))
        if not arguments.json:
            _print_video(console, uri, judged, classifier, arguments.top)
    if arguments.json:
        printing.print_json(results)
    return 1 if failed else 0


def _prepared(arguments: argparse.Namespace) -> _Classifier:
    runtime = Runtime(device=arguments.device, precision=arguments.precision, compile=arguments.compile)
    source = network_source(arguments.model, arguments.weights)
    outline = source.outline()
    _refuse_unfit(source, outline)
    named = arguments.classes or (source.classes if source.classes in CLASS_LISTS else None)
    numbers = tuple(f"class {number}" for number in range(outline.num_classes))
    return _Classifier(
        source=source,
        labels=class_names(named, num_classes=outline.num_classes) if named else numbers,
        labels_known=named is not None,
        network=runtime.prepare(source.build()),
        runtime=runtime,
        views=Views(clips=arguments.clips, crops=arguments.crops, combine=arguments.combine),
    )


def _refuse_unfit(source: NetworkSource, network: Backbone) -> None:
    """Say so where a network cannot name what happens in a whole picture."""
    if source.input.channels == "flow" or network.input_channels != 3:
        raise ConfigError(f"{source.model!r} ({source.weights}) does not look at RGB pictures; choose another network.")
    if isinstance(getattr(network, "head", None), RoiHead):
        raise ConfigError(f"{source.model!r} names what people in boxes do, not clips; choose another network.")


def _top(scores: NDArray[np.float32], labels: Sequence[str], count: int) -> list[dict[str, Any]]:
    """The best classes, best first; equal scores in the order of the classes."""
    best = np.argsort(-scores, kind="stable")[:count]
    return [{"label": labels[i], "index": int(i), "score": round(float(scores[i]), 6)} for i in best]


def _as_json(uri: str, judged: VideoScores, classifier: _Classifier, count: int) -> dict[str, Any]:
    source = classifier.source
    return {
        "video": printable(uri),
        "model": source.model,
        "weights": source.weights,
        "weights_sha256": None if source.weights == UNTRAINED else source.sha256,
        "input": asdict(source.input),
        "views": asdict(classifier.views),
        "duration_s": judged.duration_s,
        "frames_replaced": judged.frames_replaced,
        "classes": _top(judged.scores, classifier.labels, count),
        "clips": [
            {"start_s": clip.start_s, "end_s": clip.end_s, "classes": _top(clip.scores, classifier.labels, count)}
            for clip in judged.clips
        ],
    }


def _print_head(console: Console, classifier: _Classifier) -> None:
    source, views, spec = classifier.source, classifier.views, classifier.source.input
    activation = classifier.network.activation
    if source.weights == UNTRAINED:
        warning = f"UNTRAINED: {source.model} has random weights. Its classes and scores mean nothing."
        console.print(warning, style="bold red")
    else:
        console.print(f"{source.model}, weights {printing.harmless(source.weights)} (sha256 {source.sha256[:12]})")
    console.print(
        f"views: {views.clips} x {views.crops} (clips x crops), {spec.num_frames} frames of {spec.crop_px} px; "
        f"scores: {views.combine} of {activation}"
    )
    if not classifier.labels_known:
        console.print("No class names for these weights: classes have numbers (--classes gives them names)")


def _print_video(console: Console, uri: str, judged: VideoScores, classifier: _Classifier, count: int) -> None:
    console.print(f"\n{printing.harmless(uri)}", style="bold", end="")
    console.print(f"  {_clock(judged.duration_s)}", style="dim")
    if judged.frames_replaced:
        console.print(f"{judged.frames_replaced} frames could not be decoded; the ones before them were looked at")
    table = printing.table(">score", "", "class")
    for entry in _top(judged.scores, classifier.labels, count):
        bar = Text(("█" * round(BAR_WIDTH * entry["score"])).ljust(BAR_WIDTH, "·"), style="cyan")
        printing.add_row(table, _percent(entry["score"]), bar, entry["label"])
    console.print(table)
    timeline = printing.table(">from", ">to", ">clips", ">score", "class")
    for run in _runs(judged.clips):
        index = int(run[0].scores.argmax())
        score = float(np.mean([clip.scores[index] for clip in run]))
        times = _clock(run[0].start_s), _clock(max(clip.end_s for clip in run))
        printing.add_row(timeline, *times, len(run), _percent(score), classifier.labels[index])
    console.print(timeline)


def _runs(clips: Sequence[ClipScores]) -> Iterator[list[ClipScores]]:
    """Neighbouring clips with the same best class, together."""
    for _, run in groupby(clips, key=lambda clip: int(clip.scores.argmax())):
        yield list(run)


def _clock(seconds: float) -> str:
    """`1:02:03.4`, or `2:03.4` below an hour; rounded down, so that a time lies inside the video."""
    tenths = int(seconds * 10 + 1e-6)
    minutes, rest = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    head = f"{hours}:{minutes:02d}" if hours else str(minutes)
    return f"{head}:{rest // 10:02d}.{rest % 10}"


def _percent(score: float) -> str:
    return f"{100 * score:.1f} %"
