"""What speaks with PostgreSQL and Valkey: asyncpg's pool behind seats of ours, and our own Valkey client."""
