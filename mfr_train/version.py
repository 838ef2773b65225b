"""The version of this software."""

from maskgen.version import __version__

__all__ = ["__version__"]
