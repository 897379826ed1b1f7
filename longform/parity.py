"""`longform parity`: compare the features of a bank with another tool's, and name the step that differs.

Same shape, other values: the usual causes are few (`longform.suspects`). Some clips are computed again with each;
the one that brings the features together is named, and the others are then tried on top of it, since two steps may
differ at once.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline import printing
from pipeline.bank.reader import FeatureBank
from pipeline.errors import PipelineError

if TYPE_CHECKING:
    from longform.suspects import Moments, Recipe

SAME = 0.001
"""Distance of two directions below which nothing is left to explain: float16 alone makes up to 0.0005."""

CLOSE = 0.02
"""Distance below which what is left can be another decoder's or library's rounding."""

ALL_S = 1e9
"""Longer than any video."""

CLIPS_SHOWN = 12
SUSPECTS_SHOWN = 8

ROUNDS = 2
"""Steps that may differ at once and still be named."""


class ParityError(PipelineError):
    """The features cannot be compared: the message says what is missing."""


@dataclass(frozen=True, kw_only=True)
class Report:
    """What a comparison found."""

    space: str
    video_id: str
    clips: list[dict[str, float]]
    """Of each clip that both have: `at_s`, `cosine`, `max_difference`."""
    mean_cosine: float
    notes: list[str] = field(default_factory=list)
    """What can be told from the values alone."""
    suspects: list[dict[str, Any]] = field(default_factory=list)
    """Each change that was tried: `step`, `distance` (of directions, 0 to 2), `mean_cosine`; best first."""
    verdict: list[str] | None = None
    """The steps that differ; empty when nothing does, None when no suspect explains the difference."""


def parity(options: argparse.Namespace) -> int:
    """The command. Exit status 1 when the features differ."""
    bank = FeatureBank.open(options.bank)
    theirs = read_theirs(options.against)
    video_id = options.video or _only_video(bank, options.against)
    report = compare(bank, options.space, video_id, theirs)
    if report.verdict is None:
        report = investigate(bank, report, theirs, clips=options.clips, weights=options.weights)
    if options.json:
        printing.print_json(asdict(report))
    else:
        _print(report)
    return 0 if report.verdict == [] else 1


def read_theirs(path: str) -> np.ndarray:
    """(clips, D) float32 of an .npy file.

    Raises:
        ParityError: it is no array of numbers of that shape.
    """
    try:
        values = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise ParityError(f"{path!r} is not an .npy file of numbers: {error}") from error
    if not isinstance(values, np.ndarray) or values.ndim != 2 or values.dtype.kind not in "fiu":
        got = f"{values.shape} {values.dtype}" if isinstance(values, np.ndarray) else "an .npz archive"
        raise ParityError(f"{path!r} holds {got}; expected an array (clips, dimension) of numbers in one .npy file.")
    found = values.astype(np.float32)
    if not (finite := np.isfinite(found).all(1)).all():
        raise ParityError(
            f"{path!r} has values in {np.count_nonzero(~finite)} of {len(found)} clips that are no finite numbers, "
            f"first in clip {int(finite.argmin())}: float16 ends at 65504."
        )
    return found


def _only_video(bank: FeatureBank, against: str) -> str:
    ids = bank.videos()["video_id"].to_pylist()
    if len(ids) == 1:
        return ids[0]
    stem = Path(against).stem
    same = [video_id for video_id in ids if stem in (video_id, Path(video_id).stem)]
    if len(same) != 1:
        raise ParityError(
            f"The bank has {len(ids)} videos, and {len(same)} are called {stem!r}: say which with --video."
        )
    return same[0]


def compare(bank: FeatureBank, space: str, video_id: str, theirs: np.ndarray) -> Report:
    """Cosine and largest difference of each clip, and the difference that the values alone explain.

    Raises:
        ParityError: nothing to compare, or another dimension.
    """
    window = bank.window(space, video_id, 0.0, after_s=ALL_S)
    ours, times = window.features, window.times_s
    if ours.shape[1] != theirs.shape[1] or not len(ours) or not len(theirs):
        reason = "Another dimension is another layer or another network: the embedding is the classifier's input, "
        reason += "pathways slow before fast."
        if ours.shape[1] == theirs.shape[0]:
            reason = "Theirs looks transposed: expected (clips, dimension)."
        raise ParityError(
            f"{space} of {video_id} has {ours.shape[0]} features of {ours.shape[1]} values, theirs {theirs.shape[0]} "
            f"of {theirs.shape[1]}. {reason}"
        )
    common = min(len(ours), len(theirs))
    cosines, differences = _cosines(ours[:common], theirs[:common]), np.abs(ours[:common] - theirs[:common]).max(1)
    clips = [
        {"at_s": float(t), "cosine": float(c), "max_difference": float(d)}
        for t, c, d in zip(times, cosines, differences, strict=False)
    ]
    report = Report(space=space, video_id=video_id, clips=clips, mean_cosine=float(cosines.mean()))
    if lag := _best_lag(ours, theirs):
        moved = f"theirs fits best {abs(lag)} clips {'later' if lag > 0 else 'earlier'}"
        moved += f" ({lag * (times[1] - times[0]):+.3g} s)"
        if _distance(*_moved(ours, theirs, lag)) >= SAME:
            return replace(report, notes=[moved])
        return replace(report, verdict=[moved])
    if _distance(ours[:common], theirs[:common]) >= SAME:
        return report
    return replace(report, verdict=[*_other_count(ours, theirs), *_other_length(ours[:common], theirs[:common])])


def _cosines(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    return np.asarray((_directions(ours) * _directions(theirs)).sum(1))


def _directions(features: np.ndarray) -> np.ndarray:
    return features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)


def _distance(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Mean distance of the directions of two sets of features: 0 the same, 1.4 unrelated."""
    return float(np.linalg.norm(_directions(ours) - _directions(theirs), axis=1).mean())


