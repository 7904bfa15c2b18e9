"""KKP by its REST API: the second way in."""
