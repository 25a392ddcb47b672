"""Connection rules, one a file."""
