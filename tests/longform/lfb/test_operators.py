"""Feature bank operators against NumPy, against each other, and at their edges."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from extractors.errors import ConfigError, ShapeError
from longform.lfb.operators import (
    FBONL,
    STO,
    FBOAvg,
    FBOMax,
    FBONLConfig,
    FeatureBankOperator,
    boxes_as_bank,
)
from tests.longform.lfb.lfb_in_numpy import fbo_nl

D, LATENT, SLOTS = 12, 8, 7


def operator(seed: int = 0, **options: Any) -> FBONL:
    """A small FBO-NL in evaluation mode, with no weight or bias at zero."""
    config = FBONLConfig(**{"feature_dim": D, "bank_dim": D, "latent_dim": LATENT, **options})
    made = FBONL(config).eval()
    generator = torch.Generator().manual_seed(seed)
    for parameter in made.parameters():
        nn.init.normal_(parameter, std=0.5, generator=generator)
    return made


def queries(count: int = 5) -> Tensor:
    return torch.rand(count, D, generator=torch.Generator().manual_seed(1))


def windows(count: int = 3, slots: int = SLOTS) -> Tensor:
    return torch.rand(count, slots, D, generator=torch.Generator().manual_seed(2))


CLIPS = torch.tensor([2, 0, 2, 2, 0])
"""Window 1 has no query, and those of window 2 are not side by side."""


def blobs_of(made: FBONL) -> dict[str, np.ndarray]:
    """The operator's weights under the names of the NumPy version."""
    names = {"reduce_input": "reduc", "reduce_bank": "lfb_1x1"}
    names |= {
        f"layers.{i}.{leaf}": f"lfb_nl{i}_{leaf}" for i in range(3) for leaf in ("theta", "phi", "g", "out", "pair")
    }
    return {
        f"{names[name.rsplit('.', 1)[0]]}_{name.rsplit('.', 1)[1][0]}": tensor.double().numpy()
        for name, tensor in made.state_dict().items()
    }


@pytest.mark.parametrize("num_layers", [1, 2, 3])
@pytest.mark.parametrize("form", ["embedded_gaussian", "dot_product", "concatenation"])
@pytest.mark.parametrize("pre_activation", [True, False])
@pytest.mark.parametrize("layer_norm", [True, False])
def test_fbo_nl_is_what_the_sheet_says(num_layers: int, form: str, pre_activation: bool, layer_norm: bool) -> None:
    options = {"num_layers": num_layers, "form": form, "pre_activation": pre_activation, "layer_norm": layer_norm}
    made, blobs = operator(**options).double(), blobs_of(operator(**options))
    bank = windows().double()
    bank[2, 3:] = 0  # empty slots, which count
    with torch.inference_mode():
        found = made(queries().double(), bank, clip_index=CLIPS).numpy()
    expected = [
        fbo_nl(short, bank[clip].numpy(), blobs, scaled=form != "dot_product", **options)
        for short, clip in zip(queries().double().numpy(), CLIPS, strict=True)
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-9)


