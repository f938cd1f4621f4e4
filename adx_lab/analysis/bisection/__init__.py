"""The search for the first slow commit: the history, what blocks say of a commit, and which one is next."""
