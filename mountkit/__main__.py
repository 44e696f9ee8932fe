"""`python -m mountkit`."""

import sys

from mountkit.cli import main

sys.exit(main())
