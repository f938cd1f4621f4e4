"""What every picture and table is made of."""
