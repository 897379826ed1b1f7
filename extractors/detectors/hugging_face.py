"""Object detectors of Hugging Face `transformers`: DETR and its kin (Conditional, Deformable, RT-DETR, D-FINE), YOLOS.

A detector is a folder as `save_pretrained` writes it, or a repository of the Hugging Face Hub. No code of a repository
is ever run, and torchvision is not needed: pictures are prepared by the image processors that use Pillow.

- Carion et al., "End-to-End Object Detection with Transformers", ECCV 2020 (DETR)
- Fang et al., "You Only Look at One Sequence", NeurIPS 2021 (YOLOS)
- Zhao et al., "DETRs Beat YOLOs on Real-time Object Detection", CVPR 2024 (RT-DETR)
"""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from torch import Tensor

from extractors import hub_folder
from extractors.errors import ConfigError, MissingDependency, ShapeError, WeightsError
from extractors.hub_folder import CONFIG, EXTRA, SAFETENSORS_FILES, ModelFiles, first_line, has_files
from extractors.ops import boxes as box_ops
from extractors.optional import require
from extractors.runtime import Runtime
from extractors.types import Detections, check_frame

NEEDED = CONFIG | {
    "preprocessor_config.json; save the image processor of the detector into it": (
        "preprocessor_config.json",
        "processor_config.json",
    )
}
SHOWN_KEYS = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class HuggingFaceConfig:
    """Which version of a detector, what counts as a detection, and where it runs."""

    score_threshold: float = 0.5
    """Detections score more than this."""
    max_detections: int = 100
    """Of a frame, the surest. Some families give at most 100 of themselves."""
    revision: str | None = None
    """Commit, tag or branch of a repository of the Hub; None for `main`, as the cache has it. A commit pins it."""
    allow_pickle: bool = False
    """Where there is no safetensors file, read `pytorch_model.bin` with torch's `weights_only`, which runs no code."""
    device: str = "cpu"
    """See `Runtime`."""
    precision: str = "fp32"

    def __post_init__(self) -> None:
        rules = {
            "score_threshold": (0.0 <= self.score_threshold < 1.0, "in [0, 1)"),
            "max_detections": (self.max_detections >= 1, "at least 1"),
        }
        for name, (holds, rule) in rules.items():
            if not holds:
                raise ConfigError(f"HuggingFaceConfig.{name} is {getattr(self, name)!r}; expected {rule}.")


def build_hugging_face(repo_or_folder: str, **config: Any) -> HuggingFaceDetector:
    """The detector in a folder, or in a repository of the Hub ("PekingU/rtdetr_r50vd"), with its weights.

    A repository that the cache of `huggingface_hub` holds is read from there; any other is downloaded into it.

    Args:
        config: fields of `HuggingFaceConfig`.
    Raises:
        MissingDependency: `transformers`, or what this one detector needs besides, is not installed.
        ConfigError: a setting is out of range, or what is named is no box detector.
        WeightsError: it is not there and cannot be downloaded, or its weights are pickled, damaged or incomplete.
    """
    settings, what = HuggingFaceConfig(**config), f"Detector 'hf:{repo_or_folder}'"
    transformers = require("transformers", step=what, extra=EXTRA)
    folder = model_folder(repo_or_folder, revision=settings.revision, allow_pickle=settings.allow_pickle)
    try:
        model_config = _detector_config(transformers, folder, what)
        processor = _processor(transformers, folder, what)
        model = _model(transformers, folder, model_config, what)
    except ImportError as error:
        raise MissingDependency(
            f"{what} needs a package that is not installed: {first_line(error)} Detectors whose backbone is of "
            "`timm` often have a revision without it: revision='no_timm' for facebook/detr-resnet-50."
        ) from error
    return HuggingFaceDetector(model, processor, settings)


