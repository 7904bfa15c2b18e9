"""Every kind of patch but server-side apply."""
