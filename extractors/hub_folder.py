"""Folders with models of Hugging Face `transformers`: the user's own, or those of repositories of the Hub."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from extractors.errors import ConfigError, WeightsError
from extractors.optional import require
from extractors.weights.hashes import sha256_of

EXTRA = "hf"
"""The extra of `longform-video` that brings `transformers`."""

CONFIG = {"config.json; expected a folder that save_pretrained wrote": ("config.json",)}
SAFETENSORS_FILES = ("model.safetensors", "model.safetensors.index.json", "model-*.safetensors")
PICKLED_FILES = ("pytorch_model.bin", "pytorch_model.bin.index.json", "pytorch_model-*.bin")
NO_SAFETENSORS = (
    "model.safetensors. Pickled weights (pytorch_model.bin) are not read unless allow_pickle=True, and then with "
    "torch's weights_only; better convert them: load them with transformers, and save_pretrained"
)


@dataclass(frozen=True, kw_only=True)
class ModelFiles:
    """What the folder of a kind of model has in it."""

    what: str
    """For messages: "Detector 'hf:PekingU/rtdetr_r50vd'"."""
    needed: Mapping[str, Sequence[str]]
    """Names of files of which one must be there, by what to say if none is."""
    useful: Sequence[str] = ()
    """Files that are taken along if they are there."""
    revision: str | None = None
    """Of a repository; None for `main`, as the cache has it."""
    allow_pickle: bool = False
    download: bool = True
    """Whether a repository that is not in the cache may be downloaded into it."""

    @property
    def patterns(self) -> list[str]:
        """Every file that belongs to the model."""
        settings = [name for names in self.needed.values() for name in names]
        weights = [*SAFETENSORS_FILES, *(PICKLED_FILES if self.allow_pickle else ())]
        return [*settings, *self.useful, *weights]

    def lacking(self, folder: Path) -> str | None:
        """What a folder has too little, with the way out; None if nothing."""
        for message, names in self.needed.items():
            if not has_files(folder, names):
                return message
        if has_files(folder, SAFETENSORS_FILES) or (self.allow_pickle and has_files(folder, PICKLED_FILES)):
            return None
        return NO_SAFETENSORS

    def digest(self, folder: Path) -> str:
        """sha256 over the names and the sha256 of all files of the model that are there."""
        paths = {path for pattern in self.patterns for path in folder.glob(pattern)}
        lines = [f"{path.name} {sha256_of(path)}" for path in sorted(paths)]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def model_folder(repo_or_folder: str, files: ModelFiles) -> Path:
    """The folder with the files of a model, downloaded if need be and allowed.

    Raises:
        ConfigError: it is neither a folder nor the name of a repository, or a revision of a folder is asked for.
        WeightsError: it cannot be downloaded, or has no weights that may be read.
    """
    folder, way_out = Path(repo_or_folder).expanduser(), ""
    if not folder.is_dir():
        folder = _snapshot(repo_or_folder, files)
        way_out = f" If the repository has it: {_by_hand(repo_or_folder, files.revision)}"
    elif files.revision is not None:
        raise ConfigError(f"{folder} is a folder, which has no revision {files.revision!r}; leave revision out.")
    if lacking := files.lacking(folder):
        raise WeightsError(f"{files.what}: {folder} has no {lacking}.{way_out}")
    return folder


def _snapshot(repo: str, files: ModelFiles) -> Path:
    """The folder of the cache with one version of a repository."""
    hub = require("huggingface_hub", step=files.what, extra=EXTRA)
    errors = require("huggingface_hub.errors", step=files.what, extra=EXTRA)
    asked = {"revision": files.revision, "allow_patterns": files.patterns}
    not_cached = f"{files.what} is neither a folder nor in the cache of huggingface_hub"
    try:
        cached = Path(hub.snapshot_download(repo, local_files_only=True, **asked))
        if not files.download or not files.lacking(cached):
            return cached
    except errors.HFValidationError as error:
        raise ConfigError(f"{files.what}: there is no folder {repo}, and a repository is named OWNER/NAME.") from error
    except errors.LocalEntryNotFoundError as error:
        if not files.download:
            raise WeightsError(f"{not_cached}. By hand: {_by_hand(repo, files.revision)}") from error
    try:
        return Path(hub.snapshot_download(repo, **asked))
    except OSError as error:
        raise WeightsError(
            f"{not_cached}, and revision {files.revision or 'main'} of the repository {repo} cannot be downloaded "
            f"({type(error).__name__}: {first_line(error)}). By hand: {_by_hand(repo, files.revision)}"
        ) from error


def _by_hand(repo: str, revision: str | None) -> str:
    """How to get a repository without a connection here."""
    return (
        f"on a machine with a connection run `hf download {repo}{f' --revision {revision}' if revision else ''} "
        "--local-dir FOLDER`, copy FOLDER here, and name it as hf:FOLDER; or set HF_HOME to where a cache has it."
    )


def has_files(folder: Path, patterns: Sequence[str]) -> bool:
    """Whether a folder has a file of one of these names or patterns."""
    return any(True for pattern in patterns for _ in folder.glob(pattern))


def first_line(error: BaseException) -> str:
    """The first line of an error's message, its kind where it has none."""
    return str(error).strip().partition("\n")[0] or type(error).__name__
