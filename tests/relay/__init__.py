"""
Tests of C{reitunnel.relay}.
"""
