"""`python -m loadtest`: the same as the command `loadtest`."""

from loadtest.cli.app import main

if __name__ == "__main__":
    main()
