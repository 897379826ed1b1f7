"""CoViAR's streams on generated videos: each alone, their sums, and accumulated against original vectors."""
