"""The networks of a study, ready for use."""
