"""Tests of ghibli_studio.adapter_library."""
