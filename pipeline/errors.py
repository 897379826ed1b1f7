"""Errors of the pipeline: one class per decision a caller can take."""


class PipelineError(Exception):
    """Base of every error that the pipeline raises on purpose; the message is meant for the user."""


class InputError(PipelineError):
    """The list of inputs cannot be used: nothing found, two videos of one id, an unreadable list."""


class ConfigError(PipelineError):
    """A setting has a value that cannot work."""


class StrictStopError(PipelineError):
    """A video failed in a run that was asked to stop at the first failure."""


class RunError(PipelineError):
    """The run broke off: the runner or the bank's storage failed, not a video."""


class ProbeError(PipelineError):
    """A file could not be opened as a video, or holds no video that could be read."""


class LimitError(ProbeError):
    """A video is larger than the limits of the run allow."""


class DecodeError(PipelineError):
    """A video opened, but its pictures cannot be decoded as asked."""
