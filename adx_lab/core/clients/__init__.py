"""Our own clients: a pool of PostgreSQL connections, and Valkey."""
