"""Detectors of an installed Detectron2, from a configuration file or a name of its model zoo.

Detectron2 is not in the package index and is installed by hand (`INSTALL_PAGE`). What happens to a frame is what
`detectron2.engine.DefaultPredictor` does, with three differences: weights are read by our own reader, which runs
nothing that a pickle asks for; a network that would keep random weights is refused; and nothing is downloaded.

Tested against a small stand-in for the package (`tests/extractors/test_detectron2_adapter.py`), written from the
interfaces of facebookresearch/detectron2 at its main branch, and not yet against Detectron2 itself.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from extractors.errors import ConfigError, MissingDependency, WeightsError
from extractors.ops import boxes as box_ops
from extractors.runtime import Runtime
from extractors.types import Detections, check_frame
from extractors.weights.containers import read_tensors
from extractors.weights.store import resolve

INSTALL_PAGE = "https://detectron2.readthedocs.io/en/latest/tutorials/install.html"
FEATURES = "box_features"
COMPUTED = ("pixel_mean", "pixel_std", "cell_anchors", "num_batches_tracked")
"""Parts of names of buffers that some versions of Detectron2 save, and that need not be in a file."""
SHOWN_KEYS = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class Detectron2Config:
    """Where the weights are, what counts as a detection, and where the network runs."""

    weights: str = ""
    """Name of a weight card or path of a file; empty for MODEL.WEIGHTS of the configuration, if that is a file here."""
    score_threshold: float | None = None
    """Detections score more than this; None for what the configuration says."""
    max_detections: int | None = None
    """Of a frame, the surest; None for what the configuration says."""
    class_names: tuple[str, ...] = ()
    """Empty for those that Detectron2 knows of the configuration's first test set."""
    device: str = "cpu"
    """See `Runtime`. The precision is float32."""

    def __post_init__(self) -> None:
        rules = {
            "score_threshold": (self.score_threshold is None or 0.0 <= self.score_threshold < 1.0, "in [0, 1)"),
            "max_detections": (self.max_detections is None or self.max_detections >= 1, "at least 1"),
        }
        for name, (holds, rule) in rules.items():
            if not holds:
                raise ConfigError(f"Detectron2Config.{name} is {getattr(self, name)!r}; expected {rule}.")


def build_detectron2(config_file: str, **config: Any) -> Detectron2Detector:
    """The detector that a YAML configuration describes, with its weights.

    Args:
        config_file: path of a file, or a name of the model zoo ("COCO-Detection/faster_rcnn_R_50_FPN_3x.yaml").
        config: fields of `Detectron2Config`.
    Raises:
        MissingDependency: Detectron2 is not installed; the message names its installation page.
        ConfigError: there is no such configuration, it is Python code, or a setting is out of range.
        WeightsError: no weight file is named or there is none, or it does not fit the network.
    """
    settings = Detectron2Config(**config)
    what = f"Detector 'detectron2:{config_file}'"
    cfg = _configuration(config_file, settings, what)
    names = settings.class_names or _known_class_names(cfg, what)
    path = _weight_file(cfg, settings, config_file, what)
    model = _detectron2("modeling").build_model(cfg)
    _load(model, path, what)
    return Detectron2Detector(model, cfg, names)


class Detectron2Detector:
    """Objects in a frame.

    Args:
        model: a network of Detectron2 whose answers have `instances`.
        cfg: its configuration.
        class_names: what its classes are called.
    """

    def __init__(self, model: Any, cfg: Any, class_names: tuple[str, ...]) -> None:
        self.class_names = class_names
        self._model = model.eval().requires_grad_(False)
        self._is_bgr = cfg.INPUT.FORMAT == "BGR"
        short_px, max_px = cfg.INPUT.MIN_SIZE_TEST, cfg.INPUT.MAX_SIZE_TEST
        self._resize = _detectron2("data.transforms").ResizeShortestEdge([short_px, short_px], max_px)

    @torch.inference_mode()
    def detect(self, frame_rgb: NDArray[np.uint8]) -> Detections:
        """The objects in one frame, in Detectron2's order (of an R-CNN: surest first).

        Args:
            frame_rgb: (H, W, 3) uint8 RGB as displayed.
        Returns:
            Detections with the score of their class. Features are what the box head makes of the proposal that became
            the detection (for the zoo's FPN models the 1024 values of its second layer); None of networks without one
            box head (C4 bodies, cascades, RetinaNet).
        Raises:
            ShapeError: not a (H, W, 3) uint8 array, or an empty one.
            ConfigError: the network gives no boxes with classes.
        """
        check_frame(frame_rgb)
        height, width, _ = frame_rgb.shape
        picture = np.ascontiguousarray(frame_rgb[..., ::-1] if self._is_bgr else frame_rgb)
        resized = self._resize.get_transform(picture).apply_image(picture)
        image = torch.as_tensor(np.ascontiguousarray(resized.astype(np.float32).transpose(2, 0, 1)))
        found = self._instances({"image": image, "height": height, "width": width})
        features = found.get(FEATURES).float().cpu().numpy() if found.has(FEATURES) else None
        return Detections(
            boxes=box_ops.clip(box_ops.to_normalised(found.pred_boxes.tensor.float().cpu().numpy(), (height, width))),
            scores=found.scores.float().cpu().numpy(),
            classes=found.pred_classes.to(torch.int32).cpu().numpy(),
            class_names=self.class_names,
            features=features,
        )

    def _instances(self, picture: dict[str, Any]) -> Any:
        """Detectron2's `Instances` of one picture, with the field `FEATURES` where the network has a box head."""
        if _has_one_box_head(self._model):
            return self._instances_with_features(picture)
        answer = self._model([picture])[0]
        if "instances" not in answer:
            raise ConfigError(f"{type(self._model).__name__} gives {', '.join(answer)}; expected a network for boxes.")
        return answer["instances"]

    def _instances_with_features(self, picture: dict[str, Any]) -> Any:
        """The steps of `GeneralizedRCNN.inference`, keeping what the box head says of each detection."""
        images = self._model.preprocess_image([picture])
        maps = self._model.backbone(images.tensor)
        proposals, _ = self._model.proposal_generator(images, maps, None)
        heads = self._model.roi_heads
        pooled = heads.box_pooler(
            [maps[name] for name in heads.box_in_features], [one.proposal_boxes for one in proposals]
        )
        features = heads.box_head(pooled)
        [found], [kept] = heads.box_predictor.inference(heads.box_predictor(features), proposals)
        found.set(FEATURES, features.flatten(1)[kept])
        postprocessing = _detectron2("modeling.postprocessing")
        return postprocessing.detector_postprocess(found, picture["height"], picture["width"])


