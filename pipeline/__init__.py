"""Videos in, tables out: probe, split, decode once, extract, link, and publish into the feature bank."""

__version__ = "0.1.0"
