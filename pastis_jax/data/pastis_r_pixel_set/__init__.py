"""TFDS builder of the PASTIS-R pixel sets."""
