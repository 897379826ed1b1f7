"""Object Transformers and what they are compared with on the nine LVU tasks, in a world whose answers are known."""