@pytest.mark.parametrize(("form", "scaled"), [("embedded_gaussian", False), ("dot_product", True)])
def test_the_scale_can_be_switched(form: str, scaled: bool) -> None:
    made = operator(form=form, scaled=scaled)
    with torch.inference_mode():
        found = made(queries(3), windows()).numpy()
    expected = [
        fbo_nl(short.double().numpy(), bank.double().numpy(), blobs_of(made), num_layers=2, form=form, scaled=scaled)
        for short, bank in zip(queries(3), windows(), strict=True)
    ]
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("slots", [SLOTS, 1], ids=["fewer queries than slots", "more"])
@pytest.mark.parametrize("training", [False, True])
def test_fused_attention_equals_plain_in_values_and_gradients(masked: bool, slots: int, training: bool) -> None:
    mask = torch.rand(3, slots, generator=torch.Generator().manual_seed(3)) < 0.6
    mask[0] = False
    results = []
    for attention in ("fused", "plain"):
        made = operator(masked=masked, attention=attention).train(training)
        short, bank = queries().requires_grad_(), windows(slots=slots).requires_grad_()
        torch.manual_seed(0)
        out = made(short, bank, mask, CLIPS)
        (out * torch.arange(LATENT)).sum().backward()
        results.append([out.detach(), short.grad, bank.grad, *(parameter.grad for parameter in made.parameters())])
    for fused, plain in zip(*results, strict=True):
        torch.testing.assert_close(fused, plain, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("slots", [SLOTS, 1], ids=["fewer queries than slots", "more"])
def test_without_gradients_fused_attention_equals_plain_too(masked: bool, slots: int) -> None:
    mask = torch.rand(3, slots, generator=torch.Generator().manual_seed(3)) < 0.6
    mask[0] = False
    with torch.inference_mode():
        fused, plain = (
            operator(masked=masked, attention=attention, num_layers=3)(queries(), windows(slots=slots), mask, CLIPS)
            for attention in ("fused", "plain")
        )
    torch.testing.assert_close(fused, plain, atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize("made", [operator(), operator(form="dot_product"), FBOAvg(D), FBOMax(D)])
def test_queries_do_not_change_each_other(made: FeatureBankOperator) -> None:
    together = made(queries(), windows(), clip_index=CLIPS)
    torch.testing.assert_close(together, made(queries(), windows()[CLIPS]))
    torch.testing.assert_close(together[1:2], made(queries()[1:2], windows()[:1]))


@pytest.mark.parametrize("made", [operator(), operator(form="concatenation"), FBOAvg(D), FBOMax(D)])
def test_no_query_at_all_gives_no_rows(made: FeatureBankOperator) -> None:
    nothing = made(queries(0), windows(), clip_index=torch.zeros(0, dtype=torch.int64))
    assert nothing.shape == (0, made.output_dim)


@pytest.mark.parametrize("pre_activation", [True, False])
def test_a_new_operator_passes_the_reduced_feature_on(pre_activation: bool) -> None:
    made = FBONL(FBONLConfig(feature_dim=D, bank_dim=D, latent_dim=LATENT, pre_activation=pre_activation)).eval()
    reduced = made.reduce_input(queries(3))
    torch.testing.assert_close(made(queries(3), windows()), reduced if pre_activation else reduced.relu())


def test_weights_start_as_gaussians_and_output_layers_at_zero() -> None:
    torch.manual_seed(0)
    made = FBONL()
    for name, parameter in made.named_parameters():
        if name.endswith("bias") or ".out." in name:
            assert not parameter.any(), name
        else:
            assert parameter.std().item() == pytest.approx(0.01, rel=0.01), name
    assert sum(parameter.numel() for parameter in made.parameters()) == 2 * (2048 + 1) * 512 + 2 * 4 * (512 + 1) * 512
    assert FBONL(FBONLConfig(zero_init=False)).layers[0].out.weight.any()


MASKED: tuple[FeatureBankOperator, ...] = (
    operator(masked=True),
    operator(masked=True, attention="plain"),
    operator(masked=True, form="dot_product"),
    operator(masked=True, form="concatenation"),
    FBOAvg(D, masked=True),
    FBOMax(D, masked=True),
)


@pytest.mark.parametrize("made", MASKED)
def test_masked_slots_are_as_if_not_there(made: FeatureBankOperator) -> None:
    mask = torch.tensor([True, False, True, True, False, True, False])
    left = windows()[:, mask]
    whatever = windows().masked_fill(~mask[:, None], 100.0)
    torch.testing.assert_close(
        made(queries(3), whatever, mask.expand(3, -1)),
        made(queries(3), left, torch.ones(3, 4, dtype=torch.bool)),
    )


@pytest.mark.parametrize("made", MASKED)
def test_an_empty_window_gives_a_sum_of_zero_and_finite_gradients(made: FeatureBankOperator) -> None:
    bank = windows(2).requires_grad_()
    mask = torch.tensor([[False] * SLOTS, [True] * SLOTS])
    out = made(queries(2), bank, mask)
    out.sum().backward()
    assert out.isfinite().all()
    assert bank.grad is not None
    assert bank.grad.isfinite().all()
    assert not bank.grad[0].any()
    assert bank.grad[1].any()
    assert not made.explain(queries(2), bank, mask).weights[0].any()
    if not isinstance(made, FBONL):
        assert not out[0].any()


def test_an_empty_window_of_fbo_nl_adds_what_the_output_layer_makes_of_zero() -> None:
    made = operator(masked=True, num_layers=1)
    out = made(queries(2), windows(2), torch.zeros(2, SLOTS, dtype=torch.bool))
    torch.testing.assert_close(out, made.reduce_input(queries(2)) + made.layers[0].out.bias)


def test_unmasked_empty_slots_count_in_attention_and_average_but_not_in_the_maximum() -> None:
    longer = torch.cat([windows(), torch.zeros(3, 2, D)], 1)
    assert (operator()(queries(3), longer) - operator()(queries(3), windows())).abs().max() > 1e-3
    torch.testing.assert_close(FBOAvg(D)(queries(3), longer), windows().sum(1) / (SLOTS + 2))
    torch.testing.assert_close(FBOMax(D)(queries(3), longer), windows().amax(1))


@pytest.mark.parametrize("made", [operator(num_layers=3), *MASKED])
def test_explanations_come_with_the_same_output(made: FeatureBankOperator) -> None:
    mask = torch.tensor([[True] * 4 + [False] * 3, [True] * 7, [False] * 7])
    found = made.explain(queries(), windows(), mask, CLIPS)
    torch.testing.assert_close(found.output, made(queries(), windows(), mask, CLIPS))
    layers = len(made.layers) if isinstance(made, FBONL) else 1
    assert found.weights.shape == (5, layers, SLOTS)
    if made.masked:
        assert not found.weights[~mask[CLIPS][:, None].expand_as(found.weights)].any()
    elif isinstance(made, FBONL):
        torch.testing.assert_close(found.weights.sum(2), torch.ones(5, layers))


def test_explanations_say_where_the_average_and_the_maximum_come_from() -> None:
    bank = torch.tensor([[[1.0, 5.0, 0.0, 2.0], [3.0, 1.0, 0.0, 4.0], [0.0, 0.0, 0.0, 0.0]]])
    short = torch.zeros(1, 4)
    assert FBOMax(4).explain(short, bank).weights.tolist() == [[[0.25, 0.5, 0.0]]]
    mask = torch.tensor([[True, True, False]])
    assert FBOAvg(4, masked=True).explain(short, bank, mask).weights.tolist() == [[[0.5, 0.5, 0.0]]]


@pytest.mark.parametrize(
    ("switches", "rates"),
    [
        ({}, (0.2, 0.2, 0.2)),
        ({"input_dropout": False}, (0.0, 0.2, 0.2)),
        ({"bank_dropout": False}, (0.2, 0.0, 0.0)),
        ({"bank_dropout": False, "nl_dropout": True}, (0.2, 0.0, 0.2)),
        ({"nl_dropout": False, "dropout": 0.5}, (0.5, 0.5, 0.0)),
    ],
)
def test_dropout_of_the_layers_follows_the_switch_of_the_bank(
    switches: dict[str, Any], rates: tuple[float, float, float]
) -> None:
    made = operator(**switches)
    assert (made.input_dropout.p, made.bank_dropout.p, made.layers[0].dropout.p) == rates


def test_layer_norm_learns_only_if_asked() -> None:
    assert not [name for name, _ in operator().named_parameters() if "norm" in name]
    learned = {name: tuple(p.shape) for name, p in operator(norm_affine=True).named_parameters() if "norm" in name}
    assert learned == {f"layers.{i}.norm.{leaf}": (LATENT,) for i in (0, 1) for leaf in ("weight", "bias")}


def test_sto_is_fbo_nl_of_the_boxes_of_a_clip_among_themselves() -> None:
    sto = STO(operator().config).eval()
    sto.load_state_dict(operator().state_dict())
    found = sto.among_boxes(queries(), CLIPS, num_clips=3)
    for clip in (0, 2):
        boxes = queries()[clip == CLIPS]
        torch.testing.assert_close(found[clip == CLIPS], operator()(boxes, boxes.expand(len(boxes), -1, -1)))
    assert sto.among_boxes(queries(0), CLIPS[:0], num_clips=2).shape == (0, LATENT)


def test_gradients_flow_into_both_sides_of_sto() -> None:
    sto = STO(operator().config).eval()
    sto.load_state_dict(operator().state_dict())
    short = queries().requires_grad_()
    sto.among_boxes(short, CLIPS, num_clips=3)[0].sum().backward()
    assert short.grad is not None
    assert short.grad.any(1).tolist() == [True, False, True, True, False]


def test_boxes_as_a_bank_are_in_the_order_of_the_queries() -> None:
    bank, mask = boxes_as_bank(queries(), CLIPS, 3)
    assert mask.tolist() == [[True, True, False], [False] * 3, [True] * 3]
    assert torch.equal(bank[2], queries()[[0, 2, 3]])
    assert torch.equal(bank[0, :2], queries()[[1, 4]])


def test_a_bank_in_half_precision_is_read_as_the_features_are() -> None:
    out = operator()(queries(3), windows().half())
    torch.testing.assert_close(out, operator()(queries(3), windows().half().float()))


@pytest.mark.parametrize("made", [operator(), operator(masked=True), FBOAvg(D), FBOMax(D)])
@pytest.mark.parametrize("gradients", [True, False])
def test_mixed_precision_gives_nearly_the_same(made: FeatureBankOperator, gradients: bool) -> None:
    mask = torch.tensor([[True] * SLOTS, [False] * SLOTS, [True] * 3 + [False] * 4])
    with torch.set_grad_enabled(gradients), torch.autocast("cpu", dtype=torch.bfloat16):
        found = made(queries(), windows(), mask, CLIPS).float()
    expected = made(queries(), windows(), mask, CLIPS)
    assert (found - expected).abs().max() < 0.05 * expected.abs().max()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_layers": 4}, "num_layers is 4.*1, 2, 3"),
        ({"form": "gaussian"}, "form is 'gaussian'.*dot_product"),
        ({"attention": "fast"}, "attention is 'fast'.*plain"),
        ({"dropout": 1.0}, "dropout is 1.0"),
        ({"form": "concatenation", "scaled": True}, "leave out scaled"),
        ({"layer_norm": False, "norm_affine": True}, "needs layer_norm"),
    ],
)
def test_settings_that_cannot_be_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        FBONLConfig(**options)


@pytest.mark.parametrize(
    ("made", "arguments", "message"),
    [
        (operator(), (queries(3), windows()[0]), "the bank \\(7, 12\\)"),
        (operator(), (queries(3), windows()[:, :0]), "L of at least 1"),
        (operator(), (queries(5), windows()), "5 short-term features and 3 windows"),
        (operator(), (queries(3), windows(), torch.ones(3, SLOTS)), "of torch.float32"),
        (operator(), (queries(3), windows(), torch.ones(3, 2, dtype=torch.bool)), "expected \\(3, 7\\)"),
        (operator(masked=True), (queries(3), windows()), "needs bank_mask"),
        (operator(), (queries(5), windows(), None, CLIPS.float()), "clip_index .* of torch.float32"),
        (operator(), (queries(5), windows(), None, CLIPS + 1), "from 1 to 3; there are 3"),
        (operator(), (queries(3)[:, 1:], windows()), "feature_dim=12"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(
    made: FeatureBankOperator, arguments: tuple[Tensor, ...], message: str
) -> None:
    with pytest.raises(ShapeError, match=message):
        made(*arguments)
