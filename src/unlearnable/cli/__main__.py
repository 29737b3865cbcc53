"""`python -m unlearnable.cli`."""

from unlearnable.cli.root import main

main()
