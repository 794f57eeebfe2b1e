"""Parcels on the grid of a Region: read, numbered, dealt to folds; lists of crops."""
