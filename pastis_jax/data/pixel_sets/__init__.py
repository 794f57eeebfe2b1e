"""Folders of pixel sets: reader, checks, preparation, encoding."""
