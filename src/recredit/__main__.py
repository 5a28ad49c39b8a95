"""`python -m recredit` is the command line."""

from recredit.cli.main import main

if __name__ == "__main__":  # a worker process that is spawned imports this too
    main()
