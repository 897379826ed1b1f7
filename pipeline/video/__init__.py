"""Reading video: facts about a file, exact times, segments, and one decode for all consumers."""
