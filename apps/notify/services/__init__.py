"""Telling people what happened, and the ways by which it reaches them."""
