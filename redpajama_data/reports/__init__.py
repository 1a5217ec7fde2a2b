"""What a root says of itself: totals, waterfalls, manifests, and how it compares with others."""
