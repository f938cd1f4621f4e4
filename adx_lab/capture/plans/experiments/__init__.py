"""What is tried on a clone: indexes that are advised, what may have changed a plan, a tenant that grows."""
