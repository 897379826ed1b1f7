"""Models that put pictures and texts into one space, of Hugging Face `transformers`: CLIP, SigLIP, X-CLIP.

A model is a folder as `save_pretrained` writes it, with its tokenizer and its image processor, or a repository of the
Hugging Face Hub. No code of a repository is ever run, weights are safetensors only, and torchvision is not needed:
pictures are prepared by the image processors that use Pillow.

- Radford et al., "Learning Transferable Visual Models From Natural Language Supervision", ICML 2021 (CLIP)
- Zhai et al., "Sigmoid Loss for Language Image Pre-Training", ICCV 2023 (SigLIP; SigLIP 2 of a fixed size likewise)
- Ni et al., "Expanding Language-Image Pretrained Models for General Video Recognition", ECCV 2022 (X-CLIP)
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from torch import Tensor

from extractors.errors import ConfigError, MissingDependency, ShapeError, WeightsError
from extractors.hub_folder import CONFIG, EXTRA, ModelFiles, first_line, model_folder
from extractors.optional import require
from extractors.runtime import Runtime
from extractors.types import check_frame

PREFIX = "hf:"
FAMILIES = {"clip": "CLIPModel", "siglip": "SiglipModel", "xclip": "XCLIPModel"}
"""`model_type` of config.json -> the class that reads it."""

NEEDED = CONFIG | {
    "preprocessor_config.json; save the image processor of the model into it": (
        "preprocessor_config.json",
        "processor_config.json",
    ),
    "tokenizer; save the tokenizer of the model into it": ("tokenizer.json", "vocab.json", "spiece.model"),
}
USEFUL = ("tokenizer_config.json", "merges.txt", "special_tokens_map.json", "added_tokens.json")
SHOWN_KEYS = 5


@dataclass(frozen=True, kw_only=True)
class ImageTextSource:
    """Everything to build a model again in another process. Small, and cheap to pickle."""

    name: str
    """`hf:` and the folder, from the root, or the repository of the Hub."""
    model: str
    """Last part of that name in lower case with `_` between words, for the name of a space."""
    folder: str
    sha256: str
    """Over the files of the model: weights, settings, tokenizer."""
    family: str
    """One of FAMILIES."""
    dim: int
    """Values of a feature."""
    num_frames: int
    """Frames that a feature is made of: 1, or those of a clip."""
    max_tokens: int
    """Longest text the model reads, in tokens with those at the start and the end."""

    def build(self, runtime: Runtime) -> ImageTextModel:
        """The model, ready to run.

        Raises:
            MissingDependency: a package that it needs is not installed.
            WeightsError: its weights are damaged or incomplete.
            ConfigError: its image processor or its tokenizer cannot be made.
        """
        transformers = require("transformers", step=_what(self.name), extra=EXTRA)
        transformers.utils.logging.disable_progress_bar()
        return ImageTextModel(
            self,
            runtime.prepare(_weighted(transformers, self)),
            self.preparation(),
            _tokenizer(transformers, self),
            runtime,
        )

    def preparation(self) -> ImagePreparation:
        """What makes frames ready for the model; none of its weights is read.

        Raises:
            MissingDependency: a package that it needs is not installed.
            ConfigError: its image processor cannot be made.
        """
        return ImagePreparation(_image_processor(require("transformers", step=_what(self.name), extra=EXTRA), self))


def image_text_source(name: str, *, download: bool = True) -> ImageTextSource:
    """The model that a user names: `hf:FOLDER` or `hf:OWNER/NAME`.

    Args:
        download: whether a repository that is not in the cache of `huggingface_hub` may be downloaded into it.
    Raises:
        MissingDependency: `transformers` is not installed.
        ConfigError: nothing of that kind is named, or the model is of another family.
        WeightsError: it is not there and cannot be downloaded, or a file is missing.
    """
    place = name.removeprefix(PREFIX)
    if place == name or not place:
        raise ConfigError(
            f"Got {name!r} for a model of pictures and texts; expected --weights hf:FOLDER, with a folder that "
            "save_pretrained wrote, or hf:OWNER/NAME of the Hugging Face Hub, such as hf:openai/clip-vit-base-patch32."
        )
    transformers = require("transformers", step=_what(name), extra=EXTRA)
    files = ModelFiles(what=_what(name), needed=NEEDED, useful=USEFUL, download=download)
    own = Path(place).expanduser()
    if own.is_dir():
        place = str(own.resolve())
    folder = model_folder(place, files)
    config = _config(transformers, folder, name)
    return ImageTextSource(
        name=PREFIX + place,
        model="".join(char if char.isalnum() else "_" for char in Path(place).name.lower()),
        folder=str(folder),
        sha256=files.digest(folder),
        family=config.model_type,
        dim=int(config.vision_config.hidden_size if config.model_type == "siglip" else config.projection_dim),
        num_frames=int(config.vision_config.num_frames) if config.model_type == "xclip" else 1,
        max_tokens=int(config.text_config.max_position_embeddings),
    )


class ImagePreparation:
    """Resizing, cropping and normalising as a model's own image processor does it."""

    def __init__(self, processor: Any) -> None:
        self._processor = processor

    def prepare(self, picture: NDArray[np.uint8]) -> Tensor:
        """A frame (H, W, 3) uint8 RGB as the network wants it: (3, h, w) float32.

        Raises:
            ShapeError: a frame of another shape or dtype.
        """
        check_frame(picture)
        pixels = self._processor(images=picture, input_data_format="channels_last", return_tensors="pt")["pixel_values"]
        return pixels.reshape(pixels.shape[-3:])


