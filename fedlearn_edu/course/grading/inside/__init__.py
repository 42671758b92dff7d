"""What runs in a grading child.

Copied into a scratch folder as it is, beside an otherwise empty `fedlearn_edu`, so nothing here may import anything
else of the package but `checks.data`.
"""
