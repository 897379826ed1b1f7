"""Room on the page is shared fairly, and a full page stays below what is promised."""

import json

from hypothesis import given
from hypothesis import strategies as st

from longform.report.answers import NAME_LETTERS
from longform.report.limits import Limits, fair_shares
from longform.report.page import render

PROMISED_BYTES = 30_000_000


@given(st.lists(st.integers(0, 50), max_size=12), st.integers(0, 200))
def test_shares_are_fair_and_waste_nothing(needs: list[int], total: int) -> None:
    shares = fair_shares(needs, total)
    assert all(share <= need for share, need in zip(shares, needs, strict=True))
    assert sum(shares) <= total
    unserved = [share for share, need in zip(shares, needs, strict=True) if share < need]
    if unserved:
        assert sum(shares) == total
        assert min(unserved) >= max(shares) - 1


def test_a_page_that_is_full_to_its_limits_is_small_enough() -> None:
    limits = Limits()
    time, name = 17999.999, "a~rather%20long~folder~and-a-long-name-of-a-video-file.mp4"
    row = {
        "video_id": name, "uri": f"/data/corpus/{name}", "status": "ok", "error_stage": None, "error_class": None,
        "error_message": None, "error_at_s": None, "damage": None, "gaps": [], "gaps_left_out": 0, "duration_s": time,
        "width": 1920, "height": 1080, "num_frames": 431999, "fps": 23.976023976023978,
        "container": "mov,mp4,m4a,3gp,3g2,mj2", "codec": "h264",
        "pixel_format": "yuv420p", "rotation_deg": 0, "is_vfr": False, "source_bytes": 1234567890,
        "rows": {"shots": 1234, "tracks": 12345, "detections": 123456},
    }  # fmt: skip
    point = {"video": 99, "at_s": time, "track": 12345, "x": 9999, "y": 9999}
    head = {
        "list": [row] * limits.listed,
        "maps": [
            {key: [value] * limits.points for key, value in point.items()}
            | {"similar": [[(99, time, 12345, 0.123)] * 6] * limits.points}
        ],
    }
    scores = [("n" * NAME_LETTERS, 0.1234)] * 5
    predicted = {"file": 0, "at_s": time, "box": [0.1234] * 4, "scores": scores, "empty_slots": 1, "empty_weight": 0.1,
                 "moments_in_file": 1, "moments": [(time, 0.123456, 12345, [0.1234] * 4)] * 25}  # fmt: skip
    masked = {"file": 0, "track": 12345, "at_s": time, "box": [0.1234] * 4, "start_s": time, "end_s": time, "boxes": 60,
              "span_s": (time, time), "context": scores, "short_term": scores}  # fmt: skip
    assert limits.attended == 25 * limits.predictions
    answers = {"predictions": [predicted] * limits.predictions, "masked": [masked] * limits.masked}
    used = len(json.dumps(answers, separators=(",", ":")))
    assert used < limits.picture_bytes / 2
    detail = {
        "shots": {key: [time] * limits.shots for key in ("start_s", "end_s", "start_frame", "end_frame")},
        "tracks": {key: [time] * limits.tracks for key in ("id", "start_s", "end_s", "boxes", "lane")}
        | {"label": ["person"] * limits.tracks},
        "boxes": {key: [time] * limits.boxes for key in ("at_s", "frame", "score", "track")}
        | {"box": [[0.1234] * 4] * limits.boxes, "label": ["person"] * limits.boxes},
        **answers,
        "pictures": {"data": ["x" * (limits.picture_bytes - used)]},
    }
    assert len(render("full", head, [detail])) < PROMISED_BYTES
