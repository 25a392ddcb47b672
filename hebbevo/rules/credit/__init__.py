"""Credit rules, one a file."""
