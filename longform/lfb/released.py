"""The released models of video-long-term-feature-banks, by the names of their weight cards."""

from __future__ import annotations

import re

from extractors.errors import ConfigError
from extractors.weights.cards.lfb import CARDS
from longform.lfb.model import LFBConfig

_NAME = re.compile(r"(r50|r101)_(ava|verbs|nouns|charades)_(baseline|avg|max|nl|nl_3l)(_bank)?_lfb")
_TASKS = {"ava": "ava", "verbs": "epic-verb", "nouns": "epic-noun", "charades": "charades"}


def released_models() -> tuple[str, ...]:
    """Names of the cards whose files are whole models: short-term network, operator (if any) and classifier."""
    return tuple(card.name for card in CARDS if _NAME.fullmatch(card.name))


def released_config(name: str) -> LFBConfig:
    """What to build before `load_weights(LFBModel(config), file)`.

    Args:
        name: of a weight card. The network that writes a bank (`..._bank_lfb`) is a 3D CNN alone.
    Raises:
        ConfigError: no released model is called so; the message lists those that are.
    """
    match = _NAME.fullmatch(name)
    if match is None or name not in released_models():
        raise ConfigError(f"No released model is called {name!r}. There are: {', '.join(released_models())}.")
    depth, task, operator, writes_bank = match.groups()
    alone = writes_bank is not None or operator == "baseline"
    return LFBConfig(
        task=_TASKS[task],
        operator="none" if alone else operator.removesuffix("_3l"),
        backbone=f"lfb_i3d_nl_{depth}",
        operator_options={"num_layers": 3} if operator == "nl_3l" and not alone else {},
    )
