"""Plans for people and machines: one view, from which terminal, picture, tables and JSON are laid out."""
