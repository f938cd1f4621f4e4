"""Judge two variants that were measured side by side: what differs, by how much, and why."""
