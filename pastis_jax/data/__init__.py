"""Datasets: official folders, simulator, TFDS builders, Grain pipelines (numpy only)."""