class ImageTextModel:
    """Features of pictures or clips, and of texts, whose cosines say how well they fit.

    Args:
        model: a network of one of FAMILIES, prepared by `runtime`.
        preparation: what makes frames ready for it.
        tokenizer: what makes its texts tokens.
    """

    def __init__(
        self, source: ImageTextSource, model: Any, preparation: ImagePreparation, tokenizer: Any, runtime: Runtime
    ) -> None:
        self.source, self.prepare = source, preparation.prepare
        self._model, self._tokenizer, self._runtime = model, tokenizer, runtime

    @torch.inference_mode()
    def embed(self, clip: Sequence[Tensor]) -> NDArray[np.float32]:
        """The feature (D,) of `num_frames` prepared frames."""
        if len(clip) != self.source.num_frames:
            raise ShapeError(f"Got {len(clip)} frames; {self.source.name} takes {self.source.num_frames}.")
        frames = self._runtime.to(torch.stack(list(clip)))
        if self.source.family == "xclip":
            found = self._model.get_video_features(pixel_values=frames[None])
        else:
            found = self._model.get_image_features(pixel_values=frames)
        return found.pooler_output[0].float().cpu().numpy()

    @torch.inference_mode()
    def embed_text(self, text: str) -> NDArray[np.float32]:
        """The feature (D,) of a text; of SigLIP padded to the full length, as it was trained.

        Raises:
            ConfigError: the text is empty, or longer than the model reads.
        """
        most = self.source.max_tokens
        if not text.strip():
            raise ConfigError("Got an empty text; expected words.")
        padding = {"padding": "max_length", "max_length": most} if self.source.family == "siglip" else {}
        tokens = self._tokenizer([text], return_tensors="pt", truncation=False, **padding)
        if tokens["input_ids"].shape[1] > most:
            raise ConfigError(
                f"Got a text of {tokens['input_ids'].shape[1]} tokens; {self.source.name} reads {most} at most. Say it "
                "in fewer words."
            )
        names = [name for name in ("input_ids", "attention_mask") if name in tokens]
        inputs = {name: tokens[name].to(self._runtime.torch_device) for name in names}
        return self._model.get_text_features(**inputs).pooler_output[0].float().cpu().numpy()


def _what(name: str) -> str:
    return f"Model {name!r}"


def _config(transformers: Any, folder: Path, name: str) -> Any:
    """The network's own settings, once it is certain that it knows pictures and texts."""
    try:
        found = transformers.AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        raise ConfigError(f"{_what(name)}: {folder / 'config.json'} cannot be used: {first_line(error)}") from error
    architectures = found.architectures or []
    if architectures != [FAMILIES.get(found.model_type)]:
        raise ConfigError(
            f"{_what(name)} is {', '.join(architectures) or found.model_type!r}; expected a model of pictures and "
            f"texts in one space: {', '.join(FAMILIES.values())}."
        )
    return found


def _weighted(transformers: Any, source: ImageTextSource) -> Any:
    """The network with all its weights, in float32 whatever they are stored in."""
    try:
        model, report = getattr(transformers, FAMILIES[source.family]).from_pretrained(
            source.folder, dtype=torch.float32, use_safetensors=True, local_files_only=True, output_loading_info=True
        )
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise WeightsError(
            f"{_what(source.name)}: the weights in {source.folder} cannot be read: {first_line(error)}"
        ) from error
    if missing := sorted(report["missing_keys"]):
        raise WeightsError(
            f"{_what(source.name)}: the file in {source.folder} lacks {len(missing)} weights of the network "
            f"({', '.join(missing[:SHOWN_KEYS])}{', ...' if len(missing) > SHOWN_KEYS else ''}), which would be random."
        )
    return model


def _image_processor(transformers: Any, source: ImageTextSource) -> Any:
    """The image processor that uses Pillow. Public X-CLIP files name the one of VideoMAE, which `Auto` may not know."""
    maker, settings = transformers.AutoImageProcessor, {"backend": "pil", "trust_remote_code": False}
    if _named_processor(Path(source.folder)).startswith("VideoMAE"):
        maker, settings = transformers.VideoMAEImageProcessorPil, {}
    try:
        return maker.from_pretrained(source.folder, local_files_only=True, **settings)
    except (OSError, ValueError, KeyError) as error:
        raise ConfigError(f"{_what(source.name)}: its image processor cannot be made: {first_line(error)}") from error


def _named_processor(folder: Path) -> str:
    """The kind of image processor that preprocessor_config.json names, "" if none."""
    path = folder / "preprocessor_config.json"
    settings = json.loads(path.read_bytes()) if path.is_file() else {}
    return str(settings.get("image_processor_type") or settings.get("feature_extractor_type") or "")


def _tokenizer(transformers: Any, source: ImageTextSource) -> Any:
    try:
        return transformers.AutoTokenizer.from_pretrained(source.folder, local_files_only=True, trust_remote_code=False)
    except ImportError as error:
        raise MissingDependency(
            f"{_what(source.name)} has a tokenizer that needs a package which is not installed, for SigLIP "
            "sentencepiece. Run: pip install 'longform-video[hf]'"
        ) from error
    except (OSError, ValueError, KeyError) as error:
        raise ConfigError(f"{_what(source.name)}: its tokenizer cannot be made: {first_line(error)}") from error
