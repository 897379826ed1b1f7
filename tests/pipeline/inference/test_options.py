"""Who runs networks by the options of `extract`, and what share of the memory that leaves a process."""

import sys

import pytest
import torch

from pipeline.cli import parser
from pipeline.commands import _config
from pipeline.config import ExtractConfig
from pipeline.errors import ConfigError


def config_of(*words: str) -> ExtractConfig:
    options = parser().parse_args(["extract", "videos", "--bank", "bank", "--memory-budget", "12G", *words])
    options.beam_args = []
    return _config(options)


@pytest.mark.parametrize(
    ("words", "shared", "processes"),
    [
        (["--workers", "2"], False, 2),
        (["--workers", "2", "--inference", "shared"], True, 3),
        (["--workers", "1", "--device", "cuda"], False, 1),
        (["--workers", "2", "--device", "cuda"], True, 3),
        (["--workers", "2", "--device", "auto"], True, 3),
        (["--workers", "2", "--device", "cuda", "--inference", "own"], False, 2),
        (["--workers", "8", "--device", "cuda:all"], True, 8 + 4),
        (["--workers", "2", "--device", "cuda:all"], True, 2 + 2),
    ],
)
def test_who_runs_networks(words: list[str], shared: bool, processes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four cards that are not there."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    config = config_of(*words)
    assert config.stage("clips").runtime.shared is shared
    assert config.limits.max_rss_bytes == (12 << 30) // processes


def test_no_card_and_no_linux(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert not config_of("--workers", "2", "--device", "auto").stage("clips").runtime.shared
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(ConfigError, match="--inference shared needs Linux"):
        config_of("--inference", "shared")


def test_a_preset_without_networks_has_none_to_share() -> None:
    with pytest.raises(ConfigError, match="takes no --inference"):
        config_of("--preset", "hoghof", "--inference", "shared")
