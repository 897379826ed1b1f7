"""What the way through pixels loses: cuts, people, tracks and actions, and how far each task can still be solved.

    python -m benchmarks.lvu.synthetic.film_ceilings --films films --bank bank --min-score 0.6 --json ceilings.json

Measured on the test films, after `film_teacher`. The oracle is that of the bank form (`facts`): it trains nothing,
counts what the classifier reads from the boxes of the bank, and takes the label of the nearest design.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.lvu.synthetic.design import CHANNELS
from benchmarks.lvu.synthetic.facts import facts_of, labels_of
from benchmarks.lvu.synthetic.features import read_states
from benchmarks.lvu.synthetic.film_teacher import FILM_SPACE, TEACHER, matched, plays_by_split
from benchmarks.lvu.synthetic.films import OBJECTS_PER_SCENE
from benchmarks.lvu.synthetic.screenplay import EXTRA, Screenplay
from longform.datasets.lvu import TASKS, read_split
from longform.object_transformer.bank_tokens import BankSpaces, box_table
from longform.object_transformer.pretrained import read_short_term_classifier
from longform.object_transformer.tokens import BoxTable
from pipeline.bank import FeatureBank

CUT_TOLERANCE_S = 0.5


def ceilings(films: Path, bank: Path, min_score: float) -> dict[str, Any]:
    """Shares in percent, and of each task what the oracle reaches.

    Raises:
        BankError: the bank lacks a film.
        WeightsError: there is no classifier beside the films.
    """
    plays = plays_by_split(films)["test"]
    opened = FeatureBank.open(str(bank))
    tables = {name: box_table(opened, name, BankSpaces(persons=FILM_SPACE, min_score=min_score)) for name in plays}
    classifier = read_short_term_classifier(films / TEACHER)
    weight, bias = classifier.weight.detach().numpy(), classifier.bias.detach().numpy()
    logits = {name: table.features.astype(np.float32) @ weight.T + bias for name, table in tables.items()}
    return {
        "films": len(plays),
        "cuts": _cuts(opened, plays),
        "people": _people(tables, plays),
        "read": _read(tables, plays, logits),
        "oracle": _oracle(films, tables, logits),
    }


def _cuts(bank: FeatureBank, plays: Mapping[str, Screenplay]) -> dict[str, int]:
    counts = {"shown": 0, "found": 0, "false": 0}
    for name, play in plays.items():
        shown = play.cuts_s[1:-1]
        starts = bank.table("shots", name)["start_s"].to_numpy()
        distances = np.abs(np.subtract.outer(shown, starts[starts > 0]))
        counts["shown"] += len(shown)
        if distances.size:
            counts["found"] += int((distances.min(1) <= CUT_TOLERANCE_S).sum())
            counts["false"] += int((distances.min(0) > CUT_TOLERANCE_S).sum())
    return counts


def _people(tables: Mapping[str, BoxTable], plays: Mapping[str, Screenplay]) -> dict[str, float]:
    """Of leads and extras on screen when the detector looked, and of tracks, which break or hold two persons."""
    shown = found = boxes = pure = tracks = appearances = 0
    for name, play in plays.items():
        table = tables[name]
        rows, cast = matched(table, play)
        looks = np.unique(table.seconds)
        shown += sum(int(((looks >= one.start_s) & (looks < one.end_s)).sum()) for one in play.cast)
        found += len(rows)
        boxes += len(table)
        persons: dict[int, set[tuple[int, int]]] = {}
        for row, one in zip(rows, cast, strict=True):
            persons.setdefault(int(table.tracks[row]), set()).add((one.shot, one.person))
        tracks += len(persons)
        pure += sum(len(several) == 1 for several in persons.values())
        appearances += len({key for several in persons.values() for key in several})
    return {
        "shown": shown,
        "found_percent": 100 * found / shown,
        "false_boxes_percent": 100 * (boxes - found) / boxes,
        "tracks_of_one_person_percent": 100 * pure / tracks,
        "tracks_per_appearance": tracks / appearances,
    }


def _read(
    tables: Mapping[str, BoxTable], plays: Mapping[str, Screenplay], logits: Mapping[str, NDArray[np.float32]]
) -> dict[str, float]:
    """Percentage of the found leads of whom a channel is read rightly, and of all people the object's scene."""
    rights: dict[str, list[bool]] = {name: [] for name in (*CHANNELS, "objects")}
    for name, play in plays.items():
        rows, cast = matched(tables[name], play)
        states, objects = read_states(logits[name][rows], 0.0)
        for state, handled, one in zip(states, objects, cast, strict=True):
            rights["objects"].append(handled // OBJECTS_PER_SCENE == one.handled // OBJECTS_PER_SCENE)
            if one.person < EXTRA:
                for channel, read, shown in zip(CHANNELS, state, one.states, strict=True):
                    rights[channel].append(read == shown)
    return {name: 100 * float(np.mean(values)) for name, values in rights.items()}


def _oracle(films: Path, tables: Mapping[str, BoxTable], logits: Mapping[str, NDArray[np.float32]]) -> dict[str, float]:
    """Top-1 in percent or mean squared error of each task."""
    judged = {name: labels_of(facts_of(table, logits[name])) for name, table in tables.items()}
    values = {}
    for task in TASKS.values():
        videos = read_split(films / "lvu_1.0", task.name, "test")
        errors = np.array([judged[video.video_id][task.name] - video.label for video in videos])
        values[task.name] = float(np.mean(errors**2) if task.is_regression else 100 * np.mean(errors == 0))
    return values


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--films", type=Path, required=True)
    parser.add_argument("--bank", type=Path, required=True)
    parser.add_argument("--min-score", type=float, default=0.0, help="of the detector (default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    options = parser.parse_args()
    text = json.dumps(ceilings(options.films, options.bank, options.min_score), indent=1)
    print(text)
    if options.json:
        options.json.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
