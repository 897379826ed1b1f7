"""Spans and tokens, on tables small enough to follow by hand."""

import numpy as np
import pytest

from longform.object_transformer.config import TokenForm
from longform.object_transformer.spans import Span, centre_spans, tail_spans
from longform.object_transformer.tokens import END, INDEX_NAMES, JITTER, START, BoxTable, TokenError, tokens_of
from pipeline.errors import ConfigError
from tests.longform.object_transformer.small import table


def table_at(seconds: list[int], shots: list[int] | None = None, tracks: list[int] | None = None) -> BoxTable:
    count = len(seconds)
    return BoxTable(
        video_id="v",
        seconds=np.array(seconds),
        boxes=np.tile([0.1, 0.2, 0.5, 0.4], (count, 1)),
        tracks=np.array(tracks or range(count)),
        shots=np.array(shots or [0] * count),
        features=np.arange(count, dtype=np.float32)[:, None] + 1,
    )


def column(name: str, *arguments: object, **options: object) -> list[int]:
    sequence = tokens_of(*arguments, **options)  # type: ignore[arg-type]
    return sequence.indices[:, INDEX_NAMES.index(name)].tolist()


def test_order_of_visits() -> None:
    assert Span(10).visits(4).tolist() == [10, 9, 8, 7]
    assert Span(10, "centre").visits(6).tolist() == [10, 9, 11, 8, 12, 7]
    centred = Span(902, "centre").visits()
    assert (centred.min(), centred.max(), centred[-1]) == (872, 931, 872)


def test_spans_by_tail() -> None:
    assert tail_spans(np.array([3, 3, 64])) == [Span(62), Span(64)]  # 63 begins after second 3
    assert tail_spans(np.array([0, 200])) == [Span(59), Span(200)]
    assert tail_spans(np.array([0, 150]), stride=60) == [Span(59)]
    assert tail_spans(np.array([5, 20])) == [Span(20)]
    assert tail_spans(np.array([5, 20]), short="none") == []
    assert tail_spans(np.array([], np.int64)) == []
    with pytest.raises(ConfigError, match="1 or more"):
        tail_spans(np.array([1]), stride=0)


def test_spans_by_centre() -> None:
    spans = centre_spans(np.array([960]))
    assert [span.second for span in spans] == list(range(931, 991))
    assert {span.named_by for span in spans} == {"centre"}
    for span in spans:
        assert len(tokens_of(table_at([960]), span, numbers={0: 0})) == 3


def test_boxes_go_from_the_tail_back_and_keep_their_order_in_a_second() -> None:
    sequence = tokens_of(table_at([1, 2, 2, 4, 70]), Span(4), numbers=dict.fromkeys(range(5), 0))
    assert sequence.rows.tolist() == [-1, 3, 1, 2, 0, -1]
    assert sequence.features[:, 0].tolist() == [0, 4, 2, 3, 1, 0]


def test_the_earliest_seconds_are_dropped_first() -> None:
    crowded = table_at([0, 1] * 200)
    sequence = tokens_of(crowded, Span(59), rng=np.random.default_rng(0))
    assert len(sequence) == 256
    kept = crowded.seconds[sequence.rows[1:-1]]
    assert kept.tolist() == [1] * 200 + [0] * 54


def test_indices() -> None:
    source = table_at([10, 12, 13], shots=[3, 3, 5], tracks=[7, 8, 7])
    numbers = {7: 1, 8: 0}
    expected = {
        "link_ids": [1, 0, 1],
        "inc_position_ids": [3, 2, 0],
        "dec_position_ids": [0, 1, 3],
        "center_position_ids": [131, 130, 128],  # about second 11
        "inc_scene_ids": [2, 0, 0],
        "dec_scene_ids": [0, 2, 2],
        "center_scene_ids": [131, 129, 129],  # seconds 10 and 12 are as near; the one visited last is 10
    }
    for name, values in expected.items():
        content = [value + 4 for value in values]
        assert column(name, source, Span(13), numbers=numbers) == [START, *content, END], name


def test_a_named_centre_is_the_centre() -> None:
    source = table_at([8, 12], shots=[1, 2])
    assert column("center_position_ids", source, Span(10, "centre"), numbers={0: 0, 1: 1}) == [2, 127 + 4, 131 + 4, 3]
    assert column("center_scene_ids", source, Span(10, "centre"), numbers={0: 0, 1: 1}) == [2, 128 + 4, 129 + 4, 3]


def test_shots_that_jump_stay_within_the_tables() -> None:
    source = table_at([0, 1, 2], shots=[0, 500, 900])
    for name in INDEX_NAMES:
        content = column(name, source, Span(2), numbers={0: 0, 1: 1, 2: 2})[1:-1]
        assert min(content) >= 4, name
        assert max(content) <= 257, name


def test_tracks_are_numbered_at_random_and_alike_for_a_seed() -> None:
    source = table()
    draws = [column("link_ids", source, Span(80), rng=np.random.default_rng(seed)) for seed in (1, 1, 2)]
    assert draws[0] == draws[1] != draws[2]
    rows = tokens_of(source, Span(80), rng=np.random.default_rng(1)).rows
    pairs = set(zip(source.tracks[rows[1:-1]].tolist(), draws[0][1:-1], strict=True))
    tracks = {track for track, _ in pairs}
    assert len(pairs) == len(tracks)
    assert {number for _, number in pairs} == set(range(4, 4 + len(tracks)))


def test_places_and_jitter() -> None:
    source = table()
    still = tokens_of(source, Span(80), rng=np.random.default_rng(1))
    boxes = source.boxes[still.rows[1:-1]]
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    np.testing.assert_array_equal(still.spatial[1:-1], np.column_stack([boxes, area]).astype(np.float32))
    assert not still.spatial[[0, -1]].any()
    moved = tokens_of(source, Span(80), rng=np.random.default_rng(1), jitter=JITTER).spatial[1:-1]
    sizes = np.tile(boxes[:, 2:] - boxes[:, :2], 2)
    shift = (moved[:, :4] - boxes) / sizes
    assert 0.15 < np.abs(shift).max() < 0.2 + 1e-6
    assert len(np.unique(np.sign(shift), axis=0)) > 4  # coordinates move by themselves
    moved_area = (moved[:, 2] - moved[:, 0]) * (moved[:, 3] - moved[:, 1])
    np.testing.assert_allclose(moved[:, 4], moved_area, atol=1e-6)


def test_the_thesis_form_has_no_end_token_and_no_area() -> None:
    form = TokenForm(end_token=False, area=False)
    sequence = tokens_of(table_at([0, 1]), Span(1), form, numbers={0: 0, 1: 1})
    assert sequence.rows.tolist() == [-1, 1, 0]
    assert sequence.spatial.shape == (3, 4)


def test_what_cannot_become_tokens_is_refused() -> None:
    with pytest.raises(TokenError, match=r"'v'.*no box within"):
        tokens_of(table_at([100]), Span(5), numbers={0: 0})
    with pytest.raises(TokenError, match=r"Tracks \[1\] have no number"):
        tokens_of(table_at([1, 1]), Span(5), numbers={0: 0})
    with pytest.raises(TokenError, match="default_rng"):
        tokens_of(table_at([1]), Span(5))
    with pytest.raises(TokenError, match=r"tracks is \(1,\); expected \(2,\)"):
        BoxTable(
            video_id="v",
            seconds=np.zeros(2, np.int64),
            boxes=np.zeros((2, 4)),
            tracks=np.zeros(1, np.int64),
            shots=np.zeros(2, np.int64),
            features=np.zeros((2, 3), np.float32),
        )
