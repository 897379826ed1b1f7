"""Sizes beside the thesis's."""

import pytest

from longform.object_transformer.complexity import count_span
from longform.published_object_transformer import OBJECT_TRANSFORMER_ROWS, THESIS_ROW


def test_multiply_adds_by_hand() -> None:
    tokens, width = 77, 768
    layer = 12 * width * width * tokens + 2 * tokens * tokens * width
    embedding = tokens * (2304 + 5) * width
    assert count_span({"kind": "pretrain"}, tokens).macs == 3 * layer + embedding + width * width


def test_the_thesis_multiply_adds_are_those_of_77_tokens() -> None:
    assert THESIS_ROW.input is not None
    assert THESIS_ROW.published_macs is not None
    near = {tokens: count_span(THESIS_ROW.options, tokens).macs for tokens in (76, 77, 78)}
    assert min(near, key=lambda tokens: abs(near[tokens] - THESIS_ROW.published_macs)) == THESIS_ROW.input[0]


def test_the_reading_gives_the_thesis_parameters() -> None:
    assert THESIS_ROW.reading is not None
    assert THESIS_ROW.reading.options is not None
    assert count_span(THESIS_ROW.reading.options, 1).params / 1e6 == pytest.approx(27.04, abs=0.005)


def test_every_row_can_be_counted() -> None:
    for row in OBJECT_TRANSFORMER_ROWS:
        if not row.absent:
            assert row.input is not None
            assert 24e6 < count_span(row.options, row.input[0]).params < 27e6
