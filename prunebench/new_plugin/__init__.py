"""A new plugin: a whole package that installs, lists, passes its checks and runs, to be changed into one's own."""

from .names import Names, named
from .writing import files_of, new_plugin

__all__ = ["Names", "files_of", "named", "new_plugin"]
