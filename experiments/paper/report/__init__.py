"""Our tables and figures beside the paper's: `python -m experiments.paper.report`."""
