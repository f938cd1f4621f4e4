"""Why head is slower: the added milliseconds, and the rules that claim them."""
