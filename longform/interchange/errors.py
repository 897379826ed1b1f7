"""What can go wrong with files of other projects."""

from pipeline.errors import PipelineError


class InterchangeError(PipelineError, ValueError):
    """A file is not as its format says, or a bank cannot be written in that format; the message names both."""
