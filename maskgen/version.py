"""The version of this software, from the one place that states it: the metadata of the installed package."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("maskgen")
except PackageNotFoundError:  # a checkout that is not installed
    __version__ = "0+unknown"
