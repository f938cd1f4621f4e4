"""What spans say: where a request's time went, and which statements are asked again and again."""
