"""The type of a path: whatever Python's own ``open`` takes; ``os.fsdecode`` makes it a text."""

from __future__ import annotations

import os
from typing import TypeAlias

FilePath: TypeAlias = str | bytes | os.PathLike[str] | os.PathLike[bytes]
