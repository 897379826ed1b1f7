"""Prepared networks compute what they did before: folded, flat, channels-last, in bfloat16."""

from functools import partial

import pytest
import torch
from torch import nn

from extractors.backbones.catalog import build_backbone
from extractors.backbones.nonlocal_block import NonLocalBlock
from extractors.errors import ConfigError
from extractors.onednn import QUERIES_AT_A_TIME, OneDnnConv3d, OneDnnLinear, OneDnnNonLocalBlock, use_onednn
from extractors.placement import CHILD_NUMBER
from extractors.runtime import Runtime, fold_batch_norm

SMALL = {"width": 8, "num_classes": 5}
NETWORKS = {
    "slowfast_4x16_r50": ((32, 64, 64), {"crop_px": 64}),
    "i3d_nl_r50": ((8, 64, 64), {"crop_px": 64}),
    "i3d_333_r50": ((8, 64, 64), {"crop_px": 64}),
    "i3d": ((16, 224, 224), {}),
    "s3dg": ((16, 96, 96), {}),
}


def shaken(model: nn.Module) -> nn.Module:
    """`model` with batch statistics and scales away from 0 and 1, so that folding has something to do."""
    torch.manual_seed(1)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm3d):
            module.running_mean.normal_(0, 0.2)
            module.running_var.uniform_(0.5, 2)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.1)
    return model.eval()


@pytest.mark.parametrize("name", NETWORKS)
def test_a_prepared_network_gives_the_same_embedding(name: str) -> None:
    size, options = NETWORKS[name]
    model = shaken(build_backbone(name, **SMALL, **options))
    clip = torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(2))
    with torch.inference_mode():
        expected = model.embed(clip)
        runtime = Runtime()
        prepared = runtime.prepare(model)
        found = prepared.embed(runtime.to(clip))
    assert not any(isinstance(module, nn.BatchNorm3d) for module in prepared.modules())
    assert any(isinstance(module, OneDnnConv3d) for module in prepared.modules())
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))


@pytest.mark.parametrize("name", ["slowfast_4x16_r50", "s3dg"])
def test_bf16_gives_logits_and_embeddings_close_to_fp32(name: str) -> None:
    size, options = NETWORKS[name]
    clip = torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(3))
    runtime = Runtime(precision="bf16")
    exact, coarse = (shaken(build_backbone(name, **SMALL, **options)) for _ in range(2))
    coarse.load_state_dict(exact.state_dict())
    runtime.prepare(coarse)
    with torch.inference_mode():
        truth, found = exact.run(clip), coarse.run(runtime.to(clip))
    for a, b in ((truth.embedding, found.embedding), (truth.probabilities, found.probabilities)):
        assert torch.nn.functional.cosine_similarity(a, b.float()).item() > 0.995


@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "dilation", "groups"),
    [
        ((1, 1, 1), (1, 1, 1), (0, 0, 0), 1, 1),
        ((1, 1, 1), (1, 2, 2), (0, 0, 0), 1, 1),
        ((1, 3, 3), (1, 2, 2), (0, 1, 1), 1, 2),
        ((1, 3, 3), (1, 1, 1), (0, 2, 2), (1, 2, 2), 1),
        ((5, 1, 1), (8, 1, 1), (2, 0, 0), 1, 1),
        ((3, 3, 3), (1, 1, 1), (1, 1, 1), 1, 4),
    ],
)
def test_onednn_gives_the_same_convolution(kernel, stride, padding, dilation, groups) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv3d(8, 12, kernel, stride, padding, dilation, groups))
    clip = torch.randn(1, 8, 17, 9, 11)
    expected = model(clip)
    use_onednn(model)
    for layout in (torch.contiguous_format, torch.channels_last_3d):
        with torch.inference_mode():
            found = model(clip.contiguous(memory_format=layout))
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_onednn_is_used_where_torch_would_not() -> None:
    model = nn.Sequential(nn.Conv3d(8, 8, 1)).requires_grad_(False)
    clip = torch.randn(1, 8, 4, 8, 8)
    used = []
    for prepare in (lambda _: None, use_onednn):
        prepare(model)
        with torch.profiler.profile() as profile, torch.inference_mode():
            model(clip)
        used.append(any(event.name == "aten::mkldnn_convolution" for event in profile.events()))
    assert used == [False, True]


