"""Training of the models that the Common Crawl slice needs."""
