"""Networks as files to deploy: what goes into them, their formats, and how they are read again."""
