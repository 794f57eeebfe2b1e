"""From layers and parcels to a Region, shard by shard."""
