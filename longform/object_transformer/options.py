"""Options that the commands of Object Transformers share. Nothing heavy is imported here."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from longform.object_transformer.bank_tokens import BankSpaces
    from pipeline.bank import FeatureBank

SIZES = ("width", "layers", "heads", "dropout")
PERSONS = "person."


def add_bank_options(parser: argparse.ArgumentParser) -> None:
    """Which boxes of which bank."""
    parser.add_argument("--bank", required=True, metavar="B", help="feature bank with people, tracks and shots")
    parser.add_argument("--persons", metavar="SPACE", help="space of the person features (default: the only person.*)")
    parser.add_argument("--objects", metavar="SPACE", help="space of object features to put beside them "
                        "(default: people only)")  # fmt: skip
    parser.add_argument("--min-score", type=float, default=0.0, metavar="X", help="least detection score "
                        "(default: %(default)s)")  # fmt: skip
    parser.add_argument("--cache-gb", type=float, default=8.0, metavar="GB", help="memory for the boxes of videos that "
                        "were read (default: %(default)s)")  # fmt: skip


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """The form of the network; without options the released one."""
    parser.add_argument("--variant", choices=("released", "thesis"), default="released", help="where thesis and "
                        "released code differ (default: %(default)s)")  # fmt: skip
    parser.add_argument("--width", type=int, metavar="W", help="width of the network (default: 768)")
    parser.add_argument("--layers", type=int, metavar="N", help="layers (default: 3)")
    parser.add_argument("--heads", type=int, metavar="N", help="attention heads (default: 12)")
    parser.add_argument("--dropout", type=float, metavar="P", help="default: 0.1")


def sizes_of(options: argparse.Namespace) -> dict[str, Any]:
    """Arguments of `build_object_transformer` from `add_model_options`."""
    given = {name: getattr(options, name) for name in SIZES if getattr(options, name) is not None}
    return {"variant": options.variant, **given}


def spaces_of(options: argparse.Namespace, bank: FeatureBank) -> BankSpaces:
    """The spaces that `add_bank_options` name.

    Raises TokenError if the space of the people is not named and the bank has none or several.
    """
    from longform.object_transformer.bank_tokens import BankSpaces
    from longform.object_transformer.tokens import TokenError

    persons = options.persons
    if persons is None:
        candidates = [name for name in bank.spaces if name.startswith(PERSONS)]
        if len(candidates) != 1:
            raise TokenError(
                f"Bank {bank.uri!r} has {len(candidates)} spaces {PERSONS}*: {', '.join(candidates) or 'none'}. "
                "Name the one of the people with --persons."
            )
        (persons,) = candidates
    return BankSpaces(persons=persons, objects=options.objects, min_score=options.min_score)
