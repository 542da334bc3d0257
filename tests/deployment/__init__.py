"""Tests of ghibli_studio.deployment."""
