"""Multigrid training: what its schedule saves beside the published figures, and what it gives on generated videos."""
