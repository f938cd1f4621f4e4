"""Judge: samples and plans in, frozen results out. No I/O, no clock, no printing, no pictures."""
