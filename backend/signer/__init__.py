"""The signing service: keeps keys encrypted, in a process of its own, and signs what its policy
allows; no key ever leaves it.
"""
