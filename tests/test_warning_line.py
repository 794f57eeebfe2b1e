"""What commands make of warnings."""

from __future__ import annotations

import warnings

from pastis_jax.cli import console
from pastis_jax.errors import DaysWarning


def test_a_warning_is_one_line_of_a_command(capsys):
    def run():
        warnings.warn("days\nlie outside, `outside` hold does not", DaysWarning, stacklevel=1)

    console.command(run)
    assert capsys.readouterr().err == "warning: days lie outside, --outside hold does not\n"
