"""A Kubernetes API server in memory, close enough to the real one that `kubectl` and controllers work against it."""