class HuggingFaceDetector:
    """Objects in a frame. The same frame gives the same answer, alone or in a batch (to float rounding).

    Args:
        model: a network for object detection of `transformers`.
        processor: its image processor, which also knows how the network's answers become detections.
    """

    def __init__(self, model: Any, processor: Any, config: HuggingFaceConfig) -> None:
        self.config = config
        self.class_names = class_names(model.config)
        self._runtime = Runtime(device=config.device, precision=config.precision)
        self._model: Any = self._runtime.prepare(model)
        self._processor = processor

    def detect(self, frame_rgb: NDArray[np.uint8]) -> Detections:
        """The objects in one frame, surest first.

        Args:
            frame_rgb: (H, W, 3) uint8 RGB as displayed.
        Returns:
            Detections with the score of their class, and as features the decoder's last state of their query (D); of
            YOLOS, the last state of their detection token. Boxes are cut off at the border of the frame; those that
            lie outside are left out.
        Raises:
            ShapeError: not a (H, W, 3) uint8 array, an empty one, or one too narrow to be scaled (YOLOS: a side that
                would come to less than 16 pixels).
        """
        return self.detect_batch([frame_rgb])[0]

    @torch.inference_mode()
    def detect_batch(self, frames_rgb: Sequence[NDArray[np.uint8]]) -> list[Detections]:
        """`detect` of every frame; frames of one size run together, so that none is padded."""
        for frame in frames_rgb:
            check_frame(frame)
        found: dict[int, Detections] = {}
        for shape in dict.fromkeys(frame.shape for frame in frames_rgb):
            indices = [i for i, frame in enumerate(frames_rgb) if frame.shape == shape]
            found.update(zip(indices, self._detect_same_size([frames_rgb[i] for i in indices]), strict=True))
        return [found[i] for i in range(len(frames_rgb))]

    def _detect_same_size(self, frames_rgb: Sequence[NDArray[np.uint8]]) -> list[Detections]:
        inputs = self._inputs(frames_rgb)
        outputs = self._model(**{**inputs, "pixel_values": self._runtime.to(inputs["pixel_values"])})
        boxes = _corners(outputs.pred_boxes.float())
        states = outputs.last_hidden_state[:, -boxes.shape[1] :].float()  # YOLOS puts patches before its queries
        chosen = self._chosen(outputs)
        return [self._detections(*parts) for parts in zip(chosen, boxes, states, strict=True)]

    def _inputs(self, frames_rgb: Sequence[NDArray[np.uint8]]) -> Any:
        try:
            inputs = self._processor(images=list(frames_rgb), input_data_format="channels_last", return_tensors="pt")
        except ValueError as error:
            height, width, _ = frames_rgb[0].shape
            raise ShapeError(
                f"{type(self._processor).__name__} cannot scale a frame of {height}x{width}: {first_line(error)}"
            ) from error
        return inputs.to(self._runtime.torch_device)

    def _chosen(self, outputs: Any) -> list[dict[str, Tensor]]:
        """For each frame `scores`, `labels` and `queries` (N,), as the family's own post-processing chooses them.

        Families differ in how logits become scores, and none says which query a detection comes from. So each is
        given, in place of boxes, the number of the query as their centre's x.
        """
        numbers = torch.zeros_like(outputs.pred_boxes, dtype=torch.float32)
        numbers[..., 0] = torch.arange(numbers.shape[1])
        numbered = replace(outputs, logits=outputs.logits.float(), pred_boxes=numbers)
        found = self._processor.post_process_object_detection(numbered, threshold=self.config.score_threshold)
        return [
            {"scores": one["scores"], "labels": one["labels"], "queries": one["boxes"][:, 0].long()} for one in found
        ]

    def _detections(self, chosen: dict[str, Tensor], boxes: Tensor, states: Tensor) -> Detections:
        order = torch.argsort(chosen["scores"], descending=True, stable=True)
        queries = chosen["queries"][order]
        found = Detections(
            boxes=box_ops.clip(boxes[queries].cpu().numpy()),
            scores=chosen["scores"][order].cpu().numpy(),
            classes=chosen["labels"][order].to(torch.int32).cpu().numpy(),
            class_names=self.class_names,
            features=states[queries].cpu().numpy(),
        )
        visible = np.flatnonzero(box_ops.area(found.boxes) > 0)
        return found.take(visible[: self.config.max_detections])


