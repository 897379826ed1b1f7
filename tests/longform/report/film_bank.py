"""A small bank for the page: a film whose frames show their number, a film that is gone, and names that bite."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.bank.manifest import create_or_open
from pipeline.bank.writer import BankWriter
from tests.longform.numbered import numbered_video

CLIPS, PEOPLE = "clip.test", "person.test"
FPS, SECONDS, SHOT_S = 10, 8, 2
EVIL = """</script><img src=x onerror="window.pwned=1">'"\n<!--<b>&amp;\u2028"""
EVIL_CARD = "<script>window.pwned=1</script>"


def make_bank(folder: Path, *, listed: int = 0) -> Path:
    """A bank with `film.mov`, `gone.mp4` and the failed `broken.mp4`, and so many more videos without any rows."""
    numbered_video(folder / "film.mov", FPS * SECONDS, fps=Fraction(FPS), size_hw=(120, 160))
    manifest = create_or_open(str(folder / "bank"))
    manifest.register_space(CLIPS, 4, {"card": {"network": EVIL_CARD}})
    manifest.register_space(PEOPLE, 3, {"kind": "test"})
    writer = BankWriter.open(str(folder / "bank"))
    _commit(writer, _ok("film.mov", str(folder / "film.mov")), _rows("film.mov", 0))
    _commit(writer, _ok("gone.mp4", f"/nowhere/{EVIL}"), _rows("gone.mp4", 1))
    failed = {"error_stage": "probe", "error_class": "ProbeError", "error_message": f"no video {EVIL}"}
    _commit(writer, {"video_id": "broken.mp4", "uri": "/nowhere/broken.mp4", "status": "failed", **failed}, {})
    for number in range(listed):
        _commit(writer, _ok(f"other-{number:04}.mp4", f"/nowhere/{number}.mp4", damage="a frame is lost"), {})
    return folder / "bank"


def _ok(video_id: str, uri: str, **more: Any) -> dict[str, Any]:
    facts = {"duration_s": float(SECONDS), "fps": float(FPS), "width": 160, "height": 120}
    return {"video_id": video_id, "uri": uri, "status": "ok", "num_frames": FPS * SECONDS, **facts, **more}


def _rows(video_id: str, seed: int) -> dict[str, list[dict[str, Any]]]:
    """Four shots of two seconds; two people a second, each in a track of the shot; their features and the clips'."""
    rng = np.random.default_rng(seed)
    name = {"video_id": video_id}
    shots = [
        {**name, "shot_index": i, "start_s": float(start), "end_s": float(start + SHOT_S), "start_frame": start * FPS,
         "end_frame": (start + SHOT_S) * FPS}
        for i, start in enumerate(range(0, SECONDS, SHOT_S))
    ]  # fmt: skip
    detections, people, clips, tracks = [], [], [], []
    for second in range(SECONDS):
        span = {"at_s": float(second), "start_s": float(second), "end_s": float(second + 1)}
        clips.append({**name, **span, "feature": rng.normal(size=4).astype(np.float16)})
        for person in range(2):
            ids = {"detection_id": 2 * second + person, "track_id": 2 * (second // SHOT_S) + person}
            box = np.array([0.1 + 0.5 * person, 0.25, 0.3 + 0.5 * person, 0.75], np.float32)
            detections.append(
                {**name, **ids, "at_s": float(second), "frame": second * FPS, "box": box, "score": 0.75, "class_id": 0,
                 "label": f"person{EVIL}", "shot_index": second // SHOT_S}
            )  # fmt: skip
            people.append({**name, **span, **ids, "feature": rng.normal(size=3).astype(np.float16)})
    for track in range(2 * SECONDS // SHOT_S):
        start = float(track // 2 * SHOT_S)
        tracks.append(
            {**name, "track_id": track, "class_id": 0, "label": f"person{EVIL}", "shot_index": track // 2,
             "start_s": start, "end_s": start + 1, "num_detections": 2}
        )  # fmt: skip
    features = {f"features/{CLIPS}": clips, f"features/{PEOPLE}": people}
    return {"shots": shots, "detections": detections, "tracks": tracks, **features}


def _commit(writer: BankWriter, row: dict[str, Any], tables: dict[str, list[dict[str, Any]]]) -> None:
    fingerprint = "0" * 16
    files = [writer.write_final(table, row["video_id"], "test", fingerprint, [rows]) for table, rows in tables.items()]
    stages = [{"stage": "test", "fingerprint": fingerprint}]
    writer.commit({**row, "stages": stages}, [file for file in files if file is not None])
