"""A map of documents by content: vectors, neighbours, clusters, a layout, and the page that shows them."""
