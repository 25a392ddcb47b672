"""Unit rules, one a file."""
