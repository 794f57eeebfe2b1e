"""The records of a Region: windows and parcels, for training and for export."""
