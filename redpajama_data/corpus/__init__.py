"""Shards as input: which there are, their records in columns, the jobs over them."""
