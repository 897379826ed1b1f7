"""Every public checkpoint we know how to use, one `WeightCard` each. Importing it is quick: no torch.

A name reads `<network>_<frames>x<stride>_<depth>_<data>[_<kind of file or training>][_<publisher>]`; files of the
PySlowFast zoo carry no publisher, the others `ptv` (PyTorchVideo), `nlnet` (video-nonlocal-net), `lfb`, `dm`
(DeepMind), `piergiaj`, `kylemin`, `tv` (torchvision) or `d2` (Detectron2).
"""

from __future__ import annotations

import difflib

from extractors.errors import WeightsError
from extractors.weights.card import WeightCard
from extractors.weights.cards import (
    coviar,
    detectors,
    inception,
    lfb,
    nonlocal_nets,
    packaged,
    pyslowfast,
    pytorchvideo,
)

FAMILIES: dict[str, tuple[WeightCard, ...]] = {
    "In this package": packaged.CARDS,
    "PySlowFast": pyslowfast.CARDS,
    "PyTorchVideo": pytorchvideo.CARDS,
    "Non-local networks (Caffe2)": nonlocal_nets.CARDS,
    "Long-term feature banks (Caffe2)": lfb.CARDS,
    "I3D and S3D": inception.CARDS,
    "Image networks that CoViAR starts from": coviar.CARDS,
    "Detectors": detectors.CARDS,
}
"""The cards by family, in the order in which they are listed."""

CARDS: dict[str, WeightCard] = {card.name: card for cards in FAMILIES.values() for card in cards}
"""The cards by name."""


def card(name: str) -> WeightCard:
    """The card of a checkpoint.

    Raises:
        WeightsError: there is none of that name; the message gives the closest ones.
    """
    if name not in CARDS:
        close = ", ".join(difflib.get_close_matches(name, CARDS, n=3, cutoff=0.5))
        raise WeightsError(f"No checkpoint is called {name!r}. "
                           + (f"Did you mean: {close}?" if close else "See `longform weights list`."))  # fmt: skip
    return CARDS[name]
