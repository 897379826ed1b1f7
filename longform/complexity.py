"""`longform complexity`: parameters and multiply-adds of networks, beside the published figures."""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

import torch
from torch import Tensor, nn

from extractors.backbones.base import Backbone
from extractors.backbones.catalog import build_backbone
from extractors.backbones.coviar import STREAMS
from extractors.backbones.heads import RoiHead
from extractors.backbones.nonlocal_block import NonLocalBlock
from extractors.complexity import Complexity, count
from extractors.complexity_padding import Axes, padding_macs
from extractors.detectors.faster_rcnn import FasterRCNN, FasterRCNNConfig
from extractors.detectors.roi_pooling import POOLED_SIZE
from longform import published_coviar, published_lfb, published_object_transformer
from longform.lfb.model import LFBConfig, LFBModel, ShortTerm
from longform.lfb.operators import NonLocalLayer
from longform.object_transformer.complexity import count_span
from longform.published import InputSize, Options, Reading, Row, published_rows
from pipeline import printing
from pipeline.errors import ConfigError

TOLERANCE = 0.01
"""Published figures further away than this are marked, and explained in a note."""

COLUMNS = 120
HEADINGS = (
    ("model", 25), ("variant", 20), ("input", 11), (">M", 6), (">publ.", 6), (">G", 7), (">publ.", 7), (">ratio", 6),
    ("source", 24),
)  # fmt: skip
"""Columns of the table and their widths."""

KINDS = {"params": "parameters", "macs": "multiply-adds"}


LEGEND = """
M: million parameters. G: billion multiply-adds. ratio: counted over published, of multiply-adds where they are
published, else of parameters. *: parameters or multiply-adds are off by more than 1 %; the note says why."""


@dataclass(frozen=True, kw_only=True)
class Line:
    """One row of the answer, as JSON has it."""

    model: str
    variant: str
    input: list[int] | None
    params: int | None
    macs: int | None
    published_params: float | None
    published_macs: float | None
    source: str
    ratio_params: float | None
    ratio_macs: float | None
    note: str

    @property
    def is_off(self) -> bool:
        """Whether a published figure differs by more than `TOLERANCE`."""
        return _is_off(self.ratio_params) or _is_off(self.ratio_macs)


def _is_off(ratio: float | None) -> bool:
    return ratio is not None and abs(ratio - 1) > TOLERANCE


def complexity(arguments: argparse.Namespace) -> int:
    """Run the command: always 0; ConfigError for a model that is not in the table."""
    lines = compare(arguments.models)
    if arguments.json:
        printing.print_json([asdict(line) for line in lines])
    else:
        _print(lines)
    return 0


