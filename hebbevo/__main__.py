"""``python -m hebbevo``."""

from hebbevo.cli.entry import main

main()
