"""What a switch of the service is worth: figures with it on, beside figures with it off."""