def class_names(model_config: Any) -> tuple[str, ...]:
    """Names in the order of the network's classes; `class 7` for one that `id2label` leaves out."""
    names = {int(index): str(name) for index, name in model_config.id2label.items()}
    count = max([model_config.num_labels, *(index + 1 for index in names)])
    return tuple(names.get(index, f"class {index}") for index in range(count))


def model_folder(repo_or_folder: str, *, revision: str | None = None, allow_pickle: bool = False) -> Path:
    """The folder with the files of a detector, downloaded if need be.

    Raises:
        ConfigError: it is neither a folder nor the name of a repository, or a revision of a folder is asked for.
        WeightsError: it cannot be downloaded, or has no weights that may be read.
    """
    what = f"Detector 'hf:{repo_or_folder}'"
    files = ModelFiles(what=what, needed=NEEDED, revision=revision, allow_pickle=allow_pickle)
    return hub_folder.model_folder(repo_or_folder, files)


def _detector_config(transformers: Any, folder: Path, what: str) -> Any:
    """The network's own settings, once it is certain that they are those of a box detector."""
    try:
        found = transformers.AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        raise ConfigError(f"{what}: {folder / 'config.json'} cannot be used: {first_line(error)}") from error
    architectures = found.architectures or []
    known = type(found) in transformers.MODEL_FOR_OBJECT_DETECTION_MAPPING
    if not known or not all(name.endswith("ForObjectDetection") for name in architectures):
        raise ConfigError(
            f"{what} is not a box detector but {', '.join(architectures) or found.model_type!r}; expected an "
            "architecture whose name ends in ForObjectDetection: DETR, RT-DETR, D-FINE, YOLOS and others."
        )
    return found


def _processor(transformers: Any, folder: Path, what: str) -> Any:
    try:
        processor = transformers.AutoImageProcessor.from_pretrained(
            folder, backend="pil", local_files_only=True, trust_remote_code=False
        )
    except (OSError, ValueError, KeyError) as error:
        raise ConfigError(f"{what}: its image processor cannot be made: {first_line(error)}") from error
    if not hasattr(processor, "post_process_object_detection"):
        raise ConfigError(f"{what}: {type(processor).__name__} does not give boxes; expected a detector's processor.")
    return processor


def _model(transformers: Any, folder: Path, model_config: Any, what: str) -> Any:
    """The network with all its weights."""
    try:
        model, report = transformers.AutoModelForObjectDetection.from_pretrained(
            folder,
            config=model_config,
            use_safetensors=has_files(folder, SAFETENSORS_FILES),
            weights_only=True,
            local_files_only=True,
            trust_remote_code=False,
            output_loading_info=True,
        )
    except pickle.UnpicklingError as error:
        raise WeightsError(
            f"{what}: the pickle in {folder} asks for more than tensors and is not read. Get safetensors."
        ) from error
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise WeightsError(f"{what}: the weights in {folder} cannot be read: {first_line(error)}") from error
    if missing := sorted(report["missing_keys"]):
        raise WeightsError(
            f"{what}: the file in {folder} lacks {len(missing)} weights of the network "
            f"({', '.join(missing[:SHOWN_KEYS])}{', …' if len(missing) > SHOWN_KEYS else ''}), which would be random. "
            "Get a checkpoint that was trained for detection."
        )
    return model


def _corners(boxes: Tensor) -> Tensor:
    """(..., 4) centre and size -> (..., 4) xyxy."""
    centre, half = boxes[..., :2], boxes[..., 2:] / 2
    return torch.cat([centre - half, centre + half], -1)
