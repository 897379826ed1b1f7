"""The built-in stages: extractors from `extractors`, fed with frames and turned into rows."""
