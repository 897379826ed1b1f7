"""Models: what is trained and what is frozen, losses, inputs, and what they refuse."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from extractors.errors import ConfigError, ShapeError
from longform.lfb.model import LFBConfig, LFBModel, ShortTerm

WIDTH, LATENT, SLOTS = 2, 8, 5
DIM = 32 * WIDTH
CLIPS = torch.tensor([1, 0, 1])
TASKS = ("ava", "epic-verb", "charades")


def small(task: str = "ava", operator: str = "nl", **options: Any) -> LFBModel:
    reduced = {"operator_options": {"latent_dim": LATENT, "zero_init": False}} if operator in ("nl", "sto") else {}
    defaults = {"backbone_options": {"width": WIDTH}, "bank_dim": DIM, **reduced}
    torch.manual_seed(0)
    return LFBModel(LFBConfig(task=task, operator=operator, **{**defaults, **options}))


def clips() -> Tensor:
    return torch.randn(2, 3, 8, 32, 32, generator=torch.Generator().manual_seed(1))


def boxes() -> Tensor:
    corners = torch.tensor([[3.0, 5.0, 20.0, 30.0], [0.0, 0.0, 32.0, 32.0], [10.0, 8.0, 25.0, 22.0]])
    return torch.cat([CLIPS[:, None].float(), corners], 1)


def bank() -> Tensor:
    return torch.rand(2, SLOTS, DIM, generator=torch.Generator().manual_seed(2))


def logits(model: LFBModel) -> Tensor:
    """Of the clips above."""
    asked = boxes() if model.config.facts.boxes else None
    return model(clips(), bank() if model.config.reads_bank else None, boxes_px=asked)


def labels(model: LFBModel) -> Tensor:
    count = 3 if model.config.facts.boxes else 2
    if model.config.facts.activation == "softmax":
        return torch.arange(count)
    return (torch.rand(count, model.config.classes, generator=torch.Generator().manual_seed(3)) < 0.1).long()


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("operator", ["none", "sto", "avg", "max", "nl"])
def test_everything_that_is_trained_gets_a_gradient_and_is_in_one_group(task: str, operator: str) -> None:
    """And nothing else: norms are a fixed scale and shift."""
    model = small(task, operator)
    model.loss(logits(model), labels(model)).backward()
    norms = {name for name, _ in model.named_parameters() if ".bn." in name}
    moved = {name for name, parameter in model.named_parameters() if parameter.grad is not None}
    assert norms
    assert moved == {name for name, _ in model.named_parameters()} - norms
    (group,) = model.parameter_groups(1e-6)
    assert group["weight_decay"] == 1e-6
    grouped = [id(parameter) for parameter in group["params"]]
    assert sorted(grouped) == sorted(id(p) for name, p in model.named_parameters() if name in moved)


def test_a_step_of_training_changes_no_norm() -> None:
    model = small()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm3d):
            nn.init.normal_(module.running_mean)
            nn.init.uniform_(module.running_var)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    optimizer = torch.optim.SGD(model.train().parameter_groups(0.1), lr=0.1, momentum=0.9, nesterov=True)
    model.loss(logits(model), labels(model)).backward()
    optimizer.step()
    changed = {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])}
    assert not [name for name in changed if ".bn." in name]
    assert {"backbone.slow.stem.conv.weight", "lfb.layers.1.phi.weight", "head.fc.bias"} <= changed


def test_norms_are_trained_without_weight_decay_if_asked() -> None:
    model = small(frozen_norm=False, operator_options={"latent_dim": LATENT, "norm_affine": True})
    decayed, kept = model.parameter_groups(0.1)
    assert (decayed["weight_decay"], kept["weight_decay"]) == (0.1, 0.0)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    of_norms = {names[id(parameter)] for parameter in kept["params"]}
    assert of_norms == {name for name in names.values() if ".bn." in name or ".norm." in name}
    assert len(decayed["params"]) + len(of_norms) == len(names)
    before = model.state_dict()["backbone.slow.stem.bn.running_mean"].clone()
    logits(model.train())
    assert not torch.equal(before, model.state_dict()["backbone.slow.stem.bn.running_mean"])


@pytest.mark.parametrize("task", TASKS)
def test_a_frozen_backbone_gets_no_gradient_and_no_noise(task: str) -> None:
    model = small(task, freeze="backbone", frozen_norm=False).train()
    assert model.backbone is not None
    assert not any(module.training for module in model.backbone.modules())
    asked = boxes() if task == "ava" else None
    short = model.short_term(clips(), asked)
    assert not short.features.requires_grad
    torch.testing.assert_close(short.features, model.eval().short_term(clips(), asked).features, rtol=0, atol=0)
    model.loss(logits(model.train()), labels(model)).backward()
    moved = {name.split(".")[0] for name, parameter in model.named_parameters() if parameter.grad is not None}
    assert moved == {"lfb", "head"}
    assert sum(len(group["params"]) for group in model.parameter_groups(0.0)) == len(
        [name for name, _ in model.named_parameters() if not name.startswith("backbone")]
    )


def test_a_frozen_backbone_trains_operator_and_classifier_as_given_features_do() -> None:
    """Table 7.2b, 'K400 feat.' and 'AVA feat.': the network of the bank and of the clip is the same and stays."""
    still: dict[str, Any] = {"dropout": 0.0, "operator_options": {"latent_dim": LATENT, "dropout": 0.0}}
    whole = small(freeze="backbone", **still)
    over_features = small(backbone=None, feature_dim=DIM, **still)
    over_features.load_state_dict({k: v for k, v in whole.state_dict().items() if not k.startswith("backbone")})
    with torch.no_grad():
        short = whole.short_term(clips(), boxes())
    for answer, model in ((logits(whole), whole), (over_features.relate(short, bank()), over_features)):
        model.loss(answer, labels(model)).backward()
    for name, parameter in over_features.named_parameters():
        torch.testing.assert_close(parameter.grad, whole.get_parameter(name).grad)


@pytest.mark.parametrize("task", TASKS)
def test_losses_are_those_of_the_sheet(task: str) -> None:
    model = small(task, backbone=None)
    scores, truth = torch.randn(4, model.config.classes), labels(model)[:1].repeat(4, *[1] * (labels(model).dim() - 1))
    z = scores.double().numpy()
    if task == "epic-verb":
        expected = np.mean([np.log(np.exp(row).sum()) - row[label] for row, label in zip(z, truth, strict=True)])
    else:
        expected = np.mean(np.log1p(np.exp(z)) - z * truth.numpy())
    assert model.loss(scores, truth).item() == pytest.approx(expected, rel=1e-5)
    total = model.activate(scores).sum(1)
    assert torch.allclose(total, torch.ones(4)) == (task == "epic-verb")


def test_a_batch_without_boxes_has_no_loss_but_a_gradient() -> None:
    model = small()
    empty = model(clips(), bank(), boxes_px=torch.zeros(0, 5))
    assert empty.shape == (0, 80)
    loss = model.loss(empty, torch.zeros(0, 80))
    loss.backward()
    assert loss.item() == 0
    assert all(not parameter.grad.any() for parameter in model.parameters() if parameter.grad is not None)


def test_sto_attends_to_the_boxes_of_the_clip_or_to_its_temporal_positions() -> None:
    model = small("ava", "sto").eval()
    one = model(clips()[:1], boxes_px=boxes()[1:2])
    torch.testing.assert_close(logits(model)[1:2], one)
    both = model.explain(model.short_term(clips(), boxes())).weights
    assert both.shape == (3, 2, 2)
    assert both[1].tolist() == [[1.0, 0.0], [1.0, 0.0]]
    model = small("charades", "sto").eval()
    short = model.short_term(clips())
    assert short.positions is not None
    assert short.positions.shape == (2, 4, DIM)
    torch.testing.assert_close(short.positions.mean(1), short.features)
    torch.testing.assert_close(model.relate(short), logits(model))
    found = model.explain(short)
    assert found.weights.shape == (2, 2, 4)
    torch.testing.assert_close(found.logits, logits(model))


def test_explanations_come_with_the_logits() -> None:
    model = small(masked=True).eval()
    mask = torch.tensor([[True] * 5, [False] * 5])
    short = model.short_term(clips(), boxes())
    found = model.explain(short, bank(), mask)
    torch.testing.assert_close(found.logits, model(clips(), bank(), mask, boxes()))
    assert found.weights.sum(2).tolist() == [[0.0, 0.0], [pytest.approx(1.0)] * 2, [0.0, 0.0]]


def test_dropout_before_the_classifier_is_the_released_one() -> None:
    assert small().head.dropout.p == 0.3
    assert small().train().head.dropout.training


@pytest.mark.parametrize(("task", "depth", "dilation"), [
    ("ava", 50, 2), ("ava", 101, 2), ("charades", 50, 2), ("charades", 101, 1), ("epic-noun", 50, 1),
])  # fmt: skip
def test_the_last_stage_is_dilated_as_in_the_released_models(task: str, depth: int, dilation: int) -> None:
    with torch.device("meta"):
        model = LFBModel(LFBConfig(task=task, backbone=f"lfb_i3d_nl_r{depth}"))
    assert model.backbone is not None
    assert model.backbone.get_submodule("slow.res5.1.b.conv").dilation == (1, dilation, dilation)


@pytest.mark.parametrize("task", ["ava", "charades"])
def test_slowfast_can_be_the_short_term_network(task: str) -> None:
    model = small(task, backbone="slowfast_4x16_r50", backbone_options={"width": 8}).eval()
    clip = torch.randn(2, 3, 32, 64, 64)
    assert len(model(clip, bank(), boxes_px=boxes() if task == "ava" else None)) == 2 + (task == "ava")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"task": "kinetics"}, "task is 'kinetics'.*epic-noun"),
        ({"operator": "mean"}, "operator is 'mean'.*avg"),
        ({"freeze": "all"}, "freeze is 'all'.*backbone"),
        ({"operator": "avg", "operator_options": {"num_layers": 3}}, "'avg' has no options"),
        ({"operator_options": {"layers": 3}}, "no option layers.*num_layers"),
        ({"backbone": "s3d"}, "'s3d' cannot be.*SlowFast"),
    ],
)
def test_settings_that_cannot_be_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        LFBModel(LFBConfig(**options))


def test_inputs_that_do_not_fit_are_refused() -> None:
    model = small()
    with pytest.raises(ShapeError, match="'ava' classifies boxes: give boxes_px"):
        model(clips(), bank())
    with pytest.raises(ShapeError, match="'nl' reads a bank"):
        model(clips(), boxes_px=boxes())
    with pytest.raises(ShapeError, match="'charades' classifies clips: leave out boxes_px"):
        small("charades")(clips(), bank(), boxes_px=boxes())
    with pytest.raises(ShapeError, match="no backbone"):
        small(backbone=None)(clips(), bank(), boxes_px=boxes())
    with pytest.raises(ShapeError, match="temporal positions"):
        small("charades", "sto").relate(ShortTerm(torch.rand(2, DIM)))
    with pytest.raises(ConfigError, match="operator 'none'"):
        small(operator="none").explain(ShortTerm(torch.rand(2, DIM)))
