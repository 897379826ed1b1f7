"""Training of clip backbones on labelled videos."""
