"""Sample videos: what their truth says is what their pixels and timestamps show."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from fractions import Fraction
from itertools import combinations, pairwise
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.sample.damage import DAMAGES, damage
from pipeline.sample.encode import Coding, audio_only, encode
from pipeline.sample.figures import WARDROBE, draw_figure
from pipeline.sample.film import Picture, render
from pipeline.sample.patterns import moving_bars
from pipeline.sample.places import PLACES
from pipeline.sample.plan import Camera, Film, Shot, Walk
from pipeline.sample.remux import loop_video
from pipeline.sample.samples import make_clip, make_sample, street_film, truth_path, uneven_pts
from pipeline.sample.truth import BoxTruth, Truth

Box = tuple[float, float, float, float]
MILLISECOND = Fraction(1, 1000)


def decode(path: Path) -> tuple[list[NDArray[np.uint8]], list[Fraction], int]:
    """Displayed frames (H, W, 3), their times, and the rotation tag."""
    frames, times, rotation = [], [], 0
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            rotation = frame.rotation % 360
            frames.append(np.rot90(frame.to_ndarray(format="rgb24"), rotation // 90).copy())
            times.append(frame.pts * Fraction(frame.time_base))
    return frames, times, rotation


def times_of(truth: Truth) -> list[Fraction]:
    """Times of the frames, the first at 0."""
    return [(value - truth.pts[0]) * truth.time_base for value in truth.pts]


def from_zero(times: list[Fraction]) -> list[Fraction]:
    return [time - times[0] for time in times]


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def iou(a: Box, b: Box) -> float:
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    inner = max(0.0, width) * max(0.0, height)
    return inner / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - inner)


class TestTruth:
    def test_json_gives_back_the_same_value(self, tmp_path: Path) -> None:
        truth = make_clip(tmp_path / "a.mkv", seconds=1.2, figures=2, transition="dissolve", fps=Fraction(30000, 1001))
        truth.save(tmp_path / "a.json")
        assert Truth.load(tmp_path / "a.json") == truth
        assert truth.boxes
        assert truth.transitions

    def test_cuts_are_the_largest_changes(self, tmp_path: Path) -> None:
        truth = make_clip(tmp_path / "a.mp4", seconds=4, shots=4, figures=1, camera=Camera(pan=(0.1, 0.0)))
        frames, times, _ = decode(tmp_path / "a.mp4")
        assert truth.cuts == (25, 50, 75)
        assert truth.num_frames == len(frames) == 100
        assert frames[0].shape[:2] == truth.size_hw
        assert from_zero(times) == times_of(truth)
        changes = np.array([np.abs(b.astype(int) - a).mean() for a, b in pairwise(frames)])
        at_cuts = changes[[cut - 1 for cut in truth.cuts]]
        assert at_cuts.min() > 4 * np.delete(changes, [cut - 1 for cut in truth.cuts]).max()

    @pytest.mark.parametrize("kind", ["dissolve", "fade"])
    def test_transition_spans_exactly_the_changing_frames(self, kind: str) -> None:
        first, second = Shot(place="park", seconds=0.8), Shot(place="desert", seconds=0.8, transition=kind)
        film = Film(shots=(first, replace(second, transition_s=0.36)), size_hw=(90, 160))
        frames = [picture.rgb.astype(int) for picture in render(film)]
        changing = [index for index, (a, b) in enumerate(pairwise(frames), start=1) if np.abs(a - b).any()]
        # Frames 16 ... 24 are mixtures; the change from 24 to the pure frame 25 is the last one.
        assert changing == list(range(16, 26))
        assert (frames[20].max() == 0) == (kind == "fade")

    def test_gradual_shots_have_no_cut(self, tmp_path: Path) -> None:
        truth = make_clip(tmp_path / "a.mp4", seconds=3, shots=3, transition="dissolve")
        assert truth.cuts == ()
        assert [(change.first_frame, change.last_frame) for change in truth.transitions] == [(20, 29), (45, 54)]
        assert [shot.start_frame for shot in truth.shots] == [0, 25, 50]

    def test_video_rises_from_black_and_falls_to_black(self) -> None:
        shot = Shot(place="beach", seconds=1.0, transition="fade", transition_s=0.2)
        means = [picture.rgb.mean() for picture in render(Film(shots=(shot,), size_hw=(90, 160), fade_out_s=0.2))]
        assert all(a < b for a, b in pairwise(means[:6]))
        assert all(a > b for a, b in pairwise(means[-6:]))
        assert means[6] == means[-7]

    @pytest.mark.parametrize("camera", [Camera(pan=(0.25, 0.0)), Camera(pan=(-0.1, 0.15)), Camera()])
    def test_camera_moves_as_told(self, tmp_path: Path, camera: Camera) -> None:
        truth = make_clip(tmp_path / "a.mkv", seconds=0.2, shots=1, camera=camera, size_hw=(180, 320))
        told = truth.shots[0].camera
        frames = decode(tmp_path / "a.mkv")[0]
        first, last = (cv2.cvtColor(frames[index], cv2.COLOR_RGB2GRAY).astype(np.float32) for index in (0, -1))
        (x, y), _ = cv2.phaseCorrelate(first, last, cv2.createHanningWindow((320, 180), cv2.CV_32F))
        steps = len(frames) - 1
        assert (-x / steps, -y / steps) == pytest.approx(told.pan_px_per_frame, abs=0.1)
        assert told.motion == camera.motion

    def test_zoom_grows_about_the_centre(self) -> None:
        film = Film(shots=(Shot(place="gallery", seconds=1.0, camera=Camera(zoom=1.5)),), size_hw=(180, 320))
        frames = [picture.rgb for picture in render(film)]
        matrix = cv2.getRotationMatrix2D((159.5, 89.5), 0, 1.5 ** (24 / 25))
        closer = cv2.warpAffine(frames[0], matrix, (320, 180))
        assert np.abs(closer.astype(int) - frames[-1]).mean() < 3 < np.abs(frames[0].astype(int) - frames[-1]).mean()


def one_walker(**changes: float) -> Film:
    walk = replace(Walk(identity=0, start_x=0.4, end_x=1.4, height=0.6), **changes)  # type: ignore[arg-type]
    return Film(shots=(Shot(place="beach", seconds=2.0, walks=(walk,)),), fps=Fraction(5))


class TestFigures:
    def test_boxes_bound_the_changed_pixels(self) -> None:
        film = one_walker()
        empty = Film(shots=(replace(film.shots[0], walks=()),), fps=film.fps)
        for with_person, without in zip(render(film), render(empty), strict=True):
            (box,) = with_person.boxes
            left, top, right, bottom = np.array(box.box) * (640, 360, 640, 360)
            changed = np.abs(with_person.rgb.astype(int) - without.rgb).max(2) > 40
            body = changed[: int(bottom - 0.12 * (bottom - top))]  # above the shadow on the ground
            rows, columns = np.flatnonzero(body.any(1)), np.flatnonzero(body.any(0))
            assert rows[0] == pytest.approx(top, abs=2)
            assert columns[0] >= left - 2
            assert columns[-1] <= right + 1
            assert changed[int(top) : int(bottom), int(left) : int(right)].mean() > 0.4
            assert bottom - top == pytest.approx(0.6 * 360, rel=0.04)

    def test_visibility_falls_at_the_edge(self) -> None:
        boxes = [picture.boxes for picture in render(one_walker(end_x=2.2))]
        shares = [found[0].visible if found else 0.0 for found in boxes]
        assert shares[0] == 1
        assert shares[-1] < 0.2
        assert all(later <= earlier for earlier, later in pairwise(shares))
        assert all(
            0 <= low < high <= 1 for found in boxes for box in found for low, high in [box.box[::2], box.box[1::2]]
        )

    def test_people_cross_and_come_back(self) -> None:
        pictures = list(render(replace(street_film(seconds=18), fps=Fraction(5), size_hw=(180, 320))))
        crossing = [box for picture in pictures[:30] for box in picture.boxes if box.identity == 0]
        assert min(box.visible for box in crossing) < 0.4
        assert crossing[0].visible == crossing[-1].visible == 1
        leaving = [any(box.identity == 3 for box in picture.boxes) for picture in pictures[55:90]]
        assert [leaving[0], all(leaving), leaving[-1]] == [True, False, True]

    def test_clothes_tell_people_apart(self) -> None:
        histograms = []
        for clothes in WARDROBE:
            patch = draw_figure(clothes, x_px=100, ground_px=220, height_px=200, phase=0.2, facing=1)
            hsv = cv2.cvtColor(patch.rgb.astype(np.uint8), cv2.COLOR_RGB2HSV)
            inside = (patch.alpha > 0.9).astype(np.uint8)
            histogram = cv2.calcHist([hsv], [0, 1, 2], inside, [12, 4, 4], [0, 180, 0, 256, 0, 256])
            histograms.append(histogram / histogram.sum())
        distances = [cv2.compareHist(a, b, cv2.HISTCMP_BHATTACHARYYA) for a, b in combinations(histograms, 2)]
        assert min(distances) > 0.5

    def test_people_are_found_by_hog(self) -> None:
        film = replace(street_film(), fps=Fraction(1))
        hog = cv2.HOGDescriptor()
        hog.setSVMDetector(cv2.HOGDescriptor.getDefaultPeopleDetector())
        found = missed = wrong = 0
        for picture in render(film):
            counts = match(hog, picture)
            found, missed, wrong = found + counts[0], missed + counts[1], wrong + counts[2]
        assert found >= 50
        assert found / (found + missed) >= 0.9
        assert found / (found + wrong) >= 0.9


def match(hog: cv2.HOGDescriptor, picture: Picture) -> tuple[int, int, int]:
    """People found, missed and imagined at IoU 0.4; who is mostly hidden may be either."""
    height, width = picture.rgb.shape[:2]
    boxes, weights = hog.detectMultiScale(picture.rgb, winStride=(8, 8), padding=(8, 8), scale=1.05)
    left, wrong, found = list(picture.boxes), 0, 0
    for index in np.argsort(-np.ravel(weights)):
        x, y, w, h = (float(value) for value in boxes[index])
        tight = ((x + 0.12 * w) / width, (y + 0.06 * h) / height, (x + 0.88 * w) / width, (y + 0.94 * h) / height)
        best: BoxTruth | None = max(left, key=lambda box: iou(box.box, tight), default=None)
        if best is None or iou(best.box, tight) < 0.4:
            wrong += 1
            continue
        left.remove(best)
        found += best.visible > 0.7
    return found, sum(box.visible > 0.7 for box in left), wrong


class TestHardCuts:
    @pytest.mark.parametrize("name", ["AdaptiveDetector", "ContentDetector"])
    def test_scenedetect_finds_all_and_nothing_else(self, tmp_path: Path, name: str) -> None:
        import scenedetect

        path = tmp_path / "a.mp4"
        truth = make_clip(path, seconds=1.2 * len(PLACES), shots=len(PLACES), figures=2, camera=Camera(pan=(0.1, 0.0)))
        scenes = scenedetect.detect(str(path), getattr(scenedetect, name)())
        assert tuple(start.frame_num for start, _ in scenes[1:]) == truth.cuts


CODINGS = [
    ("a.mp4", Coding(), Fraction(25)),
    ("bframes.mp4", Coding(bframes=3, gop=12), Fraction(30000, 1001)),
    ("bframes.mkv", Coding(bframes=2), Fraction(24000, 1001)),
    ("full_chroma.mp4", Coding(pix_fmt="yuv444p"), Fraction(25)),
    ("ten_bit.mp4", Coding(codec="libx265", pix_fmt="yuv420p10le"), Fraction(50)),
    ("vp9.webm", Coding(codec="libvpx-vp9", audio=True), Fraction(30)),
    ("vp8.webm", Coding(codec="libvpx"), Fraction(30)),
    ("av1.mp4", Coding(codec="libsvtav1"), Fraction(25)),
    ("mpeg4.avi", Coding(codec="mpeg4", gop=12, audio=True), Fraction(30)),
    ("mpeg4.mp4", Coding(codec="mpeg4", bframes=2), Fraction(25)),
    ("mjpeg.avi", Coding(codec="mjpeg"), Fraction(10)),
    ("lossless.mkv", Coding(codec="ffv1"), Fraction(25)),
    ("prores.mov", Coding(codec="prores_ks"), Fraction(24)),
    ("broadcast.ts", Coding(codec="mpeg2video", bframes=2), Fraction(25)),
    ("sound.mov", Coding(audio=True), Fraction(60)),
    ("fragments.mp4", Coding(muxer_options={"movflags": "frag_keyframe+empty_moov"}), Fraction(25)),
]


class TestEncode:
    @pytest.mark.parametrize(("name", "coding", "fps"), CODINGS, ids=[name for name, _, _ in CODINGS])
    def test_frames_and_times_come_back(self, tmp_path: Path, name: str, coding: Coding, fps: Fraction) -> None:
        source = list(moving_bars(num_frames=25, size_hw=(96, 128)))
        path = tmp_path / name
        encoded = encode(source, path, fps=fps, coding=coding)
        frames, times, rotation = decode(path)
        stored = [value * encoded.time_base for value in encoded.pts]
        assert len(frames) == 25
        assert from_zero(times) == stored
        assert max(abs(time - index / fps) for index, time in enumerate(stored)) <= MILLISECOND / 2
        assert rotation == 0
        assert np.abs(frames[12].astype(int) - source[12]).mean() < 25
        first = digest(path)
        encode(iter(source), path, fps=fps, coding=coding)
        assert digest(path) == first

    @pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
    @pytest.mark.parametrize("bframes", [0, 2])
    def test_uneven_times_and_late_start(self, tmp_path: Path, suffix: str, bframes: int) -> None:
        path, pts = tmp_path / f"a{suffix}", uneven_pts(num_frames=30, seed=3, first=45_000)
        encoded = encode(
            moving_bars(num_frames=30, size_hw=(96, 128)), path, pts=pts, time_base=Fraction(1, 90_000),
            coding=Coding(bframes=bframes),
        )  # fmt: skip
        _, times, _ = decode(path)
        assert times == [value * encoded.time_base for value in encoded.pts]
        assert times[0] == Fraction(1, 2)
        assert len(set(np.diff(pts))) > 2
        if suffix == ".mp4":
            assert encoded.pts == tuple(pts)

    @pytest.mark.parametrize("rotation", [0, 90, 180, 270])
    @pytest.mark.parametrize("suffix", [".mov", ".mkv"])
    def test_rotated_video_is_displayed_upright(self, tmp_path: Path, rotation: int, suffix: str) -> None:
        path = tmp_path / f"a{suffix}"
        truth = make_clip(path, seconds=0.2, shots=1, size_hw=(96, 128), coding=Coding(rotation=rotation))
        frames, _, tag = decode(path)
        upright = next(iter(render(Film(shots=(Shot(place="street", seconds=0.2),), size_hw=(96, 128)))))
        assert tag == truth.rotation == rotation
        assert frames[0].shape[:2] == truth.size_hw == (96, 128)
        assert np.abs(frames[0].astype(int) - upright.rgb).mean() < 8

    @pytest.mark.parametrize(
        ("name", "coding"),
        [
            ("a.avi", Coding(codec="mpeg4")),
            ("a.webm", Coding(codec="libvpx-vp9")),
            ("a.mkv", Coding(codec="ffv1")),
            ("a.avi", Coding(codec="mjpeg")),
            ("a.mp4", Coding(pix_fmt="yuv444p")),
        ],
    )
    def test_odd_sizes(self, tmp_path: Path, name: str, coding: Coding) -> None:
        make_clip(tmp_path / name, seconds=0.2, shots=1, size_hw=(241, 321), coding=coding)
        assert decode(tmp_path / name)[0][0].shape == (241, 321, 3)

    def test_refusals_say_what_to_do(self, tmp_path: Path) -> None:
        frames = list(moving_bars(num_frames=3, size_hw=(95, 127)))
        with pytest.raises(ValueError, match="expected even sizes"):
            encode(frames, tmp_path / "a.mp4")
        with pytest.raises(ValueError, match="holds no timestamps"):
            encode(frames, tmp_path / "a.avi", pts=[0, 1, 2], time_base=MILLISECOND)
        with pytest.raises(ValueError, match="do not rise"):
            encode(frames, tmp_path / "a.mkv", pts=[0, 1, 2], time_base=Fraction(1, 90_000))
        with pytest.raises(ValueError, match="2 timestamps"):
            encode(frames, tmp_path / "a.mkv", pts=[0, 1], time_base=MILLISECOND, coding=Coding(codec="ffv1"))
        with pytest.raises(ValueError, match="no frames"):
            encode([], tmp_path / "a.mp4")

    @pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mp3", ".wav"])
    def test_audio_only(self, tmp_path: Path, suffix: str) -> None:
        audio_only(tmp_path / f"a{suffix}", seconds=1.0)
        with av.open(str(tmp_path / f"a{suffix}")) as container:
            assert not container.streams.video
            assert sum(frame.samples for frame in container.decode(audio=0)) == pytest.approx(48_000, rel=0.06)


class TestLoop:
    @pytest.mark.parametrize(
        ("name", "coding"),
        [
            ("a.mp4", Coding(bframes=3, gop=10)),
            ("a.mkv", Coding(bframes=2)),
            ("a.webm", Coding(codec="libvpx-vp9")),
            ("a.avi", Coding(codec="mpeg4")),
        ],
    )
    def test_rounds_follow_each_other(self, tmp_path: Path, name: str, coding: Coding) -> None:
        source, target = tmp_path / name, tmp_path / f"long_{name}"
        truth = make_clip(source, seconds=1, coding=coding)
        looped = loop_video(source, target, times=3)
        once, _, _ = decode(source)
        frames, times, _ = decode(target)
        period = looped.period * looped.time_base
        assert (looped.rounds, period) == (3, 1)
        assert from_zero(times) == [k * period + time for k in range(3) for time in times_of(truth)]
        assert all((frames[index] == once[index % 25]).all() for index in (0, 13, 25, 49, 50, 74))

    def test_uneven_times_repeat(self, tmp_path: Path) -> None:
        pts = uneven_pts(num_frames=25, seed=1, first=9_000)
        coding = Coding(bframes=2)
        make_clip(tmp_path / "a.mp4", seconds=1, pts=pts, time_base=Fraction(1, 90_000), coding=coding)
        looped = loop_video(tmp_path / "a.mp4", tmp_path / "b.mp4", times=2)
        _, times, _ = decode(tmp_path / "b.mp4")
        assert [time * 90_000 for time in times] == [*pts, *(value + looped.period for value in pts)]

    def test_three_hours(self, tmp_path: Path) -> None:
        make_clip(tmp_path / "a.mp4", seconds=10, shots=5, coding=Coding(bframes=2, options={"crf": "40"}))
        looped = loop_video(tmp_path / "a.mp4", tmp_path / "b.mp4", min_seconds=3 * 3600)
        with av.open(str(tmp_path / "b.mp4")) as container:
            stream = container.streams.video[0]
            assert stream.duration * stream.time_base == 3 * 3600
            stamps = [(packet.dts, packet.pts) for packet in container.demux(stream) if packet.size]
        assert looped.rounds == 1080
        assert len(stamps) == 270_000
        assert all(a[0] < b[0] for a, b in pairwise(stamps))
        assert all(dts <= pts for dts, pts in stamps)
        assert len(set(np.diff(sorted(pts for _, pts in stamps)))) == 1


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short undamaged video."""
    path = tmp_path_factory.mktemp("whole") / "a.mp4"
    make_clip(path, seconds=1, coding=Coding(gop=10))
    return path