def _other_count(ours: np.ndarray, theirs: np.ndarray) -> list[str]:
    if len(ours) == len(theirs):
        return []
    if len(theirs) < len(ours):
        return [f"theirs lacks the last {len(ours) - len(theirs)} of {len(ours)} clips (those past the end?)"]
    return [f"theirs has {len(theirs)} clips, ours {len(ours)}"]


def _other_length(ours: np.ndarray, theirs: np.ndarray) -> list[str]:
    lengths = np.linalg.norm(theirs, axis=1)
    factor = float(np.median(lengths / np.maximum(np.linalg.norm(ours, axis=1), 1e-12)))
    if abs(factor - 1) < 0.01:
        return []
    if np.allclose(lengths, 1, atol=1e-3):
        return ["their vectors are L2-normalised"]
    return [f"their vectors are {factor:.4g} times as long"]


def _best_lag(ours: np.ndarray, theirs: np.ndarray, reach: int = 3) -> int:
    """Clips by which `theirs` must be moved to fit best; 0 unless another place fits clearly better."""

    def misfit(lag: int) -> float:
        first, second = _moved(ours, theirs, lag)
        return _distance(first, second) if len(first) >= 2 else np.inf

    best = min(range(-reach, reach + 1), key=lambda lag: (misfit(lag), abs(lag)))
    return best if misfit(best) < 0.5 * misfit(0) and misfit(0) >= SAME else 0


def _moved(ours: np.ndarray, theirs: np.ndarray, lag: int) -> tuple[np.ndarray, np.ndarray]:
    """The clips that both have when `theirs` is moved by `lag`."""
    first, second = (ours[lag:], theirs) if lag >= 0 else (ours, theirs[-lag:])
    common = min(len(first), len(second))
    return first[:common], second[:common]