def compare(models: Sequence[str] = ()) -> list[Line]:
    """Count the networks of these names, by default all, once per published figure.

    Raises:
        ConfigError: a name has no row; the message has the nearest that does.
    """
    rows = published_rows()
    names = list(dict.fromkeys(row.model for row in rows))
    for model in models:
        if model not in names:
            near = difflib.get_close_matches(model, names, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise ConfigError(f"No row for a model called {model!r}.{hint} Without a name, all are printed.")
    counts = Counts()
    return [line_of(row, counts) for row in rows if not models or row.model in models]


class Counts:
    """Networks counted so far: rows with several sources, and readings, share networks."""

    def __init__(self) -> None:
        self._known: dict[str, Complexity] = {}

    def of_row(self, row: Row) -> Complexity | None:
        """The row's own network, and its second stream; None where there is none."""
        if row.absent or row.input is None:
            return None
        first = self.of(row.model, row.options, row.input)
        if row.second_stream is None:
            return first
        return first + self.of(row.model, row.second_stream, row.input)

    def of(self, model: str, options: Options, size: InputSize) -> Complexity:
        """One network at one input size."""
        key = repr((model, sorted(options.items()), size))
        if key not in self._known:
            self._known[key] = _counted(model, options, size)
        return self._known[key]

    def padding(self, model: str, options: Options, size: InputSize, axes: Axes) -> int:
        """Multiply-adds of a network for clips that meet a padded zero."""
        network = _built(model, options)
        return padding_macs(network, (1, network.input_channels, *size), axes)


def _built(model: str, options: Options) -> Backbone:
    with torch.device("meta"):
        return build_backbone(model, **options).eval()


def _counted(model: str, options: Options, size: InputSize) -> Complexity:
    """Products of non-local blocks are counted in the paper's order. A network for boxes is counted up to its maps."""
    if model.startswith("faster_rcnn_"):
        return _counted_detector(FasterRCNNConfig(**options), size)
    if model == published_lfb.MODEL:
        return _counted_lfb(options, size)
    if model == published_object_transformer.MODEL:
        return count_span(options, num_tokens=size[0])
    if model == published_coviar.MODEL and "frames_of_gop" in options:
        return _counted_gop(options, size)
    network = _built(model, options)
    _in_order_of_papers(network)
    clip_shape = (1, network.input_channels, *size)
    if any(isinstance(module, RoiHead) for module in network.modules()):
        return count(network, clip_shape, lambda _, clip: network.forward_features(clip))
    return count(network, clip_shape)


def _counted_gop(options: Options, size: InputSize) -> Complexity:
    """A group of pictures through the three networks of CoViAR: all their parameters, and the mean frame's work."""
    frames = options["frames_of_gop"]
    of_network = {key: value for key, value in options.items() if key != "frames_of_gop"}
    iframe, motion, residual = (
        _counted(published_coviar.MODEL, {"stream": stream, **of_network}, size) for stream in STREAMS
    )
    pair = motion + residual

    def mean(of_iframe: int, of_pair: int) -> int:
        return round((of_iframe + (frames - 1) * of_pair) / frames)

    return replace(
        iframe + pair,
        macs=mean(iframe.macs, pair.macs),
        macs_by_kind={kind: mean(macs, pair.macs_by_kind[kind]) for kind, macs in iframe.macs_by_kind.items()},
        normalised=mean(iframe.normalised, pair.normalised),
    )


def _in_order_of_papers(network: nn.Module) -> None:
    for module in network.modules():
        if isinstance(module, NonLocalBlock | NonLocalLayer):
            module.attention = "plain"


def _counted_lfb(options: Options, size: InputSize) -> Complexity:
    """One clip with one box and, where the operator reads a bank, one window; STO finds the box itself."""
    of_operator = {key: value for key, value in options.items() if key == "num_layers"}
    with torch.device("meta"):
        model = LFBModel(LFBConfig(operator=options["operator"], operator_options=of_operator)).eval()
        short = ShortTerm(torch.empty(1, 2048), positions=torch.empty(1, 1, 2048))
        bank = torch.empty(1, published_lfb.AVA_SLOTS, 2048)
    _in_order_of_papers(model)

    def run(_: nn.Module, clip: Tensor) -> None:
        assert model.backbone is not None
        model.backbone.forward_features(clip)
        model.relate(short, bank)

    return count(model, (1, 3, *size), run)


def _counted_detector(config: FasterRCNNConfig, size: InputSize) -> Complexity:
    """Body, pyramid, region proposals and the box head over all proposals; RoIAlign and suppression count nothing."""
    with torch.device("meta"):
        detector = FasterRCNN(config)
        pooled = torch.empty(config.max_proposals, config.fpn_channels, POOLED_SIZE, POOLED_SIZE)

    def run(_: nn.Module, picture: Tensor) -> None:
        detector.rpn(detector.forward_features(picture))
        detector.box_head(detector.box_head.embed(pooled))

    _, height, width = size
    return count(detector, (1, 3, height, width), run)


def line_of(row: Row, counts: Counts) -> Line:
    """The row's answer: counted, compared and, where the figure is off, explained."""
    ours = counts.of_row(row)
    params, macs = (ours.params, ours.macs) if ours else (None, None)
    line = Line(
        model=row.model,
        variant=row.variant,
        input=list(row.input) if row.input else None,
        params=params,
        macs=macs,
        published_params=row.published_params,
        published_macs=row.published_macs,
        source=row.source,
        ratio_params=_ratio(params, row.published_params),
        ratio_macs=_ratio(macs, row.published_macs),
        note="",
    )
    parts = [row.absent, _times_note(row, ours, counts), row.note]
    if row.reading and line.is_off:
        parts.append(_reading_note(row, row.reading, line, counts))
    return Line(**{**asdict(line), "note": " ".join(part for part in parts if part)})


def _ratio(ours: int | None, published: float | None) -> float | None:
    return ours / published if ours is not None and published is not None else None


def _times_note(row: Row, ours: Complexity | None, counts: Counts) -> str:
    """What a row with printed ratios prints, and what those ratios are here."""
    base = row.relative_to
    if base is None:
        return ""
    unit = counts.of_row(base)
    printed, here = [], []
    for kind, times in (("params", row.params_times), ("macs", row.macs_times)):
        if times:
            printed.append(f"{times:.3g}x in {KINDS[kind]}")
        if times and ours and unit:
            here.append(f"{getattr(ours, kind) / getattr(unit, kind):.3f}x in {KINDS[kind]}")
    note = f"Printed as a ratio to {f'{base.model} {base.variant}'.strip()}: {', '.join(printed)}."
    return f"{note} Here {', '.join(here)}." if here else note


def _reading_note(row: Row, reading: Reading, line: Line, counts: Counts) -> str:
    """The reading's text and what it comes to."""
    options = row.options if reading.options is None else reading.options
    size = reading.input or row.input
    read = counts.of_row(replace(row, options=options, input=size))
    assert read is not None
    assert size is not None
    params = read.params - (read.norm_params if reading.without_norm else 0)
    macs = read.macs + reading.norm_ops * read.normalised + reading.extra_macs
    if reading.without_padding:
        macs -= counts.padding(row.model, options, size, reading.without_padding)
    figures = [f"{params / (2**20 if reading.binary_millions else 1e6):.4g} M"] if _is_off(line.ratio_params) else []
    figures += [f"{macs / 1e9:.2f} G"] if _is_off(line.ratio_macs) else []
    return f"{reading.text}: {', '.join(figures)}."


def _print(lines: Sequence[Line]) -> None:
    """The table, rows that are off marked with the number of their note, and the notes."""
    console = printing.console()
    console.width = COLUMNS
    table = printing.table(*(name for name, _ in HEADINGS), widths=[width for _, width in HEADINGS])
    table.collapse_padding = True
    notes: dict[str, int] = {}
    for line in lines:
        number = notes.setdefault(line.note, len(notes) + 1) if line.note else None
        printing.add_row(table, *_cells(line, number), style="yellow" if line.is_off else "")
    console.print(table)
    console.print(LEGEND, style="dim")
    for note, number in notes.items():
        console.print(f"[{number}] {note}")


def _cells(line: Line, note: int | None) -> list[str]:
    ratio = line.ratio_macs if line.ratio_macs is not None else line.ratio_params
    mark = "*" if line.is_off else ""
    return [
        line.model,
        line.variant,
        "x".join(map(str, line.input)) if line.input else "",
        _number(line.params, 1e6),
        _number(line.published_params, 1e6),
        _number(line.macs, 1e9),
        _number(line.published_macs, 1e9),
        f"{ratio:.3f}{mark}" if ratio is not None else "",
        " ".join(part for part in (line.source, f"[{note}]" if note else "") if part),
    ]


def _number(value: float | None, unit: float) -> str:
    return "" if value is None else f"{value / unit:.2f}"
