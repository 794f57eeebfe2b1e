"""The page of a map, report.html: what it shows, how good it is, where it is in doubt."""

from pastis_jax.mapping.report.write import FILE, write_report

__all__ = ["FILE", "write_report"]
