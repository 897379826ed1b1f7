"""Equality with the released code on shared/golden/object_transformer."""

from pathlib import Path

import numpy as np
import pytest
import torch

from extractors import load_weights
from longform.object_transformer import build_object_transformer
from longform.object_transformer.batches import padded
from longform.object_transformer.losses import ACTION_LOSS_WEIGHT, compatibility_loss, end_task_loss, mask_loss
from longform.object_transformer.model import EndTaskTransformer, ObjectTransformer, PretrainTransformer
from longform.object_transformer.tokens import INDEX_NAMES, PADDING
from tests.longform.object_transformer.golden import GoldenCase, weights_by_rule, write_released

KINDS = {"task_relationship": "relationship", "pretrain_losses": "pretrain"}


@pytest.fixture(scope="module", params=KINDS)
def golden(request: pytest.FixtureRequest, shared: Path) -> GoldenCase:
    return GoldenCase(shared / "golden/object_transformer" / request.param)


@pytest.fixture(scope="module")
def model(golden: GoldenCase, tmp_path_factory: pytest.TempPathFactory) -> ObjectTransformer:
    """With the weights of the case, from a file as the released code writes it."""
    network = build_object_transformer(KINDS[golden.case["case"]])
    path = write_released(golden.case, tmp_path_factory.mktemp("weights") / "pytorch_model.bin")
    report = load_weights(network, path)
    assert (report.missing, report.unexpected) == ((), ())
    return network.eval()


def close(ours: torch.Tensor, theirs: np.ndarray) -> None:
    np.testing.assert_allclose(ours.detach().numpy(), theirs, rtol=0, atol=1e-5)


def test_indices_rows_and_places(golden: GoldenCase) -> None:
    batch = golden.batch
    indices = padded(batch.indices, batch.lengths, PADDING)
    for column, name in enumerate(INDEX_NAMES):
        np.testing.assert_array_equal(indices[..., column], golden.expected[name], err_msg=name)
    rows = padded(batch.rows, batch.lengths, -1).numpy()
    for row, sequence in zip(rows, golden.sequences, strict=True):
        box = row >= 0
        row[box] = golden.rows_of(sequence.video_id)[row[box]]
    np.testing.assert_array_equal(rows, golden.expected["token_row"])
    np.testing.assert_array_equal(padded(batch.spatial, batch.lengths), golden.expected["spatial"])
    np.testing.assert_array_equal(indices[..., 0] != PADDING, golden.expected["padding_mask"])


def test_parameters(golden: GoldenCase, model: ObjectTransformer) -> None:
    assert sum(parameter.numel() for parameter in model.parameters()) == golden.case["params"]


def test_names_are_the_released_ones(golden: GoldenCase, model: ObjectTransformer) -> None:
    named = {name for name in golden.case["tensors"] if not name.startswith("head.")}
    assert set(model.state_dict()) == named


@torch.inference_mode()
def test_embedding_encoder_and_pooler(golden: GoldenCase, model: ObjectTransformer) -> None:
    batch, expected = golden.batch, golden.expected
    corruptions = (golden.corruption,) if "masked_tokens" in expected else ()
    embedded = padded(model.embed(batch, corruptions), batch.lengths)[:, :8]
    close(embedded, expected["embedding_first8"])
    encoded = model.encode(batch, corruptions)
    close(torch.stack([part.mean(0) for part in encoded.split(batch.lengths)]), expected["encoder_mean"])
    places = torch.from_numpy(expected["encoder_tokens"].astype(np.int64)).unsqueeze(-1)
    close(padded(encoded, batch.lengths).take_along_dim(places, 1), expected["encoder"])
    close(model.represent(batch, corruptions), expected["pooler"])


@pytest.mark.parametrize("golden", ["task_relationship"], indirect=True)
@torch.inference_mode()
def test_end_task(golden: GoldenCase, model: EndTaskTransformer) -> None:
    logits = model(golden.batch)
    close(logits, golden.expected["logits"])
    labels = torch.from_numpy(golden.expected["labels"]).long()
    assert end_task_loss(logits, labels).item() == pytest.approx(golden.expected["loss"].item(), rel=1e-5)


@pytest.mark.parametrize("golden", ["pretrain_losses"], indirect=True)
@torch.inference_mode()
def test_pretraining(golden: GoldenCase, model: PretrainTransformer) -> None:
    expected, batch = golden.expected, golden.batch
    predicted = model(batch, (golden.corruption,))
    close(predicted.mask_logits[0], expected["mask_logits"])
    state = weights_by_rule(golden.case)
    clean = batch.features[golden.corruption.positions]
    teacher = clean @ state["head.projection.weight"].T + state["head.projection.bias"]
    close(teacher, expected["pseudo_label_logits"])
    masked = mask_loss(predicted.mask_logits[0], teacher)
    assert masked.item() == pytest.approx(expected["mask_loss"].item(), rel=1e-5)
    assert predicted.compat is not None
    close(predicted.compat, expected["compat_embedding"])
    compat = compatibility_loss(predicted.compat)
    assert compat.item() == pytest.approx(expected["compat_loss"].item(), rel=1e-5)
    total = ACTION_LOSS_WEIGHT * masked + compat
    assert total.item() == pytest.approx(expected["total_loss"].item(), rel=1e-5)
