"""The paper's tables and figures: their runs, measurements, pictures, numbers and report."""
