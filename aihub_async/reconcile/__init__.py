"""Find out what became of a request whose outcome is unknown."""
