"""``python -m prunebench_deepcore path/to/DeepCore --selection DRD ...``"""

from .launch import main

main()
