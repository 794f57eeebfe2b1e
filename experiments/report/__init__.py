"""A page of our tables and figures beside the paper's numbers: `python -m experiments.report`."""
