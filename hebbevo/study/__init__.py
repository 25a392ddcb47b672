"""A study: its record in a file or a database, and its tables."""