@pytest.mark.parametrize("shape", [(0, 6), (1, 6), (7, 6), (2, 3, 6)])
@pytest.mark.parametrize("bias", [True, False])
def test_onednn_gives_the_same_linear_layer(shape: tuple[int, ...], bias: bool) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 5, bias)).requires_grad_(False)
    rows = torch.randn(shape)
    expected = model(rows)
    use_onednn(model)
    assert type(model[0]) is OneDnnLinear
    torch.testing.assert_close(model(rows), expected)


@pytest.mark.parametrize("form", ["gaussian", "embedded_gaussian"])
@pytest.mark.parametrize("group_frames", [None, 2])
def test_onednn_gives_the_same_attention(form: str, group_frames: int | None) -> None:
    torch.manual_seed(0)
    block = NonLocalBlock(8, form=form, norm=False, group_frames=group_frames).requires_grad_(False)
    nn.init.normal_(block.out.weight)
    maps = torch.randn(2, 8, 4, 20, 16)
    assert maps[0, 0].numel() / 2 > QUERIES_AT_A_TIME
    expected = block(maps)
    use_onednn(block)
    assert type(block) is OneDnnNonLocalBlock
    torch.testing.assert_close(block(maps), expected)


def test_plain_attention_stays_as_it_is_written() -> None:
    block = NonLocalBlock(8, attention="plain")
    use_onednn(block)
    assert type(block) is NonLocalBlock


def test_a_compiled_network_gives_the_same_embedding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))  # traced, and not made into C++
    size, options = NETWORKS["i3d_nl_r50"]
    plain, compiled = (shaken(build_backbone("i3d_nl_r50", **SMALL, **options)) for _ in range(2))
    compiled.load_state_dict(plain.state_dict())
    clip = torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(4))
    runtime = Runtime(compile=True)
    with torch.inference_mode():
        found = runtime.prepare(compiled).embed(runtime.to(clip))
        torch.testing.assert_close(found, plain.embed(clip), rtol=1e-4, atol=1e-4)


def test_what_cannot_be_compiled_says_so() -> None:
    with pytest.raises(ConfigError, match="Linear cannot be compiled: run it without --compile"):
        Runtime(compile=True).prepare(nn.Linear(2, 2))


@pytest.mark.parametrize("padding", ["same", (1, 1, 1)])
def test_convolutions_it_cannot_do_are_left_to_torch(padding: object) -> None:
    mode = "zeros" if padding == "same" else "replicate"
    model = nn.Sequential(nn.Conv3d(4, 4, 3, padding=padding, padding_mode=mode))
    use_onednn(model)
    assert type(model[0]) is nn.Conv3d


def test_folding_needs_no_batch_norm_behind_a_convolution() -> None:
    plain = nn.Module()
    plain.conv = nn.Conv3d(2, 2, 1)
    before = plain.conv.weight.clone()
    fold_batch_norm(plain)
    assert torch.equal(plain.conv.weight, before)


@pytest.mark.parametrize("device", ["auto", "cpu"])
def test_auto_and_cpu_are_here(device: str) -> None:
    assert Runtime(device=device).to(torch.zeros(1, 3, 2, 4, 4)).shape == (1, 3, 2, 4, 4)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")
def test_cuda_gives_the_embedding_of_the_cpu() -> None:
    size, options = NETWORKS["slowfast_4x16_r50"]
    model = shaken(build_backbone("slowfast_4x16_r50", **SMALL, **options))
    clip = torch.randn(1, 3, *size)
    with torch.inference_mode():
        expected = model.embed(clip)
        runtime = Runtime(device="cuda")
        found = runtime.prepare(model).embed(runtime.to(clip)).cpu()
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3 * float(expected.abs().max()))


def test_cuda_all_spreads_processes_over_the_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two devices that are not there: only the choice is tested."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    chosen = []
    for number in ("0", "1", "2", "3"):
        monkeypatch.setenv(CHILD_NUMBER, number)
        chosen.append(str(Runtime(device="cuda:all").torch_device))
    assert chosen == ["cuda:0", "cuda:1", "cuda:0", "cuda:1"]
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(ConfigError, match="shows 0 CUDA devices"):
        Runtime(device="cuda:all")
    with pytest.raises(ConfigError, match="Unknown device 'cpu:all'"):
        Runtime(device="cpu:all")


def test_a_device_of_other_machines_is_looked_for_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    runtime = Runtime(device="cuda:all", elsewhere=True)
    assert (runtime.device_name, runtime.num_devices) == ("cuda:all", 1)
    with pytest.raises(ConfigError, match="shows 0 CUDA devices"):
        runtime.prepare(nn.Conv3d(1, 1, 1))
    with pytest.raises(ConfigError, match="Unknown device 'gpu'"):
        Runtime(device="gpu", elsewhere=True)
