"""mfr: train and measure masked face recognition."""
