"""``python -m portable_mlp``: the command line."""

import sys


def main() -> int:
    """Run the command line; return the exit code."""
    try:
        from .cli.app import run
    except ModuleNotFoundError as error:
        if error.name not in ("typer", "rich"):
            raise
        sys.stderr.write(
            f'portable-mlp: the command line needs {error.name}, which is missing: pip install "portable-mlp[cli]"\n'
        )
        return 2
    return run()


if __name__ == "__main__":
    sys.exit(main())
