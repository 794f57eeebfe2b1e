"""From a table of samples to a folder of pixel sets."""
