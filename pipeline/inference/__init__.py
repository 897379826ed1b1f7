"""Who runs networks in a run: each child its own copy, or one process per device for all of them."""
