"""The files of a map."""
