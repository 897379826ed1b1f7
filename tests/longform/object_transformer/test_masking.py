"""Which tokens are masked, and what they see: rates over many draws, and rules that always hold."""

import numpy as np
import pytest
import torch

from longform.object_transformer.masking import (
    FINE_TUNING,
    MASK,
    PRETRAINING,
    Masking,
    choose_tracks,
    corrupt,
    mask_batch,
)
from pipeline.errors import ConfigError
from tests.longform.object_transformer.small import DIM, batch


def test_whole_tracks_are_masked_and_at_least_one_in_each_sequence() -> None:
    tokens = batch()
    tracks = tokens.indices[:, 0].numpy()
    for seed in range(50):
        (corruption,) = mask_batch(tokens, FINE_TUNING, np.random.default_rng(seed), (DIM,))
        masked = np.zeros(len(tracks), bool)
        masked[corruption.positions] = True
        start = 0
        for length, count in zip(tokens.lengths, corruption.counts, strict=True):
            part = slice(start, start + length)
            chosen = np.unique(tracks[part][masked[part]])
            assert count == masked[part].sum() > 0
            assert chosen.min() > 3
            assert (np.isin(tracks[part], chosen) == masked[part]).all()
            start += length


def test_one_track_in_seven_is_masked() -> None:
    tracks = np.arange(4, 4 + 20_000)
    masked = choose_tracks(tracks, np.ones(20_000, bool), (20_000,), 0.15, np.random.default_rng(0))
    assert masked.mean() == pytest.approx(0.15, abs=0.01)


def test_of_two_tracks_those_draws_count_that_mask_one() -> None:
    rng, everything = np.random.default_rng(0), np.ones(2, bool)
    draws = [choose_tracks(np.array([4, 5]), everything, (2,), 0.15, rng).sum() for _ in range(4000)]
    both = 0.15**2 / (1 - 0.85**2)
    assert np.mean(np.array(draws) == 2) == pytest.approx(both, abs=0.02)


@pytest.mark.parametrize(
    ("masking", "parts"),
    [
        (FINE_TUNING, (0.8, 0.1, 0.1)),
        # Twice: what a second draw leaves alone has the first one's outcome, and a tenth sees any of the pool.
        (PRETRAINING, (0.8 + 0.1 * 0.8 + 0.1 * 0.8 * 0.2 / 1.2, None, 0.01)),
    ],
)
def test_what_masked_tokens_see(masking: Masking, parts: tuple[float | None, ...]) -> None:
    count = 60_000
    masked = np.arange(count) < count // 2
    corruption = corrupt(masked, np.ones(count, bool), (count,), masking, np.random.default_rng(0))
    sources, positions = corruption.sources.numpy(), corruption.positions.numpy()
    seen = (
        (sources == MASK).mean(),
        (~np.isin(sources, [MASK]) & (sources != positions)).mean(),
        (sources == positions).mean(),
    )
    for found, expected in zip(seen, parts, strict=True):
        assert expected is None or found == pytest.approx(expected, abs=0.008)


def test_random_features_are_those_of_other_boxes_of_the_batch() -> None:
    tokens = batch()
    is_box = tokens.is_box()
    for seed in range(20):
        (corruption,) = mask_batch(tokens, Masking(mask=0, random=1), np.random.default_rng(seed), (DIM,))
        assert is_box[corruption.sources].all()
        assert not torch.equal(corruption.sources, corruption.positions)


def test_a_seed_decides() -> None:
    first, second, other = (
        mask_batch(batch(), PRETRAINING, np.random.default_rng(seed), (DIM,))[0] for seed in (3, 3, 4)
    )
    assert torch.equal(first.positions, second.positions)
    assert torch.equal(first.sources, second.sources)
    assert not torch.equal(first.positions, other.positions)


def test_a_sequence_without_the_kind_of_feature_is_not_masked() -> None:
    tokens = batch()
    tokens.features[: tokens.lengths[0], 8:] = 0
    persons, objects = mask_batch(tokens, FINE_TUNING, np.random.default_rng(0), (8, 4))
    assert persons.counts[0] > 0
    assert objects.counts[0] == 0
    assert min(objects.counts[1:]) > 0


@pytest.mark.parametrize("wrong", [{"probability": 0.0}, {"mask": 0.95}, {"passes": 0}])
def test_impossible_rates_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="Masking"):
        Masking(**wrong)  # type: ignore[arg-type]
