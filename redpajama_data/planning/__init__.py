"""What a run will take, before it begins: times on a sample, sizes of the sources, and what limits it."""