def _detectron2(part: str) -> Any:
    try:
        return importlib.import_module(f"detectron2.{part}")
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != "detectron2":
            raise
        raise MissingDependency(
            "Detectors named detectron2:… need Detectron2, which is not installed and not in the package index. "
            f"Install it as {INSTALL_PAGE} says, or use faster_rcnn_r50_fpn, which needs nothing more.",
            name="detectron2",
        ) from error


def _configuration(config_file: str, settings: Detectron2Config, what: str) -> Any:
    """Detectron2's own settings, with ours in their places."""
    cfg = _detectron2("config").get_cfg()
    path = Path(config_file).expanduser()
    if not path.is_file():
        try:
            path = Path(_detectron2("model_zoo").get_config_file(config_file))
        except RuntimeError as error:
            raise ConfigError(
                f"{what}: there is no file {config_file}, and the model zoo has none ({error})."
            ) from error
    if path.suffix not in (".yaml", ".yml"):
        raise ConfigError(f"{what}: {path.name} is not YAML; configurations that are Python code are not run.")
    cfg.merge_from_file(str(path), allow_unsafe=False)
    cfg.MODEL.DEVICE = str(Runtime(device=settings.device).torch_device)
    if settings.score_threshold is not None:
        cfg.MODEL.ROI_HEADS.SCORE_THRESH_TEST = settings.score_threshold
        cfg.MODEL.RETINANET.SCORE_THRESH_TEST = settings.score_threshold
    if settings.max_detections is not None:
        cfg.TEST.DETECTIONS_PER_IMAGE = settings.max_detections
    return cfg


def _known_class_names(cfg: Any, what: str) -> tuple[str, ...]:
    """Class names of the configuration's first test set."""
    sets = cfg.DATASETS.TEST
    names = _detectron2("data").MetadataCatalog.get(sets[0]).get("thing_classes", None) if sets else None
    if not names:
        raise ConfigError(f"{what}: Detectron2 knows no class names of its test sets {tuple(sets)}; give class_names.")
    return tuple(names)


def _weight_file(cfg: Any, settings: Detectron2Config, config_file: str, what: str) -> Path:
    """The file with the weights, on this machine."""
    if not settings.weights and not Path(cfg.MODEL.WEIGHTS).is_file():
        raise WeightsError(
            f"{what}: MODEL.WEIGHTS is {cfg.MODEL.WEIGHTS!r}, which is not a file here, and nothing is downloaded. "
            f"Download the weights{_zoo_address(config_file)} and give weights=FILE."
        )
    return resolve(settings.weights or cfg.MODEL.WEIGHTS)[0]


def _zoo_address(config_file: str) -> str:
    try:
        return f" from {_detectron2('model_zoo').get_checkpoint_url(config_file)}"
    except RuntimeError:
        return ""


def _load(model: nn.Module, path: Path, what: str) -> None:
    """Put the weights of a file into a network, and accept no weight that would stay random."""
    try:
        misfit = model.load_state_dict(read_tensors(path).tensors, strict=False)
    except RuntimeError as error:
        raise WeightsError(f"{what}: {path} does not fit the network: {error}") from error
    missing = sorted(key for key in misfit.missing_keys if not any(part in key for part in COMPUTED))
    if missing:
        raise WeightsError(
            f"{what}: {path} lacks {len(missing)} weights of the network ({', '.join(missing[:SHOWN_KEYS])}"
            f"{', …' if len(missing) > SHOWN_KEYS else ''}), which would be random. Give a whole detector, not a body."
        )


def _has_one_box_head(model: Any) -> bool:
    """Whether it is an R-CNN with one head for all boxes; a cascade has a list of them, a C4 body none."""
    box_head = getattr(getattr(model, "roi_heads", None), "box_head", None)
    return box_head is not None and not isinstance(box_head, nn.ModuleList)
