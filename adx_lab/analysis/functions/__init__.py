"""Functions: what each costs a request, which became slower, and whether its lines differ."""
