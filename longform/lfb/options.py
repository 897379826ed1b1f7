"""What options, a run's folder or a released model's name say of a model, and the model."""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from extractors.backbones.catalog import AVA_PREFIX, build_backbone
from extractors.networks import UNTRAINED
from extractors.weights import load_weights
from extractors.weights.load import save_weights
from extractors.weights.store import resolve
from longform.lfb.model import LFBConfig, LFBModel, load_backbone
from longform.lfb.recipes import CLIPS, DEFAULT_BACKBONE, DEFAULT_SIZE_PX, START, WINDOWS_S
from longform.lfb.released import released_config, released_models
from longform.lfb.samples import ClipShape
from longform.training.errors import TrainingError
from longform.training.run_folder import CONFIG

FULL_WIDTH = 64
DEFAULT_SAMPLING = "32x2"
READS_BANK = ("nl", "avg", "max")


@dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """What decides a model and its input; the fields are the options of `longform train`."""

    task: str
    operator: str = "nl"
    layers: int = 2
    masked: bool = False
    window_s: int
    causal: bool = False
    backbone: str = DEFAULT_BACKBONE
    width: int = FULL_WIDTH
    clip: str
    size: int = DEFAULT_SIZE_PX
    freeze: str | None = None
    weights: str | None = None

    def __post_init__(self) -> None:
        if self.window_s < 1 or self.width < 1 or self.size < 32:
            raise TrainingError(
                f"--window-s {self.window_s}, --width {self.width}, --size {self.size}: expected at least 1, 1 and 32."
            )
        _ = self.clip_shape

    @classmethod
    def of(cls, task: str, values: Mapping[str, Any]) -> ModelOptions:
        """From options by name; others are passed over."""
        names = {field.name for field in dataclasses.fields(cls)} - {"task"}
        return cls(task=task, **{name: value for name, value in values.items() if name in names})

    @property
    def reads_bank(self) -> bool:
        """Whether clips need windows of a bank."""
        return self.operator in READS_BANK

    @property
    def is_second_stage(self) -> bool:
        """Whether it is Charades with a bank, whose backbone is that of the first stage."""
        return self.task == "charades" and self.reads_bank

    @property
    def frozen(self) -> str:
        """`freeze` with the default decided."""
        return self.freeze or ("backbone" if self.is_second_stage else "nothing")

    @property
    def clip_shape(self) -> ClipShape:
        """Frames and stride of a clip."""
        frames, _, stride = self.clip.partition("x")
        if not (frames.isdecimal() and stride.isdecimal()):
            raise TrainingError(f"--clip {self.clip}: expected frames x distance, such as 32x2.")
        return ClipShape(num_frames=int(frames), stride=int(stride))

    @property
    def backbone_options(self) -> dict[str, Any]:
        """Of the builder, over those of the task."""
        options: dict[str, Any] = {}
        if self.width != FULL_WIDTH:
            options["width"] = self.width
        if self.clip not in (DEFAULT_SAMPLING, CLIPS[self.task]):
            options["sampling"] = self.clip
        if self.size != DEFAULT_SIZE_PX:
            options["crop_px"] = self.size
        return options

    def config(self, *, bank_dim: int | None, num_classes: int) -> LFBConfig:
        """The model's.

        Args:
            bank_dim: of the space, where one is read.
        """
        return LFBConfig(
            task=self.task,
            operator=self.operator,
            backbone=self.backbone,
            backbone_options=self.backbone_options,
            bank_dim=bank_dim or 1,
            operator_options={"num_layers": self.layers} if self.operator in ("nl", "sto") else {},
            masked=self.masked and self.reads_bank,
            num_classes=num_classes,
            freeze=self.frozen,
            frozen_norm=self.weights != UNTRAINED,
        )


