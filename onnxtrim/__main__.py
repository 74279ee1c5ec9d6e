"""`python -m onnxtrim` is `onnxtrim`."""

import sys

from onnxtrim.cli import main

sys.exit(main())
