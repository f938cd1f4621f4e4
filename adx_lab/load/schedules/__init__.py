"""What a load will be: arrivals at their moments, decided from the scenario, the order and the defaults."""
