"""Grouping out of core: equal keys, bands, components, external sort."""
