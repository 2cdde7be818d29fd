"""Features of many images in parts, each of a shard of the list, as `fetch_many` writes them."""
