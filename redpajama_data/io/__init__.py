"""Files and streams: paths and URLs, whole files only, retries, compressed lines, shards, locks."""
