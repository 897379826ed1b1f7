"""Bank in, predictions out: the analyses that read a feature bank."""
