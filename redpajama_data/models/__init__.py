"""Models by name: the registry, fetching, exact token counts."""
