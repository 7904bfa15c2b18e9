"""From bytes to objects: what a request body may look like, in JSON, YAML and typed protobuf."""
