"""The network: packed and padded forms agree, options do what they say, weights go in and out."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from extractors import load_weights
from extractors.errors import WeightsError
from extractors.weights import save_weights
from longform.datasets.lvu import TASKS
from longform.object_transformer import attention, build_object_transformer
from longform.object_transformer.batches import TokenBatch, pack, padded
from longform.object_transformer.masking import Corruption, Masking, mask_batch
from longform.object_transformer.model import ActionTransformer, EndTaskTransformer, PretrainTransformer
from longform.object_transformer.pretrained import load_trunk, read_short_term_classifier, start_action_transformer
from longform.object_transformer.tokens import PADDING
from pipeline.errors import ConfigError
from tests.longform.object_transformer import padded_form
from tests.longform.object_transformer.small import DIM, batch, network


def corruption_of(tokens: TokenBatch, dims: tuple[int, ...] = (DIM,)) -> tuple[Corruption, ...]:
    return mask_batch(tokens, Masking(probability=0.3), np.random.default_rng(0), dims)


@torch.inference_mode()
def test_packed_form_equals_the_padded_one() -> None:
    model, tokens = network("relationship"), batch()
    full = [padded(part, tokens.lengths) for part in (tokens.features, tokens.spatial)]
    indices = padded(tokens.indices, tokens.lengths, PADDING)
    theirs = padded_form.encode(model.state_dict(), full[0], indices, full[1], heads=3)
    ours = padded(model.encode(tokens), tokens.lengths)
    real = indices[..., 0] != PADDING
    assert not real.all()
    torch.testing.assert_close(ours[real], theirs[real], rtol=0, atol=1e-5)
    again = pack(full[0], indices, full[1], padded(tokens.rows, tokens.lengths))
    torch.testing.assert_close(model(again), model(tokens), rtol=0, atol=0)


@torch.inference_mode()
def test_late_fusion_equals_the_padded_form() -> None:
    model, tokens = network("ava"), batch()
    assert isinstance(model, ActionTransformer)
    corruptions = corruption_of(tokens)
    seen = padded_form.seen_features(model.state_dict(), tokens.features, corruptions)
    assert not torch.equal(seen, tokens.features)
    fields = [padded(part, tokens.lengths) for part in (seen, tokens.spatial, tokens.features)]
    indices = padded(tokens.indices, tokens.lengths, PADDING)
    hidden = padded_form.encode(model.state_dict(), fields[0], indices, fields[1], heads=3)
    theirs = padded_form.action_logits(model.state_dict(), hidden, fields[2])[indices[..., 0] != PADDING]
    torch.testing.assert_close(model.at_all_tokens(tokens, corruptions), theirs, rtol=0, atol=1e-4)
    torch.testing.assert_close(model(tokens, corruptions), theirs[corruptions[0].positions], rtol=0, atol=1e-4)
    short_term = model.action_lm_head.decoder_feat(tokens.features[corruptions[0].positions])
    alone = model(tokens, corruptions, fuse=False)
    torch.testing.assert_close(alone + short_term, model(tokens, corruptions), rtol=0, atol=1e-5)


@pytest.mark.parametrize("queries", [(3, 1, 5), (7, 2, 6)])
def test_both_ways_to_attend_agree_in_values_and_gradients(queries: tuple[int, ...]) -> None:
    keys, results = (7, 2, 6), []
    inputs = [
        torch.randn(sum(n), 12, generator=torch.Generator().manual_seed(i)) for i, n in enumerate((queries, keys, keys))
    ]
    for way in (attention._one_by_one, attention._padded):
        leaves = [x.clone().requires_grad_() for x in inputs]
        out = way(*leaves, queries, keys, 3, 0.0)
        out.square().sum().backward()
        results.append([out, *(leaf.grad for leaf in leaves)])
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-5)


@torch.inference_mode()
@pytest.mark.parametrize("variant", ["released", "thesis"])
def test_the_last_layer_at_some_tokens_equals_the_whole(variant: str) -> None:
    model = network("pretrain", variant=variant, feature_dims=(8, 4))
    tokens = batch(form=model.config.token_form)
    corruptions = corruption_of(tokens, dims=(8, 4))
    assert not torch.equal(corruptions[0].positions, corruptions[1].positions)
    encoded, whole = model.roberta.encode(tokens, corruptions), model.encode(tokens, corruptions)
    torch.testing.assert_close(encoded.pooled, model.roberta.pool(whole[tokens.starts()]), rtol=0, atol=1e-5)
    for masked, corruption in zip(encoded.masked, corruptions, strict=True):
        torch.testing.assert_close(masked, whole[corruption.positions], rtol=0, atol=1e-5)


def test_a_masked_feature_is_not_seen_and_the_mask_embedding_learns() -> None:
    model, tokens = network("relationship"), batch()
    everything = tokens.is_box().nonzero().squeeze(1)
    counts = tuple(length - 2 for length in tokens.lengths)
    hidden = (Corruption(positions=everything, sources=torch.full_like(everything, -1), counts=counts),)
    logits = model(tokens, hidden)
    changed = replace(tokens, features=tokens.features.index_fill(0, everything, 1))
    torch.testing.assert_close(model(changed, hidden), logits, rtol=0, atol=0)
    logits.sum().backward()
    gradient = model.roberta.embeddings.masked_embedding[0].grad
    assert gradient is not None
    assert gradient.abs().min() > 0


@pytest.mark.parametrize(
    ("kind", "options", "millions"),
    [
        ("relationship", {}, 25.022980),
        ("writer", {}, 25.027594),
        ("view_count", {}, 25.020673),
        ("pretrain", {"compat": False}, 25.673552),
        ("pretrain", {}, 26.364112),
        ("ava", {}, 25.857952),
    ],
)
def test_parameters_of_the_released_form(kind: str, options: dict[str, bool], millions: float) -> None:
    with torch.device("meta"):
        model = build_object_transformer(kind, **options)
    assert sum(parameter.numel() for parameter in model.parameters()) / 1e6 == pytest.approx(millions, abs=1e-7)


@pytest.mark.parametrize("task", TASKS)
def test_every_task_has_its_head(task: str) -> None:
    model = network(task)
    assert isinstance(model, EndTaskTransformer)
    sizes = {"relationship": 4, "way_speaking": 5, "scene": 6, "director": 10, "writer": 10, "year": 9, "genre": 4}
    assert model(batch()).shape == (4, sizes.get(task, 1))


def test_new_weights_are_drawn_as_the_original_draws_them() -> None:
    state = build_object_transformer("ava", feature_dims=(DIM,)).state_dict()
    for name, tensor in state.items():
        if name.endswith("bias") or "masked_embedding" in name:
            assert not tensor.any(), name
        elif "norm" in name.lower():
            assert (tensor == 1).all(), name
        else:
            assert tensor.std().item() == pytest.approx(0.02, rel=0.1), name


def test_the_thesis_variant_has_what_it_says() -> None:
    model = network("pretrain", variant="thesis")
    assert isinstance(model, PretrainTransformer)
    names = set(model.state_dict())
    assert {name for name in names if "_embeddings" in name and "spatial" not in name} == {
        f"roberta.embeddings.{name}_embeddings.weight" for name in ("link", "inc_position", "inc_scene")
    }
    assert not any("pooler" in name or "embeddings.LayerNorm" in name for name in names)
    assert model.state_dict()["roberta.embeddings.spatial_embeddings.weight"].shape == (24, 4)
    form = model.config.token_form
    assert batch(form=form).lengths == tuple(length - 1 for length in batch().lengths)
    assert batch(form=form).spatial.shape[1] == 4
    tokens = batch(form=form)
    torch.testing.assert_close(model.embed(tokens)[tokens.starts()], model.roberta.embeddings.start.expand(4, -1))


def test_persons_and_objects_have_masks_and_heads_of_their_own() -> None:
    model, tokens = network("pretrain", feature_dims=(8, 4)), batch()
    tokens.features[::2, :8], tokens.features[1::2, 8:] = 0, 0
    corruptions = corruption_of(tokens, dims=(8, 4))
    predicted = model(tokens, corruptions)
    assert [logits.shape[1] for logits in predicted.mask_logits] == [80, 81]
    for corruption, even in zip(corruptions, (1, 0), strict=True):
        assert len(corruption.positions) > 0
        assert (corruption.positions % 2 == even).all()
    seen = padded_form.seen_features(model.state_dict(), tokens.features, corruptions)
    embeddings = model.roberta.embeddings
    torch.testing.assert_close(
        embeddings.reduced(tokens.features, corruptions), embeddings.reduction(seen), rtol=0, atol=1e-6
    )


def test_own_files_and_released_files_load(tmp_path: Path) -> None:
    model = network("pretrain")
    save_weights(model, tmp_path / "own.safetensors", name="pretrain")
    torch.save(model.state_dict(), tmp_path / "released.bin")
    for file in ("own.safetensors", "released.bin"):
        other = network("pretrain", seed=1)
        assert load_weights(other, tmp_path / file).num_loaded == len(model.state_dict())
        for name, tensor in model.state_dict().items():
            torch.testing.assert_close(other.state_dict()[name], tensor, rtol=0, atol=0)


def test_a_task_starts_from_a_pretrained_trunk(tmp_path: Path) -> None:
    pretrained = network("pretrain")
    torch.save(pretrained.state_dict(), tmp_path / "mask_compact.bin")
    model = network("scene", seed=1)
    head = model.long_term_head.dense.weight.clone()
    load_trunk(model, tmp_path / "mask_compact.bin")
    tokens = batch()
    torch.testing.assert_close(model.represent(tokens), pretrained.represent(tokens))
    torch.testing.assert_close(model.long_term_head.dense.weight, head)
    deeper = network("scene", layers=4)
    with pytest.raises(WeightsError, match=r"lacks roberta\.encoder\.layer\.3"):
        load_trunk(deeper, tmp_path / "mask_compact.bin")


def test_ava_starts_from_pretraining_and_the_short_term_model(tmp_path: Path) -> None:
    pretrained, model = network("pretrain"), network("ava", seed=1)
    assert isinstance(model, ActionTransformer)
    slowfast = {
        "model_state": {"head.projection.weight": torch.randn(80, DIM), "head.projection.bias": torch.randn(80)}
    }
    torch.save(slowfast, tmp_path / "slowfast.pkl")
    torch.save(pretrained.state_dict(), tmp_path / "pretrained.bin")
    start_action_transformer(model, tmp_path / "pretrained.bin", tmp_path / "slowfast.pkl")
    classifier = read_short_term_classifier(tmp_path / "slowfast.pkl")
    assert not classifier.weight.requires_grad
    torch.testing.assert_close(model.action_lm_head.decoder_feat.weight, classifier.weight.clone(), rtol=0, atol=0)
    torch.testing.assert_close(model.action_lm_head.decoder.weight, pretrained.action_lm_head.decoder.weight)
    model.freeze_for_fine_tuning()
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert {name.replace("decoder.bias", "bias") for name in trained} == {
        "action_lm_head.decoder.weight",
        "action_lm_head.bias",
        "action_lm_head.decoder_feat.weight",
        "action_lm_head.decoder_feat.bias",
    }
    with pytest.raises(WeightsError, match=r"no classifier"):
        read_short_term_classifier(tmp_path / "pretrained.bin")


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("relation", {}, "expected one of: relationship"),
        ("scene", {"variant": "paper"}, "expected one of: released, thesis"),
        ("scene", {"depth": 3}, "no option is called 'depth'"),
        ("scene", {"width": 100}, "a multiple of 12 heads"),
        ("scene", {"time_views": ("inc", "inc")}, "some of"),
        ("scene", {"representation": "mean"}, "'pooler' or 'first'"),
    ],
)
def test_what_is_not_known_is_refused(kind: str, options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build_object_transformer(kind, **options)  # type: ignore[arg-type]


def test_dropout_is_on_in_training_only() -> None:
    model, tokens = network("scene", dropout=0.5), batch()
    assert torch.equal(model(tokens), model(tokens))
    model.train()
    assert not torch.equal(model(tokens), model(tokens))


def test_features_in_the_precision_of_a_bank() -> None:
    tokens = batch()
    halves = replace(tokens, features=tokens.features.half())
    floats = replace(tokens, features=tokens.features.half().float())
    for kind in ("scene", "ava"):
        model = network(kind)
        results = [model(part, corruption_of(part)) for part in (halves, floats)]
        torch.testing.assert_close(*results, rtol=0, atol=0)


def test_bfloat16_is_near() -> None:
    model, tokens = network("scene"), batch()
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        near = model(tokens)
    torch.testing.assert_close(near.float(), model(tokens), rtol=0.1, atol=0.1)
