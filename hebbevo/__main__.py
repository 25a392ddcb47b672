"""``python -m hebbevo``."""

from hebbevo.cli.commands import main

main()
