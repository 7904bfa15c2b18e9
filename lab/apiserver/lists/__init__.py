"""What a list or watch is asked for: selectors, pages, versions."""