class TestDamage:
    @pytest.mark.parametrize("kind", DAMAGES)
    def test_same_seed_same_damage(self, tmp_path: Path, whole: Path, kind: str) -> None:
        for name, seed in (("a", 0), ("b", 0), ("c", 1)):
            damage(whole, tmp_path / name, kind, seed)
        assert digest(tmp_path / "a") == digest(tmp_path / "b") != digest(whole)
        fixed = kind in ("wrong_extension", "wrong_extension_image", "empty")
        assert (digest(tmp_path / "a") == digest(tmp_path / "c")) == fixed

    @pytest.mark.parametrize("kind", DAMAGES)
    def test_readers_bear_it_as_expected(self, tmp_path: Path, whole: Path, kind: str) -> None:
        damage(whole, tmp_path / "a.mp4", kind)
        frames = 0
        try:
            frames = len(decode(tmp_path / "a.mp4")[0])
        except av.FFmpegError:
            assert kind not in ("tail_garbage", "wrong_extension_image")
        assert frames <= 25
        if kind == "tail_garbage":
            assert frames == 25
        if kind in ("truncated", "header_destroyed", "wrong_extension", "random", "empty"):
            assert frames == 0

    def test_unknown_kind_names_the_known(self, tmp_path: Path, whole: Path) -> None:
        with pytest.raises(ValueError, match="truncated, bytes_flipped"):
            damage(whole, tmp_path / "a.mp4", "burnt")


def test_make_sample_writes_whole_videos_and_their_truth(tmp_path: Path) -> None:
    truths = make_sample(tmp_path, seconds=6)
    assert sorted(truths) == ["gallery.mkv", "harbour.webm", "phone.mov", "street.mp4", "tape.avi", "uneven.mp4"]
    for name, truth in truths.items():
        assert Truth.load(truth_path(tmp_path / name)) == truth
        with av.open(str(tmp_path / name)) as container:
            stream = container.streams.video[0]
            stamps = sorted(packet.pts * stream.time_base for packet in container.demux(stream) if packet.size)
        assert from_zero(stamps) == times_of(truth)
        assert truth.boxes
    assert truths["phone.mov"].rotation == 270
    assert {change.kind for change in truths["gallery.mkv"].transitions} >= {"fade_in", "dissolve", "fade_out"}


def test_same_seed_same_bytes(tmp_path: Path) -> None:
    for name, seed in (("a.mp4", 1), ("b.mp4", 1), ("c.mp4", 2)):
        make_clip(tmp_path / name, seconds=0.4, figures=1, seed=seed)
    assert digest(tmp_path / "a.mp4") == digest(tmp_path / "b.mp4") != digest(tmp_path / "c.mp4")
