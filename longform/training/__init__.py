"""Training: one loop for every recipe, with an exact restart."""
