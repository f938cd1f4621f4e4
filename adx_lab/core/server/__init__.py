"""The HTTP server and what every request goes through before and after its endpoint."""
