"""Grid search: the trials of a search, and the search that ranks them."""
