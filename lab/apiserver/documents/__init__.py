"""What a client reads before it asks for anything: discovery, OpenAPI, health."""
