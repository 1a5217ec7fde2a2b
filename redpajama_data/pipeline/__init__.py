"""The work of a shard: read, steps, write."""
