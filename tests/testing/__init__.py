"""
Tests of reitunnel.testing.
"""
