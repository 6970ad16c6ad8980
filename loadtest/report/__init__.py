"""Numbers -> one HTML page; works on runs from yesterday, on another machine."""
