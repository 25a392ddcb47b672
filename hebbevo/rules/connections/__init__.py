"""Rules for connections, one a file."""
