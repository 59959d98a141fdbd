"""The version of the distribution, said once."""

VERSION = "1.0.0"
