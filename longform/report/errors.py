"""Errors of the page."""

from pipeline.errors import PipelineError


class ReportError(PipelineError):
    """The page cannot be written, or a file that it should show cannot be used: the message says why."""
