"""The schemas, as data.

A regular package: Python 3.11 cannot read the files of an editable namespace package.
"""
