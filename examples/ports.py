"""The port that an example is served at."""

import argparse


def port_number(text: str) -> int:
    """A port as it is written on the command line; 0 is any that is free."""
    if not (text.isascii() and text.isdigit() and int(text) <= 65535):
        raise argparse.ArgumentTypeError(
            f"Port {text!r} is not a number from 0 to 65535; write e.g. --port 8001."
        )
    return int(text)
