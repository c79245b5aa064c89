"""`python -m carcloud` is the command line."""

from carcloud.cli import main

if __name__ == "__main__":
    main()
