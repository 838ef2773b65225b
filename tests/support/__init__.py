"""What several tests share; conftest.py makes fixtures of it."""
