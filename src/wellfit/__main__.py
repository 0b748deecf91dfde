"""``python -m wellfit`` is the ``wellfit`` command."""

from wellfit.cli.main import main

if __name__ == "__main__":
    main()
