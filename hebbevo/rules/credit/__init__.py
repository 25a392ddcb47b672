"""Rules for the assignment of credit, one a file."""
