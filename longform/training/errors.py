"""What can go wrong in training: one class per decision a caller can take."""

from pipeline.errors import PipelineError, RunError


class TrainingError(PipelineError):
    """A setting, an option or a recipe cannot work: correct it and start again."""


class RunFolderError(TrainingError):
    """The folder of a run cannot be continued: it has other settings, is in use, or holds a damaged file."""


class DivergedError(RunError):
    """The loss or the weights are no longer finite: lower the learning rate, or go back to the last checkpoint."""
