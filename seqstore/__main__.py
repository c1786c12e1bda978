"""``python -m seqstore`` is the command ``seqstore``."""

from seqstore.cli import main

if __name__ == "__main__":
    main()
