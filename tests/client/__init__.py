"""
Tests of L{reitunnel.client}.
"""
