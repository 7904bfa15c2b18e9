"""What an operator applies or starts: the deployments, and the lab with a Prefect server around them."""