def investigate(
    bank: FeatureBank, report: Report, theirs: np.ndarray, *, clips: int, weights: str | None = None
) -> Report:
    """Compute some clips again with each suspect, and name the steps that differ.

    Raises:
        ParityError: the space was not made by a network, or the video or its weights have changed.
        WeightsError: the weights are not there.
    """
    from extractors.runtime import Runtime
    from longform.suspects import Moments

    base, source, precision = _rebuilt(bank, report.space, weights)
    runtime = Runtime(precision=precision)
    row = next(row for row in bank.videos().to_pylist() if row["video_id"] == report.video_id)
    chosen = np.unique(np.linspace(0, len(report.clips) - 1, clips).round().astype(int))
    moments = [Fraction(report.clips[i]["at_s"]).limit_denominator(1000) for i in chosen]
    network = Moments(row["uri"], moments, runtime.prepare(source.build()), runtime)
    again = network.features({"": base})[""]
    ours = bank.window(report.space, report.video_id, 0.0, after_s=ALL_S).features[chosen]
    if _distance(again, ours) >= SAME:
        raise ParityError(
            f"The bank's own features of {report.video_id!r} cannot be made again from {row['uri']!r} (distance "
            f"{_distance(again, ours):.4f}): the video or a library has changed since. Extract it again first."
        )
    steps, tried, left = _search(network, base, theirs[chosen], _distance(again, theirs[chosen]))
    return replace(report, suspects=tried, verdict=steps if steps and left < CLOSE else None)


def _search(
    network: Moments, base: Recipe, theirs: np.ndarray, distance: float
) -> tuple[list[str], list[dict[str, Any]], float]:
    """The steps that bring us to `theirs`, all that was tried, and the distance that is left.

    A step counts only if it at least halves the distance.
    """
    from longform.suspects import recipes

    steps: list[str] = []
    tried: list[dict[str, Any]] = []
    for _ in range(ROUNDS):
        ways = recipes(base, network.geometry)
        found = network.features(ways)
        left = {name: _distance(rows, theirs) for name, rows in found.items()}
        tried += [
            {
                "step": " + ".join([*steps, name]),
                "distance": left[name],
                "mean_cosine": float(_cosines(rows, theirs).mean()),
            }
            for name, rows in found.items()
        ]
        name = min(left, key=lambda name: left[name])
        if left[name] > distance / 2:
            break
        steps, base, distance = [*steps, name], ways[name], left[name]
        if distance < SAME:
            break
    return steps, sorted(tried, key=lambda entry: entry["distance"]), distance


def _rebuilt(bank: FeatureBank, space: str, weights: str | None) -> tuple[Any, Any, str]:
    """The recipe, the network and the precision that made a space, from what the bank says of it."""
    from extractors.clips.input import ClipInput
    from extractors.networks import network_source
    from longform.suspects import Recipe

    made: Mapping[str, Any] = bank.spaces[space].provenance
    if "network" not in made:
        raise ParityError(
            f"{space} was not made by a network over clips, so there is no step to try: {made.get('kind')}."
        )
    network, config = made["network"], made["config"]
    ((name, digest),) = made["weights"].items()
    source = network_source(network["model"], weights or name, **network["options"])
    if source.sha256 != digest:
        raise ParityError(f"Weights {weights or name!r} have sha256 {source.sha256}, the bank was made with {digest}.")
    values: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in network["input"].items()}
    source = replace(source, input=ClipInput(**values))
    return Recipe(spec=source.input, scaler=config["scaler"]), source, network["precision"]


def _print(report: Report) -> None:
    console = printing.console()
    subject = printing.harmless(f"{report.space} of {report.video_id}")
    console.print(f"{subject}: mean cosine {report.mean_cosine:.6f}", style="bold")
    table = printing.table(">time s", ">cosine", ">largest difference")
    for clip in report.clips[:CLIPS_SHOWN]:
        cells = f"{clip['at_s']:.3f}", f"{clip['cosine']:.6f}", f"{clip['max_difference']:.4g}"
        printing.add_row(table, *cells)
    console.print(table)
    if len(report.clips) > CLIPS_SHOWN:
        console.print(f"... and {len(report.clips) - CLIPS_SHOWN} more clips (--json has all)")
    for note in report.notes:
        console.print(f"note: {note}")
    if report.suspects:
        suspects = printing.table(">distance", ">mean cosine", "with this step changed in ours")
        for entry in report.suspects[:SUSPECTS_SHOWN]:
            cells = f"{entry['distance']:.5f}", f"{entry['mean_cosine']:.6f}", entry["step"]
            printing.add_row(suspects, *cells)
        console.print()
        console.print(suspects)
    console.print(_sentence(report), style="bold")


def _sentence(report: Report) -> str:
    if report.verdict == []:
        return "The features are the same."
    if report.verdict:
        return f"What differs: {', and '.join(report.verdict)}."
    return "No suspect explains the difference: other weights, another layer, or several steps at once."
