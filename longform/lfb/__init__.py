"""Long-term feature banks: models that relate a clip to what the bank holds around it."""
