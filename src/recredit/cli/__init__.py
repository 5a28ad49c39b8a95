"""The command line: parsing (`main`), and what each command does."""
