"""What a compressed stream says of motion: vectors traced back to the I-frame, and what they leave over."""
