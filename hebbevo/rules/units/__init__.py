"""Rules for units, one a file."""
