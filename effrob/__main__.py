"""`python -m effrob` is `effrob`."""

from effrob.cli import main

if __name__ == "__main__":
    main()
