"""TFDS builder of the PASTIS-R patches."""
