"""The only code that talks to Kubernetes: connections, requests, waits, and the steps of the runbooks on them."""
