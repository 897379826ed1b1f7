"""The action classifier of rendered films, for pseudo-labels: fitted on people found in the training films.

    python -m benchmarks.lvu.synthetic.film_teacher --films films --bank bank

writes `films/teacher.safetensors`: 80 classes of `person.hsv_stripes`, as AVA's classifier of SlowFast features. What
each person does is known from how the films were made; found people are matched to drawn ones by overlap.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import save_file
from torch import nn

from benchmarks.lvu.synthetic.design import CHANNELS
from benchmarks.lvu.synthetic.features import ACTION_CLASSES, action_codes, read_states
from benchmarks.lvu.synthetic.films import OBJECTS_PER_SCENE, FilmConfig, screenplays
from benchmarks.lvu.synthetic.screenplay import Presence, Screenplay
from extractors.ops.boxes import iou_matrix
from extractors.tracking.appearance import HSV_STRIPES_DIM
from longform.datasets.lvu import SPLITS, read_split
from longform.object_transformer.bank_tokens import BankSpaces, box_table
from longform.object_transformer.tokens import BoxTable
from pipeline.bank import FeatureBank

FILM_SPACE = "person.hsv_stripes"
MATCH_IOU = 0.4
TEACHER = "teacher.safetensors"
WEIGHT_DECAY, STEPS = 1e-5, 200


@dataclass(frozen=True, kw_only=True, eq=False)
class Found:
    """People found in films, N of them, and what they do."""

    features: NDArray[np.float32]
    """(N, 72)."""
    states: NDArray[np.int64]
    """(N, 6) as `Presence.states`."""
    handled: NDArray[np.int64]
    """(N,)."""


def fit_teacher(films: Path, bank: Path) -> dict[str, float]:
    """Write `teacher.safetensors` beside the films.

    Returns:
        of each channel, and of the objects by scene, the percentage of people in validation and test films of whom it
        is read rightly.
    Raises:
        BankError: the bank lacks a film.
    """
    opened = FeatureBank.open(str(bank))
    parts = {split: found_in(opened, plays) for split, plays in plays_by_split(films).items()}
    linear = _fit(parts["train"].features, action_codes(parts["train"].states, parts["train"].handled))
    weight, bias = (tensor.detach().numpy() for tensor in (linear.weight, linear.bias))
    save_file({"head.projection.weight": weight, "head.projection.bias": bias}, films / TEACHER)
    tested = [parts[split] for split in SPLITS if split != "train"]
    features, known, handled = (
        np.concatenate([getattr(part, name) for part in tested]) for name in ("features", "states", "handled")
    )
    states, objects = read_states(features @ weight.T + bias, 0.0)
    shares: dict[str, float] = {channel: (states == known)[:, number].mean() for number, channel in enumerate(CHANNELS)}
    shares["objects"] = (objects // OBJECTS_PER_SCENE == handled // OBJECTS_PER_SCENE).mean()
    return {name: 100 * float(share) for name, share in shares.items()}


def plays_by_split(films: Path) -> dict[str, dict[str, Screenplay]]:
    """What the films of a folder show, by split and video id."""
    config = FilmConfig(**json.loads((films / "films.json").read_text(encoding="utf-8")))
    plays = {video_id: play for video_id, play, _ in screenplays(config)}
    return {
        split: {video.video_id: plays[video.video_id] for video in read_split(films / "lvu_1.0", "scene", split)}
        for split in SPLITS
    }


def found_in(bank: FeatureBank, plays: Mapping[str, Screenplay]) -> Found:
    """The people of some films that the bank has a box for."""
    features, cast = [], []
    for video_id, play in plays.items():
        table = box_table(bank, video_id, BankSpaces(persons=FILM_SPACE))
        rows, shown = matched(table, play)
        features.append(table.features[rows].astype(np.float32))
        cast += shown
    return Found(
        features=np.concatenate(features),
        states=np.array([one.states for one in cast], np.int64),
        handled=np.array([one.handled for one in cast], np.int64),
    )


def matched(table: BoxTable, play: Screenplay) -> tuple[list[int], list[Presence]]:
    """Boxes that are surely a drawn person, and that person."""
    rows, shown = [], []
    for second in np.unique(table.seconds):
        here = np.flatnonzero(table.seconds == second)
        drawn = [one for one in play.cast if one.start_s <= second < one.end_s]
        if not drawn:
            continue
        overlaps = iou_matrix(np.array([one.box for one in drawn]), table.boxes[here])
        for one, overlap in zip(drawn, overlaps, strict=True):
            if overlap.max() >= MATCH_IOU:
                rows.append(int(here[overlap.argmax()]))
                shown.append(one)
    return rows, shown


def _fit(features: NDArray[np.float32], codes: NDArray[np.float32]) -> nn.Linear:
    """80 classes, each for itself."""
    inputs, wanted = torch.from_numpy(features), torch.from_numpy(codes)
    linear = nn.Linear(HSV_STRIPES_DIM, len(ACTION_CLASSES))
    nn.init.zeros_(linear.weight)
    nn.init.zeros_(linear.bias)
    optimizer = torch.optim.LBFGS(linear.parameters(), max_iter=STEPS, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = nn.functional.binary_cross_entropy_with_logits(linear(inputs), wanted)
        loss = loss + WEIGHT_DECAY * linear.weight.square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    return linear


def main() -> None:
    """Fit the classifier and print how well it reads films that it was not fitted on."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--films", type=Path, required=True, help="folder written by python -m benchmarks.lvu.synthetic"
    )
    parser.add_argument("--bank", type=Path, required=True, help="bank that longform extract made of them")
    options = parser.parse_args()
    for channel, percent in fit_teacher(options.films, options.bank).items():
        print(f"{channel:8} {percent:5.1f} % of people in validation and test films read rightly")


if __name__ == "__main__":
    main()
