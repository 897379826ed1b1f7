"""Pooling and late fusion against plain loops over spans."""

import pytest
import torch
from torch import nn

from longform.object_transformer.baselines import PoolingModel, ShortTermModel
from longform.object_transformer.config import ModelConfig
from tests.longform.object_transformer.small import DIM, batch

CONFIG = ModelConfig(feature_dims=(DIM,), width=8, heads=1)


def randomised(model: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.5)
    return model.eval()


def boxes_of_spans() -> list[torch.Tensor]:
    tokens = batch()
    return [part[1:-1] for part in tokens.features.split(tokens.lengths)]


@pytest.mark.parametrize(("pool", "expected"), [("average", lambda x: x.mean(0)), ("max", lambda x: x.max(0).values)])
def test_pooling(pool: str, expected) -> None:  # type: ignore[no-untyped-def]
    model = randomised(PoolingModel(CONFIG, 3, pool))  # type: ignore[arg-type]
    pooled = torch.stack([expected(span) for span in boxes_of_spans()])
    torch.testing.assert_close(model(batch()), model.classify(pooled))


def test_late_fusion_is_the_mean_of_probabilities() -> None:
    model = randomised(ShortTermModel(CONFIG, 3))
    means = torch.stack([model.classify(span).softmax(1).mean(0) for span in boxes_of_spans()])
    torch.testing.assert_close(model(batch()).softmax(1), means)


def test_late_fusion_of_numbers_is_their_mean() -> None:
    model = randomised(ShortTermModel(CONFIG, 1))
    means = torch.stack([model.classify(span).mean(0) for span in boxes_of_spans()])
    torch.testing.assert_close(model(batch()), means)


def test_short_term_trains_on_boxes() -> None:
    model = ShortTermModel(CONFIG, 3)
    logits, owners = model.each(batch())
    assert owners.tolist() == [n for n, span in enumerate(boxes_of_spans()) for _ in span]
    assert logits.shape == (len(owners), 3)
