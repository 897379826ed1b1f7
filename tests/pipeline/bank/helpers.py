"""Banks for tests: random but reproducible videos, and a filesystem that dies at a chosen operation."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import fs as pafs

from pipeline.bank import FeatureBank
from pipeline.bank.manifest import create_or_open
from pipeline.bank.verify import verify
from pipeline.bank.writer import BankWriter, DataFile

CLIPS, PEOPLE = "clip.test", "person.test"
DIMS = {CLIPS: 4, PEOPLE: 3}


def new_bank(uri: Any, dims: Mapping[str, int] = DIMS) -> BankWriter:
    """An empty bank with the test spaces registered."""
    manifest = create_or_open(str(uri))
    for name, dim in dims.items():
        manifest.register_space(name, dim, {"model": "test"})
    return BankWriter.open(str(uri))


@dataclass
class Video:
    """Rows of every table of one video, as dicts."""

    video_id: str
    rows: dict[str, list[dict[str, Any]]] = field(default_factory=dict)


def video(video_id: str, seconds: int = 6, seed: int = 0, step_s: float = 1.0) -> Video:
    """Two shots, two people a step, one clip a step; content follows from the seed."""
    rng = np.random.default_rng(seed)
    half = max(seconds // 2, 1)
    shots = [(0, half), (half, seconds)] if seconds > 1 else [(0, seconds)]
    out = Video(video_id)
    out.rows["shots"] = [
        {"video_id": video_id, "shot_index": i, "start_s": float(a), "end_s": float(b), "start_frame": a * 25,
         "end_frame": b * 25, "start_pts": a, "end_pts": b}
        for i, (a, b) in enumerate(shots)
    ]  # fmt: skip
    detections, people, clips = [], [], []
    for k in range(int(seconds / step_s)):
        at_s = k * step_s
        clips.append(feature(video_id, at_s, rng.normal(size=DIMS[CLIPS])))
        for person in range(2):
            box = np.sort(rng.uniform(size=(2, 2)), axis=0).reshape(4)
            detection_id = 2 * k + person
            track_id = None if rng.uniform() < 0.2 else person
            detections.append(
                {"video_id": video_id, "at_s": at_s, "frame": int(at_s * 25), "pts": k, "detection_id": detection_id,
                 "box": box, "score": 0.5, "class_id": 1, "label": "person", "track_id": track_id,
                 "shot_index": 0 if at_s < half else len(shots) - 1}
            )  # fmt: skip
            people.append(feature(video_id, at_s, rng.normal(size=DIMS[PEOPLE]), detection_id, track_id))
    out.rows["detections"] = detections
    out.rows["tracks"] = [
        {"video_id": video_id, "track_id": t, "class_id": 1, "label": "person", "shot_index": None, "start_s": 0.0,
         "end_s": float(seconds), "num_detections": seconds}
        for t in range(2)
    ]  # fmt: skip
    out.rows["features/" + CLIPS], out.rows["features/" + PEOPLE] = clips, people
    return out


def feature(
    video_id: str, at_s: float, value: Any, detection: int | None = None, track: int | None = None
) -> dict[str, Any]:
    """One row of a feature space."""
    vector = np.asarray(value, np.float16)
    return {"video_id": video_id, "at_s": at_s, "start_s": at_s - 0.5, "end_s": at_s + 0.5, "detection_id": detection,
            "track_id": track, "feature": vector}  # fmt: skip


def ok_row(video_id: str, fingerprint: str, **more: Any) -> dict[str, Any]:
    """A videos row for `BankWriter.commit`."""
    stages = [{"stage": name, "fingerprint": fingerprint} for name in ("shots", "people", "clips")]
    return {
        "video_id": video_id, "uri": f"file:///in/{video_id}", "status": "ok", "duration_s": 6.0, "fps": 25.0,
        "width": 64, "height": 48, "num_frames": 150, "stages": stages, **more,
    }  # fmt: skip


def publish(writer: BankWriter, content: Video, fingerprint: str) -> list[DataFile]:
    """Write the final files of a video, two rows a batch."""
    files = []
    for table, rows in content.rows.items():
        batches = [rows[i : i + 2] for i in range(0, len(rows), 2)]
        files.append(writer.write_final(table, content.video_id, table, fingerprint, batches))
    return [file for file in files if file is not None]


def put(writer: BankWriter, content: Video, fingerprint: str = "f" * 16) -> None:
    """Extract, in the way of a test: final files, then the commit."""
    files = publish(writer, content, fingerprint)
    writer.commit(ok_row(content.video_id, fingerprint), files)


def everything(bank: FeatureBank) -> dict[str, Any]:
    """All answers of a bank, for comparison."""
    answers: dict[str, Any] = {name: bank.table(name).to_pylist() for name in ("shots", "detections", "tracks")}
    answers |= {space: bank.features(space).to_pylist() for space in bank.spaces}
    for video_id in bank.videos()["video_id"].to_pylist():
        for space in bank.spaces:
            window = bank.window(space, video_id, 2.0, 1.5, 2.0)
            answers[f"{video_id}/{space}"] = window.to_json()
    return answers


def assert_whole(path: Any, warnings: Sequence[str] | None = None) -> None:
    """The bank verifies; with `warnings`, exactly these kinds are left over."""
    report = verify(path)
    assert report.problems == []
    if warnings is not None:
        assert sorted({warning.kind for warning in report.warnings}) == sorted(warnings)


class Killed(Exception):
    """The process is dead: every operation after the chosen one raises it too."""


class DyingFilesystem(pafs.FileSystemHandler):
    """Passes to another filesystem, and dies at the n-th changing operation: before it, or after it."""

    def __init__(self, fs: pafs.FileSystem, dies_at: int | None, after: bool = False) -> None:
        self.fs, self.dies_at, self.after = fs, dies_at, after
        self.count = 0

    def _step(self, operation: Any, *args: Any, **kwargs: Any) -> Any:
        self.count += 1
        if self.dies_at is not None:
            if self.count > self.dies_at or (self.count == self.dies_at and not self.after):
                raise Killed(f"at {operation.__name__} {args[:2]}")
            if self.count == self.dies_at:
                operation(*args, **kwargs)
                raise Killed(f"after {operation.__name__} {args[:2]}")
        return operation(*args, **kwargs)

    def _alive(self) -> None:
        if self.dies_at is not None and self.count >= self.dies_at:
            raise Killed("dead")

    def get_type_name(self) -> str:
        return "dying"

    def normalize_path(self, path: str) -> str:
        return path

    def get_file_info(self, paths: Any) -> Any:
        self._alive()
        return self.fs.get_file_info(paths)

    def get_file_info_selector(self, selector: Any) -> Any:
        self._alive()
        return self.fs.get_file_info(selector)

    def create_dir(self, path: str, recursive: bool) -> None:
        self._step(self.fs.create_dir, path, recursive=recursive)

    def delete_dir(self, path: str) -> None:
        if self.count + 1 == self.dies_at and not self.after:  # a folder goes file by file
            found = self.fs.get_file_info(pafs.FileSelector(path))
            for info in found[: len(found) // 2]:
                self.fs.delete_file(info.path)
        self._step(self.fs.delete_dir, path)

    def delete_dir_contents(self, path: str, missing_dir_ok: bool = False) -> None:
        raise NotImplementedError

    def delete_root_dir_contents(self) -> None:
        raise NotImplementedError

    def delete_file(self, path: str) -> None:
        self._step(self.fs.delete_file, path)

    def move(self, src: str, dest: str) -> None:
        self._step(self.fs.move, src, dest)

    def copy_file(self, src: str, dest: str) -> None:
        self._step(self.fs.copy_file, src, dest)

    def open_input_stream(self, path: str) -> Any:
        self._alive()
        return self.fs.open_input_stream(path)

    def open_input_file(self, path: str) -> Any:
        self._alive()
        return self.fs.open_input_file(path)

    def open_output_stream(self, path: str, metadata: Any) -> Any:
        return self._step(_open_output, self.fs, path)

    def open_append_stream(self, path: str, metadata: Any) -> Any:
        raise NotImplementedError


def _open_output(fs: pafs.FileSystem, path: str) -> pa.NativeFile:
    return fs.open_output_stream(path)


def dying(dies_at: int | None, after: bool = False) -> tuple[pafs.PyFileSystem, DyingFilesystem]:
    """A local filesystem that dies, and its handler."""
    handler = DyingFilesystem(pafs.LocalFileSystem(), dies_at, after)
    return pafs.PyFileSystem(handler), handler
