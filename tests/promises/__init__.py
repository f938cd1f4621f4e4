"""What a user is promised, whatever the rooms do inside."""
