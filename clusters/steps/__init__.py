"""The steps of the runbooks. Each looks at the cluster first, acts second, and confirms third; a repeat is a no-op."""
