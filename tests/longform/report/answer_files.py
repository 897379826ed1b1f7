"""Files of answers about the film bank: predictions with attended moments, and masked tracks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.longform.report.film_bank import EVIL

LEFT, RIGHT = [0.1, 0.25, 0.3, 0.75], [0.6, 0.25, 0.8, 0.75]


def scores(*pairs: tuple[str, float]) -> list[dict[str, Any]]:
    return [{"class": number, "name": name, "score": score} for number, (name, score) in enumerate(pairs)]


def moment(at_s: float, weight: float, track: int | None = None, box: list[float] | None = None) -> dict[str, Any]:
    return {"at_s": at_s, "offset_s": 0.0, "box": box, "detection_id": None, "track_id": track, "weight": weight,
            "layers": [weight]}  # fmt: skip


def prediction(video_id: str, at_s: float, name: str, *moments: dict[str, Any]) -> dict[str, Any]:
    return {"video": video_id, "bank_video_id": video_id, "at_s": at_s, "box": RIGHT,
            "scores": scores((name, 0.9), ("other", 0.3)), "empty_slots": 3, "empty_weight": 0.05,
            "moments": list(moments)}  # fmt: skip


FIRST = (moment(4.0, 0.3, 4, LEFT), moment(1.0, 0.5, 0, LEFT), moment(1.0, 0.1, 1, RIGHT), moment(6.0, 0.05))
PREDICTIONS = [
    prediction("film.mov", 6.5, "answer phone", moment(0.0, 0.95, 1, RIGHT)),
    prediction("film.mov", 3.5, "open", *FIRST),
    prediction("gone.mp4", 2.0, EVIL, moment(3.0, 0.9, 2, LEFT)),
]


def explanations(*predictions: dict[str, Any]) -> dict[str, Any]:
    return {"dataset": "ava", "space": "person.test", "operator": "nl", "window_s": 6, "causal": False,
            "predictions": list(predictions)}  # fmt: skip


def masked_track(track: int, at_s: float, context: str, short_term: str) -> dict[str, Any]:
    return {"track_id": track, "at_s": at_s, "box": LEFT if track % 2 == 0 else RIGHT, "start_s": at_s - 1,
            "end_s": at_s, "boxes": 2, "span_start_s": 0, "span_end_s": 60,
            "context": scores((context, 0.4), ("sit", 0.2)),
            "short_term": scores((short_term, 0.8), ("stand", 0.1))}  # fmt: skip


TRACKS = [masked_track(track, 2.0 * (track // 2) + 1, f"context {track}", "sit") for track in range(8)]


def masked(*videos: tuple[str, list[dict[str, Any]]]) -> dict[str, Any]:
    return {"space": "person.test", "activation": "sigmoid", "span_s": 60,
            "videos": [{"bank_video_id": name, "tracks": tracks} for name, tracks in videos]}  # fmt: skip


def write(path: Path, content: Any) -> str:
    path.write_text(json.dumps(content), encoding="utf-8")
    return str(path)
