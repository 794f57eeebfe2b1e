"""Folders of data with one fault each, and what must become of them.

`python -m broken --write docs/reliability.md`, with `tests` on PYTHONPATH, tries all and writes the
table of the documentation.
"""
