"""Folders of patches: reader, checks, preparation, encoding, panoptic targets."""
