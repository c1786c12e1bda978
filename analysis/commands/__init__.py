"""The commands of ``python -m analysis``, a module each: arguments checked, files opened, results written."""
