"""Where the memory of a Python service is allocated: counted inside of it, in a block of its own."""
