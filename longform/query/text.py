"""A text as a query, by the model that made the features of a space."""

from __future__ import annotations

from dataclasses import replace

from extractors.errors import ConfigError, WeightsError
from extractors.image_text import ImageTextSource, image_text_source
from extractors.runtime import Runtime
from longform.query.rows import check_space
from longform.query.search import Query, vector
from pipeline.bank.errors import BankError
from pipeline.bank.reader import FeatureBank


class TextSearchError(BankError):
    """A space that texts cannot be compared with, or whose model is not there any more."""


def text(bank: FeatureBank, space: str, words: str, weights: str | None = None) -> Query:
    """What `words` say, for a space of preset `text`; compared by the cosine.

    Args:
        weights: where the model is now, `hf:FOLDER` or `hf:OWNER/NAME`; without, where it was when the space was made,
            and nothing is downloaded.
    Raises:
        UnknownNameError: no such space.
        TextSearchError: no model of pictures and texts made the space, its model is gone, or it has changed since.
        ConfigError: the text is empty or too long for the model.
        MissingDependency: `transformers` is not installed.
    """
    check_space(bank, space)
    made_by = _text_model(bank, space)
    source = _source(space, made_by["name"], weights)
    if source.sha256 != made_by["sha256"]:
        raise TextSearchError(
            f"Cannot search {space!r} by text: got the model {source.name} of sha256 {source.sha256[:12]}, expected "
            f"that of {made_by['sha256'][:12]}, which made the features. Name that one with --weights hf:FOLDER, "
            "or extract the space again."
        )
    return replace(vector(source.build(Runtime()).embed_text(words)), metric="cosine")


def _text_model(bank: FeatureBank, space: str) -> dict[str, str]:
    """What the bank says of the model behind a space."""
    cards = {name: info.provenance.get("card") or {} for name, info in bank.spaces.items()}
    if "text_model" not in cards[space]:
        fit = ", ".join(sorted(name for name, card in cards.items() if "text_model" in card)) or "none in this bank"
        raise TextSearchError(
            f"Cannot search {space!r} by text: its features are not of a model that knows texts. Spaces that are: "
            f"{fit}. Make one: longform extract INPUT --bank B --preset text --weights frames=hf:FOLDER."
        )
    return cards[space]["text_model"]


def _source(space: str, name: str, weights: str | None) -> ImageTextSource:
    if weights is not None:
        return image_text_source(weights)
    try:
        return image_text_source(name, download=False)
    except (ConfigError, WeightsError) as error:
        raise TextSearchError(
            f"Cannot search {space!r} by text: its model was {name}, which cannot be read now ({error}) "
            "Say where it is: --weights hf:FOLDER."
        ) from error
