"""Losses against their formulas, and scores of videos against the released code's."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from longform.object_transformer.aggregation import score_videos
from longform.object_transformer.losses import action_loss, compatibility_loss, end_task_loss, mask_loss
from pipeline.errors import ConfigError, PipelineError


@pytest.fixture
def logits() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(6, 5, generator=generator).double(), torch.randn(6, 5, generator=generator).double()


def test_mask_loss_of_single_classes(logits: tuple[torch.Tensor, torch.Tensor]) -> None:
    for temperature in (1.0, 2.0):
        q, p = (torch.sigmoid(x / temperature) for x in logits)
        expected = (p * (p / q).log() + (1 - p) * ((1 - p) / (1 - q)).log()).mean() * temperature**2
        assert mask_loss(*logits, temperature=temperature).item() == pytest.approx(expected.item(), rel=1e-5)


def test_mask_loss_of_distributions(logits: tuple[torch.Tensor, torch.Tensor]) -> None:
    q, p = (x.softmax(1) for x in logits)
    divergence = (p * (p / q).log()).sum(1).mean().item()
    entropy = -(p * p.log()).sum(1).mean().item()
    assert mask_loss(*logits, "softmax").item() == pytest.approx(divergence, rel=1e-5)
    assert mask_loss(*logits, "cross_entropy").item() == pytest.approx(divergence + entropy, rel=1e-5)


def test_the_teacher_does_not_learn(logits: tuple[torch.Tensor, torch.Tensor]) -> None:
    student, teacher = (x.requires_grad_() for x in logits)
    mask_loss(student, teacher).backward()
    assert student.grad is not None
    assert teacher.grad is None


def test_extreme_logits_give_finite_losses() -> None:
    far = torch.tensor([[200.0, -200.0]], requires_grad=True)
    loss = mask_loss(far, -far)
    loss.backward()
    assert loss.item() == pytest.approx(200, rel=1e-3)
    assert far.grad is not None
    assert far.grad.isfinite().all()


def test_nothing_masked_costs_nothing() -> None:
    nothing = torch.zeros(0, 80, requires_grad=True)
    for loss in (mask_loss(nothing, torch.zeros(0, 80)), action_loss(nothing, torch.zeros(0, 80))):
        loss.backward()
        assert loss.item() == 0


def test_compatibility_by_hand() -> None:
    vectors = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
    products = (vectors.double() @ vectors.double().T / 0.2).exp().fill_diagonal_(0)
    each = [products[i, (i + 3) % 6] / products[i].sum() for i in range(6)]
    expected = -torch.stack(each).log().mean().item()
    assert compatibility_loss(vectors).item() == pytest.approx(expected, rel=1e-5)
    assert compatibility_loss(vectors, 1.0).item() != pytest.approx(expected, rel=1e-2)
    for count in (2, 5):
        with pytest.raises(ConfigError, match="two pairs"):
            compatibility_loss(torch.zeros(count, 4))


def test_losses_of_end_tasks_and_actions() -> None:
    outputs = torch.tensor([[1.0], [3.0]])
    assert end_task_loss(outputs, torch.tensor([0.0, 1.0])).item() == 2.5
    assert end_task_loss(torch.zeros(2, 4), torch.tensor([0, 3])).item() == pytest.approx(np.log(4))
    loss = action_loss(torch.tensor([[0.0, 2.0]]), torch.tensor([[1, 0]]))
    assert loss.item() == pytest.approx((np.log(2) + np.log(1 + np.exp(2))) / 2)


@pytest.mark.parametrize("task", ["scene", "view_count"])
def test_scores_of_videos_equal_the_released_code(shared: Path, task: str) -> None:
    folder = shared / "golden/lvu"
    expected = json.loads((folder / "expected.json").read_text())["tasks"][task]["expected"]
    with open(folder / f"{task}_clip_predictions.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    outputs = np.array([[float(row[name]) for name in row if name.startswith("p")] for row in rows])
    video_ids = [row["video_id"] for row in rows]
    for split, answer in expected.items():
        labels = {row["video_id"]: float(row["label"]) for row in rows if row["split"] == split}
        score = score_videos(video_ids, outputs, {**labels, "lost": 1.0}, regression=task == "view_count")
        assert (score.num_videos, score.missing) == (answer["videos"], ("lost",))
        if task == "scene":
            assert round(score.value * score.num_videos / 100) == answer["correct"]
            assert score.value == pytest.approx(answer["top1_percent"], abs=1e-9)
        else:
            assert score.value == pytest.approx(answer["mse"], abs=1e-6)


@pytest.mark.parametrize(
    ("outputs", "winner"),
    [
        ([[9.0, 0.0, 0.0], [0.0, 1.5, 0.0], [0.0, 1.5, 0.0]], 1),  # logits together say 0
        ([[5.0, 0.0], [0.0, 0.1], [0.0, 0.1]], 0),  # two of three say 1
    ],
)
def test_softmax_is_summed_not_logits_and_not_votes(outputs: list[list[float]], winner: int) -> None:
    for label in (0, 1):
        score = score_videos(["v"] * 3, np.array(outputs), {"v": label}, regression=False)
        assert score.value == (100 if label == winner else 0)


def test_scores_need_a_labelled_video_with_a_prediction() -> None:
    with pytest.raises(PipelineError, match="None of 1 labelled"):
        score_videos(["a"], np.zeros((1, 2)), {"b": 1}, regression=False)
    with pytest.raises(PipelineError, match="2 video ids for 1"):
        score_videos(["a", "b"], np.zeros((1, 2)), {"b": 1}, regression=False)
