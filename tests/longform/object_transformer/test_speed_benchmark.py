"""The benchmark of Object Transformers compares like with like."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from benchmarks.object_transformer import CASES, FULL, TOLERANCE, Case, Runner

CPU = torch.device("cpu")
SMALL = Case(kind="pre-training", spans=4, mean_tokens=12, mode="training")


def test_lengths_are_those_that_are_stated() -> None:
    for case in CASES:
        assert len(case.lengths) == case.spans
        assert max(case.lengths) <= FULL
        assert np.mean(case.lengths) == pytest.approx(case.mean_tokens, rel=0.05)


@pytest.mark.parametrize("kind", ["end task", "pre-training"])
def test_all_forms_give_the_same_outputs(kind: str) -> None:
    case = replace(SMALL, kind=kind)
    outputs = [Runner(case, form, CPU).outputs() for form in case.forms]
    assert len(outputs) == 3
    assert len(outputs[0]) == (3 if case.is_pretraining else 1)
    for other in outputs[1:]:
        for mine, theirs in zip(outputs[0], other, strict=True):
            np.testing.assert_allclose(mine, theirs, rtol=0, atol=TOLERANCE)


def test_a_step_trains_the_weights_that_are_compared() -> None:
    runner = Runner(SMALL, "padded to 256", CPU)
    before = runner.model.roberta.embeddings.reduction.weight.clone()
    assert runner.step() > 0
    assert not torch.equal(before, runner.model.roberta.embeddings.reduction.weight)
