"""``python -m prunebench.cli``"""

from . import main

main()