def started_model(options: ModelOptions, config: LFBConfig) -> LFBModel:
    """A model to train, with the weights that its backbone starts from.

    Raises:
        TrainingError: the options contradict each other.
        WeightsError: the weights are not here (the message says how to get them), or do not fit.
    """
    weights = options.weights
    if weights is None:
        if options.is_second_stage:
            raise TrainingError(
                "Charades with a bank is trained on top of a trained 3D CNN: train it with --operator none, and give "
                "--weights RUN/best.safetensors, or the name of a released one, such as r50_charades_baseline_lfb."
            )
        weights = START.get(options.backbone)
        if weights is None:
            raise TrainingError(
                f"--backbone {options.backbone} has no weights of its own to start from: give --weights."
            )
    if weights == UNTRAINED and options.frozen == "backbone":
        raise TrainingError("--weights untrained with a backbone that is not trained: nothing could be learnt.")
    model = LFBModel(config)
    if weights != UNTRAINED:
        load_backbone(model, resolve(weights)[0])
    return model


def options_of_checkpoint(task: str, checkpoint: str) -> ModelOptions:
    """What the model in a file of a run, or a released model, was built with.

    Raises:
        TrainingError: the file is in no folder of a run of this recipe, or the model is for another task.
    """
    if checkpoint in released_models():
        config = released_config(checkpoint)
        if config.task != task:
            raise TrainingError(f"--checkpoint {checkpoint} is for {config.task}: use longform eval lfb-{config.task}.")
        return ModelOptions(
            task=task,
            operator=config.operator,
            layers=int(config.operator_options.get("num_layers", 2)),
            window_s=WINDOWS_S[task],
            backbone=str(config.backbone),
            clip=CLIPS[task],
        )
    folder = next((parent for parent in Path(checkpoint).parents if (parent / CONFIG).is_file()), None)
    if folder is None:
        raise TrainingError(
            f"--checkpoint {checkpoint}: no {CONFIG} above it says how the model was built. Give a file in the folder "
            f"of a run, or a released model: {', '.join(released_models()[:3])}, ..."
        )
    recipe = json.loads((folder / CONFIG).read_text(encoding="utf-8"))["settings"]["recipe"]
    if recipe.get("recipe") != f"lfb-{task}":
        raise TrainingError(f"--checkpoint {checkpoint} is of recipe {recipe.get('recipe')}, not of lfb-{task}.")
    return ModelOptions.of(task, recipe)


def loaded_model(checkpoint: str, config: LFBConfig) -> LFBModel:
    """The model of a checkpoint, in evaluation mode. WeightsError if the file does not fit."""
    model = LFBModel(config)
    load_weights(model, resolve(checkpoint)[0])
    return model.eval()


def write_network(path: str, model: LFBModel, options: ModelOptions) -> None:
    """Write the network of a model without operator, so that it can write a bank.

    Raises:
        TrainingError: the model has an operator, and its classifier reads more than the network gives.
    """
    if model.backbone is None or model.lfb is not None:
        raise TrainingError("--write-network wants a 3D CNN alone: a model that was trained with --operator none.")
    facts = model.config.facts
    depth = 101 if options.backbone.endswith("_r101") else 50
    built = {**options.backbone_options, "num_classes": model.config.classes, "activation": facts.activation}
    if options.backbone.startswith("lfb_"):
        built["res5_dilation"] = 2 if depth in facts.dilated_depths else 1
    name = f"{AVA_PREFIX if facts.boxes else ''}{options.backbone}"
    network = build_backbone(name, **built)
    state = {**model.backbone.state_dict(), **{f"head.{key}": value for key, value in model.head.state_dict().items()}}
    network.load_state_dict(state)
    save_weights(network, path, name=name, options=built)


def space_of(options: argparse.Namespace, model: ModelOptions) -> str:
    """`--space`, or the space that the preset of the data set writes with this backbone."""
    if options.space is not None:
        return str(options.space)
    expected = {
        "ava": f"person.{AVA_PREFIX}{model.backbone}",
        "epic-verb": f"clip.{model.backbone}",
        "epic-noun": "object.faster_rcnn_x101_fpn",
        "charades": f"clip.{model.backbone}",
    }
    return expected[model.task]
