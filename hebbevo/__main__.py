"""``python -m hebbevo``."""

from hebbevo.cli import main

main()
